"""What the walk over a graph adds to the rules: copies of nested models, notes, and refusals of its own."""

import keras
import numpy as np
import pytest
from networks import REFUSED, cube, head, noise, plain, randomize, relative_difference, run, two_scales

import vggfcn
from vggfcn.conversion import convert as conversion
from vggfcn.conversion.walk import _flowing_into_maps
from vggfcn.errors import ConversionError
from vggfcn.graph.layers import Kind
from vggfcn.graph.walking import graph_of

layers = keras.layers


def lora():
    model = plain()
    model.get_layer("fc1").enable_lora(2)
    return model


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (two_scales, "trunk: is called on different kinds of input; made copy 2"),
        (lora, r"fc1 \(Dense\): merged its low-rank adaptation into the kernel"),
        (
            lambda: head(layers.Flatten(), layers.Dense(5, activation=cube)),
            "assumed that cube works on each value separately",
        ),
        (
            lambda: head(layers.Flatten(), layers.Dense(5, kernel_constraint="max_norm")),
            "dropped its kernel constraint",
        ),
    ],
    ids=["one nested model on two sizes", "low-rank adaptation", "a custom activation", "a kernel constraint"],
)
def test_a_warning_says_what_is_dropped_or_assumed(build, note, tmp_path):
    model = randomize(build())
    with pytest.warns(UserWarning, match=note):
        converted = vggfcn.convert(model)
    assert len(converted.conversion.notes) == 1
    images = noise(model)
    for one, other in zip(run(converted, images), run(model, images), strict=True):
        assert relative_difference(one, other) < 1e-5
    converted.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", custom_objects={"cube": cube})
    for one, other in zip(run(again, images), run(converted, images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_keras_refuses_is_refused_by_name(monkeypatch):
    def impossible(call):
        raise ValueError("no such shape")

    monkeypatch.setitem(conversion.RULES, Kind.FLATTEN, impossible)
    with pytest.raises(
        ConversionError, match=r"flatten \(Flatten\): does not work on maps .*; Keras says: no such shape"
    ):
        vggfcn.convert(plain())


def test_context_that_fits_one_size_only_is_refused_all_the_same():
    with pytest.raises(ConversionError, match="has weights for a whole 8 x 8 map"):
        vggfcn.convert(REFUSED["dense inside"][0](), keep_global=True)


def test_layers_with_several_outputs_that_are_not_channels_are_refused():
    image = keras.Input((8, 8, 4))
    mean, variance = keras.ops.moments(image, axes=[3], keepdims=True)
    with pytest.raises(ConversionError, match=r"moments\w* \(Moments\): has no conversion rule"):
        vggfcn.convert(keras.Model(image, keras.layers.Add()([mean, variance])))
    one, other = keras.ops.split(image, 2, axis=1)
    with pytest.raises(ConversionError, match=r"split\w* \(Split\): splits rows or columns; split the channels"):
        vggfcn.convert(keras.Model(image, keras.layers.Add()([one, other])))


def gate_and_head(image):
    """Two global poolings: the first feeds back into a map, the second does not."""
    gate = layers.Reshape((1, 1, 3))(layers.GlobalMaxPooling2D(name="gate")(image))
    return layers.Dense(2, name="dense")(layers.GlobalMaxPooling2D(name="head")(layers.Multiply()([image, gate])))


@pytest.mark.parametrize("nested", [False, True], ids=["in one model", "in a nested model"])
def test_what_flows_back_into_a_map_is_told_from_the_head(nested):
    image, inner = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    model = keras.Model(image, gate_and_head(image))
    wanted = model
    if nested:
        wanted = keras.Model(inner, gate_and_head(inner))
        model = keras.Model(image, wanted(image))
    flowing = _flowing_into_maps(graph_of(model))
    outputs = {layer.name: layer.output for layer in wanted.layers if layer.name in ("gate", "head", "dense")}
    assert {name for name, tensor in outputs.items() if id(tensor) in flowing} == {"gate"}
