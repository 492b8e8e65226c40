"""What a network does with its images first: resizing is dropped, and the check looks at Keras's own resized images."""

import keras
import numpy as np
import pytest
from networks import randomize, relative_difference

import vggfcn
from vggfcn.errors import ConversionError
from vggfcn.graph.fronts import fronts_of
from vggfcn.graph.walking import graph_of

layers = keras.layers


def tail():
    return layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(3)


def of(*first, shape=(30, 26, 3)):
    return randomize(keras.Sequential([keras.Input(shape), *first, *tail()]))


RESIZED = {
    "Resizing": lambda: of(layers.Resizing(13, 11)),
    "after augmentation": lambda: of(layers.RandomFlip(), layers.Resizing(13, 11, "bicubic"), layers.Rescaling(0.5)),
    "in a nested model": lambda: of(keras.Sequential([layers.Resizing(13, 11), layers.Rescaling(0.5)])),
    "CenterCrop": lambda: of(layers.CenterCrop(13, 11)),
    "two of them": lambda: of(layers.CenterCrop(20, 20), layers.Resizing(13, 11)),
    "an open size": lambda: of(layers.Resizing(13, 11), shape=(None, None, 3)),
}


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in RESIZED.items()])
def test_the_network_scans_windows_of_the_size_that_resizing_makes(build):
    original = build()
    with pytest.warns(
        UserWarning, match="dropped; windows now have 13 x 11 pixels, and images are scanned as they come"
    ):
        converted = vggfcn.convert(original)
    assert converted.conversion.native_shapes == ((13, 11, 3),)
    front = fronts_of(graph_of(original))[0]
    image = np.random.default_rng(0).uniform(0, 255, (2, 30, 26, 3)).astype(np.float32)
    small = image
    for layer in front.layers:
        small = np.asarray(layer(small))
    assert small.shape == (2, 13, 11, 3)
    expected = original.predict(image, verbose=0)
    assert relative_difference(converted.predict(small, verbose=0)[:, 0, 0], expected) < 1e-6
    assert converted.predict(image, verbose=0).shape[1:3] == (9, 8)
    assert vggfcn.verify(original, converted).ok
    converted.layers[-1].bias.assign([1.0, 2.0, 3.0])
    assert not vggfcn.verify(original, converted).ok


FLAT = {
    "Reshape": (lambda: of(layers.Reshape((16, 14, 1)), shape=(224,)), (16, 14, 1)),
    "after scaling": (
        lambda: of(layers.Rescaling(1 / 255), layers.Dropout(0.1), layers.Reshape((16, 14, 1)), shape=(224,)),
        (16, 14, 1),
    ),
    "in two steps": (lambda: of(layers.Reshape((16, 14)), layers.Reshape((16, 14, 1)), shape=(224,)), (16, 14, 1)),
    "with colours": (lambda: of(layers.Reshape((16, 14, 3)), shape=(672,)), (16, 14, 3)),
}


@pytest.mark.parametrize(("build", "shape"), [pytest.param(*case, id=name) for name, case in FLAT.items()])
def test_flat_images_become_images(build, shape):
    original = build()
    converted = vggfcn.convert(original)
    assert converted.input_shape == (None, None, None, shape[-1])
    assert converted.conversion.native_shapes == (shape,)
    image = np.random.default_rng(0).standard_normal((1, 20, 18, shape[-1])).astype(np.float32)
    found = converted.predict(image, verbose=0)[0]
    assert found.shape == (3, 3, 3)
    for row, column in np.ndindex(3, 3):
        window = image[:, 2 * row : 2 * row + 16, 2 * column : 2 * column + 14]
        expected = original.predict(window.reshape(1, -1), verbose=0)[0]
        np.testing.assert_allclose(found[row, column], expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def branched():
    image = keras.Input((17, 13, 3))
    small = layers.GlobalMaxPooling2D()(layers.Resizing(9, 9, name="resize")(image))
    return keras.Model(image, layers.Dense(3)(layers.Concatenate()([small, layers.GlobalMaxPooling2D()(image)])))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: of(layers.Rescaling(2.0), layers.Resizing(13, 11, name="resize")), id="after scaling"),
        pytest.param(
            lambda: of(
                layers.Rescaling(2.0),
                layers.Reshape((16, 14, 1)),
                layers.Resizing(13, 11, name="resize"),
                shape=(224,),
            ),
            id="after scaling of flat images",
        ),
        pytest.param(branched, id="beside a branch that reads the image itself"),
    ],
)
def test_resizing_elsewhere_is_refused(build):
    with pytest.raises(ConversionError, match=r"resize \(Resizing\): resizes every image to a fixed size"):
        vggfcn.convert(build())


def test_resizing_that_does_nothing_is_dropped_with_a_note():
    original = of(layers.Rescaling(0.5), layers.Resizing(30, 26, name="resize"))
    with pytest.warns(UserWarning, match=r"resize \(Resizing\): dropped: it does nothing at native size, 30 x 26"):
        assert vggfcn.convert(original).conversion.native_shapes == ((30, 26, 3),)


def beside(join):
    image, vector = keras.Input((13, 11, 3)), keras.Input((6,))
    scores = layers.Dense(8, activation="relu")(layers.Flatten()(layers.Conv2D(4, 3, strides=2)(image)))
    return keras.Model([image, vector], layers.Dense(3)(join(scores, layers.Dense(8)(vector))))


@pytest.mark.parametrize("join", [lambda x, y: layers.Concatenate()([y, x]), lambda x, y: x + y, lambda x, y: y * x])
def test_a_vector_beside_an_image_is_the_same_for_every_window(join):
    original = randomize(beside(join))
    converted = vggfcn.convert(original)
    rng = np.random.default_rng(0)
    image, vector = rng.standard_normal((2, 17, 15, 3)), rng.standard_normal((2, 6))
    found = converted.predict([image, vector], verbose=0)
    assert found.shape == (2, 3, 3, 3)
    for row, column in np.ndindex(3, 3):
        window = image[:, 2 * row : 2 * row + 13, 2 * column : 2 * column + 11]
        expected = original.predict([window, vector], verbose=0)
        np.testing.assert_allclose(found[:, row, column], expected, rtol=0, atol=2e-6 * np.abs(expected).max())
