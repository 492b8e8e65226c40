"""Which networks take pixels from 0 to 255: those whose first layers prove it, and no others."""

import keras
import numpy as np
import pytest

from vggfcn.graph.prologue import prologue, takes_pixels

layers, applications = keras.layers, keras.applications


def network(*first, channels=3):
    inputs = keras.Input((32, 32, channels))
    x = inputs
    for layer in first:
        x = layer(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)))


def nested(*first):
    inner = network(*first)
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, layers.Dense(2)(inner(inputs)))


def normalization(mean, std):
    return layers.Normalization(mean=mean, variance=[value**2 for value in std])


TAKE_PIXELS = {
    "divided by 255": lambda: network(layers.Rescaling(1 / 255)),
    "to -1..1": lambda: network(layers.Rescaling(1 / 127.5, -1)),
    "minus the mean": lambda: network(normalization([123.68, 116.78, 103.94], [1, 1, 1])),
    "normalised": lambda: network(normalization([124, 116, 104], [58, 57, 57])),
    "augmentation first": lambda: network(layers.RandomFlip(), layers.RandomRotation(0.1), layers.Rescaling(1 / 255)),
    "resized first": lambda: network(layers.Resizing(16, 16), layers.Rescaling(1 / 255)),
    "two steps": lambda: network(
        layers.Rescaling(1 / 255), normalization([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    ),
    "arithmetic": lambda: network(lambda x: x / 127.5 - 1),
    "BGR by hand": lambda: network(lambda x: x[..., ::-1] - np.float32([103.9, 116.8, 123.7])),
    "grey": lambda: network(layers.Rescaling(1 / 255), channels=1),
    "squared": lambda: network(lambda x: keras.ops.square(x / 255)),
    "nested": lambda: nested(layers.Rescaling(1 / 255)),
    "caffe": lambda: network(applications.vgg16.preprocess_input),
    "tf": lambda: network(applications.mobilenet_v2.preprocess_input),
    "torch": lambda: network(applications.densenet.preprocess_input),
}
DO_NOT_SAY = {
    "nothing": lambda: network(),
    "batch normalisation": lambda: network(layers.BatchNormalization()),
    "augmentation alone": lambda: network(layers.RandomFlip(), layers.RandomZoom(0.1)),
    "a normalisation for 0..1": lambda: network(normalization([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
    "centred, for 0..1": lambda: network(layers.Rescaling(1, -0.5)),
    "doubled, for 0..1": lambda: network(layers.Rescaling(2, -1)),
    "times one": lambda: network(layers.Rescaling(1.0)),
    "cut off at 1, for 0..1": lambda: network(lambda x: keras.ops.clip(x, 0, 1)),
    "cut off at 6": lambda: network(layers.ReLU(max_value=6)),
    "tanh, for small values": lambda: network(layers.Activation("tanh")),
    "logarithms, for any range": lambda: network(lambda x: keras.ops.log1p(x)),
    "a convolution first": lambda: network(layers.Conv2D(3, 1), layers.Rescaling(1 / 255)),
    "one branch alone": lambda: network(
        lambda x: layers.Concatenate()([layers.Conv2D(3, 1)(x), layers.Conv2D(3, 1)(layers.Rescaling(1 / 255)(x))])
    ),
    "two branches that differ": lambda: network(
        lambda x: layers.Concatenate()(
            [layers.Conv2D(3, 1)(layers.Rescaling(1 / 127.5)(x)), layers.Conv2D(3, 1)(layers.Rescaling(1 / 255)(x))]
        )
    ),
    "one channel shut off": lambda: network(lambda x: x * np.float32([1 / 255, 1 / 255, 0])),
}


@pytest.mark.parametrize("name", TAKE_PIXELS)
def test_networks_that_prepare_pixels(name):
    model = TAKE_PIXELS[name]()
    found = prologue(model)
    assert found.takes_pixels
    assert found.layers
    assert takes_pixels(model)


@pytest.mark.parametrize("name", DO_NOT_SAY)
def test_networks_that_say_nothing(name):
    assert not takes_pixels(DO_NOT_SAY[name]())


def test_what_was_made_for_another_range_is_told_from_what_says_nothing():
    """Else people would be advised to divide by 255 what the network divides already."""
    others = ("a normalisation for 0..1", "centred, for 0..1", "doubled, for 0..1", "cut off at 1, for 0..1")
    for name, make in {**TAKE_PIXELS, **DO_NOT_SAY}.items():
        found = prologue(make())
        if name in others:
            assert found.takes_another_range, name
        elif name in TAKE_PIXELS or name == "one channel shut off":
            assert not found.takes_another_range, name
    hue = prologue(network(lambda x: keras.ops.image.rgb_to_hsv(x / 255)))
    assert (hue.takes_pixels, hue.takes_another_range) == (False, False)


def test_black_and_white_are_those_that_reach_the_first_layer_with_a_kernel():
    found = prologue(network(applications.vgg16.preprocess_input))
    np.testing.assert_allclose(found.black, [-103.939, -116.779, -123.68], rtol=1e-6)
    np.testing.assert_allclose(found.white, [255 - 103.939, 255 - 116.779, 255 - 123.68], rtol=1e-6)


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "MobileNetV3Small"])
def test_applications_that_prepare_pixels_themselves(name):
    assert takes_pixels(getattr(applications, name)(weights=None, input_shape=(32, 32, 3), include_top=False))


def test_models_without_a_graph_or_with_several_inputs_say_nothing():
    first, second = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    both = layers.Add()([layers.Rescaling(1 / 255)(first), second])
    assert not takes_pixels(keras.Model([first, second], both))
    assert not takes_pixels(keras.Sequential([layers.Rescaling(1 / 255)]))
