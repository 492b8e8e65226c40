"""Rules for layers inside a network: what each makes of a value, and what it refuses."""

import dataclasses
from fractions import Fraction

import keras
import pytest
from layer_calls import call_of, map_value

from vggfcn.conversion.rules import layers as rules
from vggfcn.errors import ConversionError

layers = keras.layers
MAP, FIRST = map_value((6, 8), 4), map_value((6, 8), 4, "chw")
FLAT, VECTOR = map_value((6, 8), 4, shape=(192,)), map_value((1, 1), 4, shape=(4,))
FLAT_FIRST = map_value((6, 8), 4, "chw", shape=(192,))
CONTEXT = map_value((1, 1), 4, is_context=True)


@pytest.mark.parametrize(
    ("rule", "layer", "value", "after", "fields"),
    [
        pytest.param(
            rules.sliding, layers.Conv2D(5, 3, (2, 1)), MAP, "kept",
            {"size": (2, 6), "channels": 5, "shape": (2, 6, 5), "stride": (2, 1)}, id="a convolution with a stride",
        ),
        pytest.param(
            rules.sliding, layers.Conv2DTranspose(5, 2, 2), MAP, "kept",
            {"size": (12, 16), "stride": (Fraction(1, 2), Fraction(1, 2))}, id="a transposed convolution",
        ),
        pytest.param(
            rules.sliding, layers.UpSampling2D((2, 3)), MAP, "kept",
            {"size": (12, 24), "stride": (Fraction(1, 2), Fraction(1, 3))}, id="upsampling",
        ),
        pytest.param(
            rules.sliding, layers.AveragePooling2D((6, 8)), MAP, "kept, strides=(1, 1)",
            {"size": (1, 1), "stride": (1, 1)}, id="an average pool over the whole map",
        ),
        pytest.param(
            rules.sliding, layers.AveragePooling2D((3, 8)), MAP, "kept",
            {"size": (2, 1), "stride": (3, 8)}, id="an average pool over part of the map",
        ),
        pytest.param(rules.pointwise, layers.ReLU(), FLAT, "kept", {"shape": (192,)}, id="an activation"),
        pytest.param(rules.along_channels, layers.BatchNormalization(axis=3), MAP, "kept", {}, id="a normalised map"),
        pytest.param(rules.along_channels, layers.Softmax(axis=1), FIRST, "kept", {}, id="softmax, channels first"),
        pytest.param(
            rules.along_channels, layers.BatchNormalization(axis=1), VECTOR, "kept, axis=-1", {},
            id="a normalised vector, whose axis is the last of a map",
        ),
        pytest.param(rules.prelu, layers.PReLU(shared_axes=[1, 2]), MAP, "kept", {}, id="one slope per channel"),
        pytest.param(rules.prelu, layers.PReLU(), VECTOR, "kept, shared_axes=[1, 2]", {}, id="the slopes of a vector"),
        pytest.param(
            rules.flatten, layers.Flatten(), MAP, "dropped", {"shape": (192,), "size": (6, 8), "order": "hwc"},
            id="Flatten",
        ),
        pytest.param(
            rules.flatten, layers.Flatten(data_format="channels_last"), FIRST, "Permute",
            {"shape": (192,), "order": "chw"}, id="Flatten of a channels-first map as it lies in memory",
        ),
        pytest.param(
            rules.flatten, layers.Flatten(data_format="channels_first"), FIRST, "Permute",
            {"shape": (192,), "order": "hwc"}, id="Flatten that moves the channels to the end",
        ),
        pytest.param(
            rules.reshape, layers.Reshape((48, 4)), MAP, "dropped", {"shape": (48, 4), "size": (6, 8)}, id="Reshape",
        ),
        pytest.param(
            rules.reshape, layers.Reshape((4, 1, 1)), VECTOR, "Permute", {"shape": (4, 1, 1), "order": "chw"},
            id="Reshape of a vector to a channels-first map",
        ),
        pytest.param(
            rules.reshape, layers.Reshape((4, 6, 8)), FLAT_FIRST, "Permute", {"shape": (4, 6, 8), "order": "chw"},
            id="Reshape back to a channels-first map",
        ),
        pytest.param(
            rules.permute, layers.Permute((3, 1, 2)), MAP, "kept", {"shape": (4, 6, 8), "order": "chw"}, id="Permute",
        ),
    ],
)  # fmt: skip
def test_what_a_rule_makes_of_a_value(rule, layer, value, after, fields):
    call = call_of(layer, value)
    output = rule(call)
    assert call.report(output).after == after
    assert {name: getattr(output, name) for name in fields} == fields
    unchanged = {"size", "channels", "order", "stride", "is_context"} - set(fields)
    if rule is not rules.sliding:
        assert {name: getattr(output, name) for name in unchanged} == {name: getattr(value, name) for name in unchanged}


