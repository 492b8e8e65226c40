"""Models of other versions of Keras compute here what they computed there; code in files does not run."""

import json
import pathlib
import sys
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest
from golden_models import ARCHIVES, golden, golden_files, unpacked
from keras.src.backend.common import global_state
from paths import DATA

import vggfcn
from vggfcn.errors import WeightsError
from vggfcn.networks.builders.model_files import cause, load_model, refuse_foreign

layers = keras.layers


def assert_computes(path, images, outputs, **options):
    model, notes = load_model(path, **options)
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, outputs, rtol=0, atol=1e-5 * np.abs(outputs).max())
    return model, notes


def test_there_are_golden_files():
    assert [archive.stem for archive in ARCHIVES] == ["keras2.21", "keras3.8"]
    assert len(list(golden_files())) == 36


@pytest.mark.parametrize(
    ("archive", "name"), [pytest.param(*each, id=f"{each[0].stem} {each[1]}") for each in golden_files()]
)
def test_models_of_other_versions(archive, name, tmp_path):
    path, images, outputs = unpacked(archive, name, tmp_path)
    assert outputs.std() > 1e-3
    assert_computes(path, images, outputs)


@pytest.mark.parametrize(
    ("version", "name", "note"),
    [
        ("2.21", "teachable.h5", "rewrote 1 DepthwiseConv2D layer: dropped groups=1"),
        ("3.8", "on-top.keras", "rewrote 1 Functional layer: its one output is a tensor, not a list of one"),
        ("2.21", "preprocess-caffe.h5", "rewrote 1 TFOpLambda layer: tf.nn.bias_add became the operation Add"),
        ("2.21", "many-layers.h5", "rewrote 1 Activation layer: hard_sigmoid as Keras 2 computes it"),
    ],
)
def test_notes_say_what_was_rewritten(version, name, note, tmp_path):
    path, _, _ = golden(version, name, tmp_path)
    assert note in " ".join(load_model(path)[1])


def test_a_loaded_model_saves_and_loads_again(tmp_path):
    path, images, outputs = golden("2.21", "operations.h5", tmp_path)
    load_model(path)[0].save(tmp_path / "again.keras")
    _, notes = assert_computes(tmp_path / "again.keras", images, outputs)
    assert notes == ()


def test_the_content_decides_and_not_the_name(tmp_path):
    path, images, outputs = golden("2.21", "nested.h5", tmp_path)
    assert_computes(path.rename(tmp_path / "weights.bin"), images, outputs)
    path, images, outputs = golden("3.8", "nested.keras", tmp_path)
    assert_computes(path.rename(tmp_path / "model.zip"), images, outputs)


def test_what_was_loaded_converts(tmp_path):
    model, _ = load_model(golden("2.21", "teachable.h5", tmp_path)[0])
    assert vggfcn.convert(model).output_shape[-1] == 3


# Weights alone.


def network(units=3):
    parts = [layers.Conv2D(2, 3, name="first"), layers.Flatten(), layers.Dense(units, name="last")]
    return keras.Sequential([keras.Input((6, 6, 1)), *parts])


@pytest.mark.parametrize("version", ["2.21", "3.8"])
def test_an_architecture_in_json(version, tmp_path):
    path, images, outputs = golden(version, "nested.keras", tmp_path)
    with zipfile.ZipFile(path) as archive:
        (tmp_path / "m.weights.h5").write_bytes(archive.read("model.weights.h5"))
        config = json.loads(archive.read("config.json"))
    if version == "2.21":
        config["keras_version"] = "2.21.0"
    (tmp_path / "m.json").write_text(json.dumps(config))
    assert_computes(tmp_path / "m.weights.h5", images, outputs, architecture=tmp_path / "m.json")


def test_an_architecture_for_an_h5_of_weights(tmp_path):
    path, images, outputs = golden("2.21", "branches.h5", tmp_path)
    with h5py.File(path) as file, h5py.File(tmp_path / "w.h5", "w") as weights:
        (tmp_path / "m.json").write_text(file.attrs["model_config"])
        for name in file["model_weights"]:
            file.copy(f"model_weights/{name}", weights)
        weights.attrs.update(file["model_weights"].attrs)
    assert_computes(tmp_path / "w.h5", images, outputs, architecture=tmp_path / "m.json")


def test_a_network_of_keras_applications(tmp_path):
    model = keras.applications.MobileNet(weights=None, classes=4, alpha=0.25, input_shape=(32, 32, 3))
    model.save_weights(tmp_path / "m.weights.h5")
    loaded, notes = load_model(tmp_path / "m.weights.h5", architecture="MobileNet")
    assert loaded.output_shape == (None, 4)
    assert notes == ("images are 224 x 224, as in keras.applications: the weights do not state their size",)
    for found, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            None,
            r"has weights alone, without the layers; give --architecture \(architecture= in Python\): the JSON file "
            "that model.to_json",
        ),
        ("MobileNetV9", "got 'MobileNetV9'; there is no such file, and keras.applications has .*MobileNetV2"),
        ("MobileNetV2", "does not have the arrays of keras.applications.MobileNetV2: "),
        ("other.json", r"last \(Dense\): its configuration asks for an array \(32, 5\) for 'kernel'"),
    ],
)
def test_architectures_that_do_not_fit(architecture, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network().save_weights("m.weights.h5")
    pathlib.Path("other.json").write_text(network(5).to_json())
    with pytest.raises(WeightsError, match=message):
        load_model("m.weights.h5", architecture=architecture)


def test_a_whole_model_needs_no_architecture(tmp_path):
    network().save(tmp_path / "m.keras")
    with pytest.raises(WeightsError, match="is a whole model and needs no architecture"):
        load_model(tmp_path / "m.keras", architecture="MobileNetV2")


# Hostile files.


def with_config(path, change):
    """A model's file with another configuration."""
    network().save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            change(config["config"]["layers"])
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"])
def test_variables_of_other_dtypes(policy, tmp_path):
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(3, dtype=policy, bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.BatchNormalization(dtype=policy)])
    model.save(tmp_path / "m.keras")
    found = load_model(tmp_path / "m.keras")[0]
    expected = keras.saving.load_model(tmp_path / "m.keras")
    for one, other in zip(found.weights, expected.weights, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))


