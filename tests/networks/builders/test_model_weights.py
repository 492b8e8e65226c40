"""Every array of a file goes to the variable of its own layer, whatever the order; anything left over is refused."""

import dataclasses
import zipfile

import h5py
import keras
import numpy as np
import pytest

from vggfcn.checkpoints.formats import keras_models
from vggfcn.errors import WeightsError
from vggfcn.networks.builders.model_files import load_model
from vggfcn.networks.builders.model_weights import Filling

layers = keras.layers


def recurrent():
    """Layers inside layers: cells, both directions, projections, a layer at every step."""
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    x = layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], return_sequences=True)(x)
    x = layers.TimeDistributed(layers.Dense(4, activation="relu"))(x)
    y = layers.MultiHeadAttention(2, 3)(x, x)
    unit = keras.Sequential([keras.Input((6, 4)), layers.Conv1D(4, 3), layers.BatchNormalization()], name="unit")
    return keras.Model(inputs, layers.Flatten()(unit(layers.Add()([x, y]))))


def frozen():
    """A frozen nested model, whose arrays an .h5 file keeps in another order than those of a trained one."""
    parts = layers.Conv2D(3, 3), layers.BatchNormalization(), layers.Conv2D(3, 3), layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((8, 8, 3)), *parts])
    inner.trainable = False
    return keras.Sequential([keras.Input((8, 8, 3)), inner, layers.Flatten(), layers.Dense(2)])


def adapted():
    inner = keras.Sequential(
        [keras.Input((5,)), layers.Normalization(name="normalization"), layers.Dense(2)], name="inner"
    )
    inner.layers[0].adapt(np.random.default_rng(0).normal(3, 2, (50, 5)))
    return keras.Sequential([keras.Input((5,)), inner, layers.Dense(3)])


def randomize(model):
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "int" not in weight.dtype and "normalization/" not in weight.path:
            weight.assign(np.abs(generator.normal(0, 0.5, weight.shape)))
    return model


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("make", [recurrent, frozen, adapted], ids=lambda make: make.__name__)
def test_layers_inside_layers(make, suffix, tmp_path):
    model = randomize(make())
    model.save(tmp_path / f"m{suffix}")
    loaded, _ = load_model(tmp_path / f"m{suffix}")
    images = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6
    )


def small():
    return randomize(
        keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b")], name="s")
    )


def edited(tmp_path, change, name="m.h5"):
    small().save(tmp_path / name)
    with h5py.File(tmp_path / name, "a") as file:
        change(file["model_weights"])
    return tmp_path / name


def put(group, name, values):
    del group[name]
    group[name] = np.float32(values)


def test_arrays_are_found_by_the_names_of_layers(tmp_path):
    """Keras goes by the order that the file lists, and would exchange the two layers."""

    def change(group):
        group.attrs["layer_names"] = ["b", "a"]

    model = small()
    loaded, _ = load_model(edited(tmp_path, change))
    np.testing.assert_array_equal(loaded.get_layer("a").kernel, model.get_layer("a").kernel)


def test_and_by_the_names_of_arrays(tmp_path):
    def change(group):
        group["b"].attrs["weight_names"] = list(reversed(group["b"].attrs["weight_names"]))

    loaded, _ = load_model(edited(tmp_path, change))
    np.testing.assert_array_equal(loaded.get_layer("b").kernel, small().get_layer("b").kernel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda group: group.attrs.__setitem__("layer_names", ["a"]), r"\(4, 4\).*which the file does not have"),
        (lambda group: put(group, "b/s/b/kernel", np.zeros((4, 5))), "which the file does not have"),
        (lambda group: put(group, "b/s/b/kernel", np.full((4, 4), np.nan)), "NaN or infinite"),
        (lambda group: group.create_group("c").attrs.__setitem__("weight_names", []), None),
    ],
)
def test_files_that_do_not_fit(tmp_path, change, message):
    path = edited(tmp_path, change)
    if message is None:
        assert load_model(path)
        return
    with pytest.raises(WeightsError, match=message):
        load_model(path)


def extra(path, group, **arrays):
    with h5py.File(path, "a") as file:
        place = file.require_group(group)
        for name, values in arrays.items():
            place[name] = np.float32(values)
        if "model_weights" in file:
            place.attrs["weight_names"] = list(arrays)
            names = [*file["model_weights"].attrs["layer_names"], group.rpartition("/")[2]]
            file["model_weights"].attrs["layer_names"] = names


def test_arrays_that_are_left_over(tmp_path):
    small().save(tmp_path / "m.h5")
    extra(tmp_path / "m.h5", "model_weights/c", kernel=[1, 2])
    with pytest.raises(WeightsError, match="has arrays for the layers c, which the configuration does not have"):
        load_model(tmp_path / "m.h5")
    small().save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "m.json").write_text(small().to_json())
    assert load_model(tmp_path / "m.weights.h5", architecture=tmp_path / "m.json")
    extra(tmp_path / "m.weights.h5", "layers/dense_2/vars", **{"0": [1, 2]})
    with pytest.raises(WeightsError, match="has arrays at 'layers/dense_2', where the configuration has no layer"):
        load_model(tmp_path / "m.weights.h5", architecture=tmp_path / "m.json")


def test_every_variable_is_filled(tmp_path):
    """Building within the file's arrays finds this first; the filling does not rely on it."""
    model = small()
    model.save(tmp_path / "m.h5")
    stored = keras_models.read(tmp_path / "m.h5")
    partial = dataclasses.replace(stored, groups={"a": stored.groups["a"]})
    with pytest.raises(WeightsError, match="has no arrays for s/b/kernel, s/b/bias: the file and the configuration"):
        Filling(partial, stored.config, model, own=True).fill()


def test_a_layer_of_another_name_at_its_path(tmp_path):
    small().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        archive.extractall(tmp_path / "m")
    with h5py.File(tmp_path / "m" / "model.weights.h5", "a") as file:
        file["layers/dense/vars"].attrs["name"] = "b"
    with pytest.raises(WeightsError, match=r"has arrays at 'layers/dense' \(b\)"):
        load_model(tmp_path / "m")
