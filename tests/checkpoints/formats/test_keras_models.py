"""Whole models are read as data: the configuration, the version, and the arrays by layer or by path."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from vggfcn.checkpoints.formats import keras_models
from vggfcn.errors import WeightsError


@pytest.fixture(scope="module")
def model():
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dropout(0.5)], name="inner"
    )
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2, name="b")])
    model.compile("adam")
    return model


def test_an_archive(model, tmp_path):
    model.save(tmp_path / "m.keras")
    stored = keras_models.read(tmp_path / "m.keras")
    assert (stored.config["class_name"], stored.version, stored.by_layer) == ("Sequential", keras.__version__, False)
    assert {path: sorted(group) for path, group in stored.groups.items()} == {
        "layers/dense": ["0", "1"],
        "layers/sequential/layers/dense": ["0", "1"],
    }
    assert stored.names["layers/dense"] == "b"
    np.testing.assert_array_equal(stored.groups["layers/dense"]["0"].read(), model.get_layer("b").kernel)


def test_an_unpacked_and_a_compressed_archive(model, tmp_path):
    model.save(tmp_path / "m.keras")
    expected = keras_models.read(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        archive.extractall(tmp_path / "folder")
        with zipfile.ZipFile(tmp_path / "c.keras", "w", zipfile.ZIP_DEFLATED) as packed:
            for name in archive.namelist():
                packed.writestr(name, archive.read(name))
    for name in ("folder", "c.keras"):
        stored = keras_models.read(tmp_path / name)
        assert (stored.config, stored.version) == (expected.config, expected.version)
        for found, array in zip(stored.arrays, expected.arrays, strict=True):
            np.testing.assert_array_equal(found.read(), array.read())


def test_hdf5(model, tmp_path):
    model.save(tmp_path / "m.h5")
    stored = keras_models.read(tmp_path / "m.h5")
    assert stored.by_layer
    assert stored.config["class_name"] == "Sequential"
    assert {name: [array.shape for array in group.values()] for name, group in stored.groups.items()} == {
        "inner": [(4, 3), (3,)],
        "b": [(3, 2), (2,)],
        "top_level_model_weights": [],
    }


def test_weights_alone(model, tmp_path):
    model.save_weights(tmp_path / "m.weights.h5")
    stored = keras_models.read(tmp_path / "m.weights.h5")
    assert stored.config is None
    assert len(stored.arrays) == 4


def test_a_model_without_weights(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]).save(tmp_path / "m.keras")
    assert keras_models.read(tmp_path / "m.keras").arrays == []


def changed(path, change):
    with h5py.File(path, "a") as file:
        change(file)


def link(file):
    del file["model_weights/b/sequential/b/kernel"]
    file["model_weights/b/sequential/b/kernel"] = h5py.ExternalLink("/etc/hostname", "/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__setitem__("model_config", "{"), "model_config is not valid JSON"),
        (lambda file: file.attrs.__setitem__("model_config", "[" * 100_000), "model_config is not valid JSON"),
        (lambda file: file["model_weights"].attrs.__setitem__("layer_names", ["b", "b"]), "lists more layers"),
        (lambda file: file["model_weights"].attrs.__setitem__("layer_names", ["c"]), "'c' is missing"),
        (
            lambda file: file["model_weights/b"].attrs.__setitem__("weight_names", ["b", "b"]),
            "lists an array of 'b' twice",
        ),
        (lambda file: file["model_weights/b"].attrs.__setitem__("weight_names", ["../a"]), "missing or a link"),
    ],
)
def test_damaged_hdf5(model, tmp_path, change, message):
    model.save(tmp_path / "m.h5")
    changed(tmp_path / "m.h5", change)
    with pytest.raises(WeightsError, match=message):
        keras_models.read(tmp_path / "m.h5")


def test_hdf5_of_others(tmp_path):
    changed(tmp_path / "m.h5", lambda file: file.create_group("data/images"))
    with pytest.raises(WeightsError, match="HDF5 data that Keras did not write"):
        keras_models.read(tmp_path / "m.h5")
    changed(tmp_path / "m.h5", lambda file: file.create_dataset("images", data=[1]))
    with pytest.raises(WeightsError, match="'images' is an array where Keras keeps none"):
        keras_models.read(tmp_path / "m.h5")


def test_an_archive_without_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(WeightsError, match=r"expected config.json and model\.weights\.h5 in the archive"):
        keras_models.read(tmp_path / "m.keras")


def test_configurations_in_files_of_their_own(model, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(model.to_json())
    assert keras_models.read_configuration(path) == json.loads(model.to_json())
    path.write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        keras_models.read_configuration(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        keras_models.read_configuration(tmp_path)
