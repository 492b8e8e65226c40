"""Values, and what a rule can do with the call of a layer."""

import keras
import numpy as np
import pytest
from layer_calls import call_of, map_value

from vggfcn.conversion.call import map_shape, split_shape
from vggfcn.errors import ConversionError

layers = keras.layers


@pytest.mark.parametrize(("order", "shape"), [("hwc", (5, 6, 3)), ("chw", (3, 5, 6))])
def test_the_shape_of_a_map_and_back(order, shape):
    assert map_shape((5, 6), 3, order) == shape
    assert split_shape(shape, order) == ((5, 6), 3)


@pytest.mark.parametrize(
    ("value", "is_map", "channel_axis", "channels_last"),
    [
        pytest.param(map_value((5, 6), 3), True, 3, True, id="a map"),
        pytest.param(map_value((5, 6), 3, "chw"), True, 1, False, id="a channels-first map"),
        pytest.param(map_value((5, 6), 3, shape=(90,)), False, None, False, id="an unrolled map"),
        pytest.param(map_value((5, 6), 3, shape=(30, 3)), False, 2, True, id="tokens"),
        pytest.param(map_value((5, 6), 3, "chw", shape=(30, 3)), False, None, False, id="tokens that are not pixels"),
        pytest.param(map_value((1, 1), 3, shape=(3,)), False, 1, True, id="a vector"),
        pytest.param(map_value((1, 1), 3, "chw", shape=(3,)), False, 1, True, id="a vector from a channels-first map"),
        pytest.param(map_value((1, 1), 3, "chw"), True, 1, False, id="a channels-first map of one cell"),
    ],
)
def test_where_a_value_has_its_channels(value, is_map, channel_axis, channels_last):
    assert (value.is_map, value.channel_axis, value.channels_last) == (is_map, channel_axis, channels_last)


def test_a_layer_is_kept_with_its_weights_and_reported_as_unchanged():
    layer, value = layers.Conv2D(4, 3, name="conv"), map_value((5, 6), 3)
    call = call_of(layer, value)
    tensor = call.keep()
    report = call.report(map_value((3, 4), 4))
    assert (report.path, report.before, report.after, report.changed) == ("conv", "Conv2D", "kept", False)
    assert (report.shape_before, report.shape_after) == ((None, 3, 4, 4), (None, None, None, 4))
    assert report.parameters == 3 * 3 * 3 * 4 + 4
    copy = keras.Model(value.tensor, tensor).get_layer("conv")
    np.testing.assert_array_equal(copy.kernel, layer.kernel)
    assert copy is not layer


def test_changes_replacements_and_context_are_reported():
    value = map_value((5, 6), 3)
    call = call_of(layers.Conv2D(4, 3), value)
    call.keep({"strides": (1, 1)})
    assert call.report(value).after == "kept, strides=(1, 1)"
    assert call.report(value).changed
    call = call_of(layers.Dense(4), value)
    call.replace("Conv2D 1 x 1", lambda name: layers.Conv2D(4, 1, name=name), value.tensor)
    assert (call.report(value).after, call.report(value).changed) == ("Conv2D 1 x 1", True)
    call = call_of(layers.ReLU(), value)
    call.keep_as_context()
    assert (call.report(value).after, call.report(value).whole_image) == ("kept + whole image", True)
    assert call_of(layers.ReLU(), value).report(value).after == "dropped"


def test_refusals_name_the_layer_the_reason_and_what_to_do():
    call = call_of(layers.ReLU(name="relu"), map_value((5, 6), 3))
    with pytest.raises(ConversionError, match=r"^relu \(ReLU\): is blue; paint it$"):
        call.refuse("is blue", "paint it")


def test_the_only_input_is_asked_of_layers_with_several():
    value = map_value((5, 6), 3)
    assert call_of(layers.ReLU(), value).value is value
    with pytest.raises(ConversionError, match=r"add \(Add\): expected one input, got 2; remove the layer"):
        _ = call_of(layers.Add(name="add"), value, value).value