def test_merged_maps_have_the_channels_of_all():
    narrow = map_value((6, 8), 3)
    output = rules.merging(call_of(layers.Concatenate(), MAP, narrow))
    assert (output.channels, output.shape, output.tensor.shape[-1]) == (7, (6, 8, 7), 7)
    assert rules.merging(call_of(layers.Multiply(), MAP, CONTEXT)).size == (6, 8)


@pytest.mark.parametrize(
    ("rule", "layer", "values", "message"),
    [
        pytest.param(
            rules.sliding, layers.Conv2D(2, 3, name="conv"), [map_value((6, 8), 4, shape=(8, 6, 4))],
            "conv (Conv2D): reads a map whose pixels were rearranged", id="rearranged pixels",
        ),
        pytest.param(
            rules.sliding, layers.MaxPooling2D(2, data_format="channels_first", name="pool"), [MAP],
            "pool (MaxPooling2D): reads a map whose pixels were rearranged: it is channels_first, and the map is "
            "channels_last; remove the Reshape or Permute before it; without one, train with a single data_format",
            id="channels taken for rows",
        ),
        pytest.param(
            rules.along_channels, layers.LayerNormalization(axis=1, name="norm"), [MAP],
            "norm (LayerNormalization): works along axes [1], the rows and columns of a 6 x 8", id="normalised rows",
        ),
        pytest.param(
            rules.prelu, layers.PReLU(shared_axes=[1], name="slopes"), [MAP],
            "slopes (PReLU): has a separate slope at each of 6 x 8 positions", id="a slope per column",
        ),
        pytest.param(
            rules.merging, layers.Add(name="add"), [MAP, dataclasses.replace(MAP, stride=(Fraction(2), Fraction(2)))],
            "merges maps whose cells stand for different windows: 6 x 8 (stride 1) and 6 x 8 (stride 2)",
            id="maps of different strides",
        ),
        pytest.param(
            rules.merging, layers.Add(name="add"), [MAP, dataclasses.replace(MAP, is_context=True)],
            "add (Add): merges a map of fixed size with one that grows with the image", id="a map of fixed size",
        ),
        pytest.param(
            rules.merging, layers.Concatenate(axis=1, name="join"), [MAP, MAP],
            "join (Concatenate): concatenates maps along rows or columns", id="maps joined along rows",
        ),
        pytest.param(
            rules.flatten, layers.Flatten(data_format="channels_first", name="flat"), [MAP],
            "flat (Flatten): flattens a channels-last map as channels first", id="Flatten of columns, channels, rows",
        ),
        pytest.param(
            rules.permute, layers.Permute((2, 1, 3), name="turn"), [MAP],
            "turn (Permute): moves rows or columns to other axes", id="a transposed map",
        ),
        pytest.param(
            rules.permute, layers.Permute((2, 3, 1), name="turn"), [MAP],
            "turn (Permute): moves rows or columns to other axes", id="rows taken for channels",
        ),
        pytest.param(
            rules.whole_image, layers.GlobalMaxPooling2D(name="pool"), [MAP],
            "pool (GlobalMaxPooling2D): depends on the whole image", id="context",
        ),
    ],
)  # fmt: skip
def test_refused(rule, layer, values, message):
    with pytest.raises(ConversionError) as refusal:
        rule(call_of(layer, *values))
    assert message in str(refusal.value)


def test_context_is_kept_when_asked_for_unless_the_map_was_flattened():
    layer = layers.GlobalMaxPooling2D(keepdims=True)
    call = call_of(layer, MAP, keep_global=True)
    output = rules.whole_image(call)
    assert (output.is_context, output.shape, call.report(output).whole_image) == (True, (1, 1, 4), True)
    norm = call_of(layers.GroupNormalization(2), MAP, keep_global=True)
    output = rules.whole_image(norm)
    assert output == dataclasses.replace(MAP, tensor=output.tensor)
    tokens = map_value((6, 8), 4, shape=(48, 4))
    with pytest.raises(ConversionError, match="reads a flattened map, whose length depends on the image"):
        rules.whole_image(call_of(layers.GlobalMaxPooling1D(), tokens, keep_global=True))