def test_numbers_that_are_none_in_bfloat16(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")])
    model.layers[0].bias.assign([0, np.nan, 0])
    model.save(tmp_path / "m.keras")
    with pytest.raises(WeightsError, match="holds NaN or infinite numbers"):
        load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("units", [2**31, 10**30, -1, "3", None])
def test_layers_are_no_larger_than_the_file(suffix, units, tmp_path):
    path = with_config(tmp_path / f"m{suffix}", lambda parts: parts[-1]["config"].update(units=units))
    with pytest.raises(WeightsError, match=r"last \(Dense\): "):
        load_model(path)


def test_models_in_wrappers_are_no_larger_than_the_file(tmp_path):
    """A wrapper builds the model within it as soon as it is made."""
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="huge")])
    keras.Sequential([keras.Input((3, 2)), keras.layers.TimeDistributed(inner)]).save(tmp_path / "m.keras")
    text = (
        zipfile.ZipFile(tmp_path / "m.keras").read("config.json").decode().replace('"units": 2', '"units": 2000000000')
    )
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights)
    with pytest.raises(WeightsError, match=r"huge \(Dense\): its configuration asks for an array \(2, 2000000000\)"):
        load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_classes_that_this_process_knows_are_not_used(suffix, tmp_path):
    """Not even registered ones: what a file may name does not depend on what is installed."""
    ran = []

    @keras.saving.register_keras_serializable("mine")
    class Runs(layers.Layer):
        def __init__(self, **options):
            ran.append(1)
            super().__init__(**options)

    part = {"class_name": "Runs", "module": "mine", "registered_name": "mine>Runs", "config": {"name": "runs"}}
    path = with_config(tmp_path / f"m{suffix}", lambda parts: parts.insert(1, part))
    with pytest.raises(WeightsError, match=r"runs \(Runs\): the file needs the class 'Runs'"):
        load_model(path)
    assert not ran


def test_code_is_not_run_when_unsafe_loading_is_on(tmp_path):
    """`enable_unsafe_deserialization` is for files that the user trusts; this loader does not look at it."""
    mark = str(tmp_path / "mark")
    touch = layers.Lambda(lambda x: (__import__("pathlib").Path(mark).touch(), x)[1])
    keras.Sequential([keras.Input((4,)), touch, layers.Dense(2)]).save(tmp_path / "evil.keras")
    pathlib.Path(mark).unlink()
    keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(WeightsError, match=r"a Lambda layer, whose Python code is in the file.*no code"):
            load_model(tmp_path / "evil.keras")
        assert not pathlib.Path(mark).exists()
        keras.saving.load_model(tmp_path / "evil.keras")
        assert pathlib.Path(mark).exists()  # Keras runs it.
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)


# What Keras refuses.


def test_keras_says_why_and_the_layer_is_named(tmp_path):
    path = with_config(tmp_path / "m.keras", lambda parts: parts[1]["config"].update(odd=1))
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    words = str(caught.value).removeprefix(f"{path}: ")
    assert words.startswith(f"first (Conv2D): Keras {keras.__version__} cannot make this layer: Unrecognized keyword")
    assert "{'odd': 1}" in words
    assert "\n" not in words


def test_layers_that_do_not_fit_each_other(tmp_path):
    path = with_config(tmp_path / "m.keras", lambda parts: parts.pop(2))
    with pytest.raises(WeightsError, match=r"an array|cannot connect the model's layers"):
        load_model(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain.", "plain"),
        (
            "X could not be deserialized.\n\nconfig={...}.\n\nException encountered: no axis.\n\nArguments received by",
            "no axis",
        ),
        ("", "ValueError"),
        ("a" * 1000, "a" * 148 + " ... " + "a" * 147),
    ],
)
def test_the_real_cause(text, expected):
    assert cause(ValueError(text)) == expected


def test_other_files_are_named():
    with pytest.raises(WeightsError, match="is a torch file"):
        load_model(DATA / "micro-torchvision.pth")


# Models of other libraries.


@pytest.mark.parametrize("module", ["tf_keras.src.engine.functional", "tensorflow.python.keras.engine.training"])
def test_models_of_keras_2(module):
    cls = type("Functional", (), {"__module__": module})
    mine = type("Mine", (cls,), {})
    for model in (cls(), mine()):
        with pytest.raises(TypeError, match=r"expected a model of Keras 3, got one of t\w+: save it with model\.save"):
            refuse_foreign(model)


def test_models_of_keras_3_are_not_refused():
    refuse_foreign(network())
    refuse_foreign(types.SimpleNamespace())
    assert "tf_keras" not in sys.modules
