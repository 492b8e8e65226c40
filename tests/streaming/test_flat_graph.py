"""A model as a flat list of calls: which ones, with which kernels, and what is refused."""

import keras
import numpy as np
import pytest
from networks import OwnLayer, attention, squeeze_and_excite
from pixels import layers_of
from streams import nested

from vggfcn.errors import ConversionError, GeometryError
from vggfcn.graph.kernels import Kernel1D
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.streaming.flat_graph import flatten
from vggfcn.streaming.schedule import Link

layers = keras.layers


def test_nested_models_are_expanded_and_calls_have_the_path_to_their_layer():
    model = nested()
    names = [layer.name for layer in model.get_layer("block").layers]
    paths = [call.path for call in flatten(model, (12, 13)).calls]
    # The block is called twice, then comes a pool of the outer model.
    assert paths == [*(f"block/{name}" for name in names[1:]), *(f"block/{name}" for name in names[1:]), paths[-1]]
    assert paths[-1] == model.layers[-1].name


def test_a_call_that_leads_nowhere_is_left_out():
    inner, image = keras.Input((None, None, 2)), keras.Input((None, None, 2))
    both = keras.Model(inner, [layers.Conv2D(2, 3, name="used")(inner), layers.Conv2D(2, 5, name="unused")(inner)])
    network = flatten(keras.Model(image, both(image)[0]), (12, 13))
    assert [call.layer.name for call in network.calls] == ["used"]
    assert network.plan().output == network.calls[0].target.number


def test_kernels_sizes_and_geometry_by_hand():
    model = layers_of(layers.Conv2D(3, (3, 5), padding="same"), layers.MaxPooling2D(2))
    network = flatten(model, (10, 13))
    conv, pool = network.calls
    assert (conv.rows, conv.columns) == (Kernel1D(3, before=1, after=1), Kernel1D(5, before=2, after=2))
    assert (pool.rows, pool.columns) == (Kernel1D(2, stride=2), Kernel1D(2, stride=2))
    assert [tensor.shape(4) for tensor in network.tensors] == [(1, 4, 13, 2), (1, 4, 13, 3), (1, 4, 6, 3)]
    assert network.output is network.tensors[2]
    # Two rows of a 3 x 3 kernel see four, one of them padding.
    assert network.geometry.rows == ReceptiveField(4, 2, 1)
    plan, across = network.plan(), network.plan(columns=True)
    assert plan.links == (Link((0,), 1, conv.rows), Link((1,), 2, pool.rows))
    assert (plan.heights, plan.output, plan.stride) == ((10, 10, 5), 2, 2)
    assert (across.links[0], across.heights) == (Link((0,), 1, conv.columns), (13, 13, 6))


def resized():
    image = keras.Input((None, None, 2))
    return keras.Model(image, layers.UpSampling2D(2, name="up")(layers.Conv2D(2, 3)(image)))


def of_two_sizes():
    image = keras.Input((None, None, 2))
    return keras.Model(image, layers.Add(name="join")([image, layers.Conv2D(2, 3)(image)]))


def of_each_row():
    image = keras.Input((16, 16, 2))
    return keras.Model(image, layers.Add(name="embed")([image, np.ones((16, 1, 2), np.float32)]))


def reflecting():
    image = keras.Input((None, None, 2))
    return keras.Model(image, keras.ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"))


REFUSED = {
    "channels first": (
        lambda: layers_of(layers.Conv2D(2, 3, data_format="channels_first", name="conv"), shape=(2, None, None)),
        "conv (Conv2D): works channels first; build the network channels last",
    ),
    "maps of different sizes": (of_two_sizes, "join (Add): combines maps of different sizes, 16 x 16 and 14 x 14"),
    "a number for each row": (of_each_row, "embed (Add): has a separate number for each row"),
    "a slope for each row": (
        lambda: layers_of(layers.PReLU(name="slopes"), shape=(16, 16, 2)),
        "slopes (PReLU): has a separate number for each row; give it one for each channel",
    ),
    "reflection": (reflecting, "(Pad): pads with pixels from inside the image (mode reflect)"),
    "an image that is too small": (
        lambda: layers_of(layers.Conv2D(2, 17, name="conv")),
        "conv (Conv2D): has no output for a map of 16 x 16 cells; use a larger image",
    ),
}


@pytest.mark.parametrize(("build", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_refuses_what_cannot_run_on_a_few_rows_and_names_the_layer(build, message):
    with pytest.raises(GeometryError) as refusal:
        flatten(build(), (16, 16))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(squeeze_and_excite, id="global pooling"),
        pytest.param(attention, id="attention"),
        pytest.param(resized, id="resizing"),
        pytest.param(lambda: layers_of(layers.Conv2DTranspose(2, 3, 2)), id="a transposed convolution with a stride"),
        pytest.param(lambda: layers_of(OwnLayer()), id="a custom layer"),
    ],
)
def test_refuses_what_has_no_receptive_field_with_the_same_words(build):
    model = build()
    with pytest.raises(GeometryError) as expected:
        receptive_field(model, size=(16, 16))
    with pytest.raises(GeometryError) as refusal:
        flatten(model, (16, 16))
    assert str(refusal.value) == str(expected.value)


def test_refuses_what_has_no_graph():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        flatten("model.keras", (16, 16))
    with pytest.raises(ConversionError, match="has not been built"):
        flatten(keras.Sequential([layers.Conv2D(2, 3)], name="open"), (16, 16))
