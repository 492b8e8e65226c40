"""Small networks to stream, and a stream's map held against the same network on the whole image."""

import contextlib
import functools

import keras
import numpy as np
import pytest
from networks import randomize
from pixels import layers_of, positive

import vggfcn
from vggfcn.streaming.stream import Stream
from vggfcn.streaming.strips import Strip, strips

layers = keras.layers
WEIGHTS = {"positive": positive, "random": randomize}


@contextlib.contextmanager
def without_compiling():
    """Run steps eagerly: for networks this small, compiling takes longer than running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "_compiled", lambda self, block: functools.partial(self._step, block))
        yield


def image_for(model, height, width, seed=3):
    """No two neighbours are equal, and no value is far from 1: positive weights keep every pixel visible."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, (height, width, model.inputs[0].shape[-1])).astype(np.float32)


def whole(model, image):
    return np.asarray(model(image[None], training=False))[0]


def collected(parts, shape):
    """The map put together; each cell must come exactly once."""
    found, times = np.full(shape, np.nan, np.float32), np.zeros(shape[:2], int)
    for row, column, logits in parts:
        place = slice(row, row + logits.shape[0]), slice(column, column + logits.shape[1])
        found[place] = logits
        times[place] += 1
    assert (times == 1).all()
    return found


def blocks_of(model, image, strip, block_rows):
    """First row, first column and logits of each block of a strip, without the cells that see its border."""
    pixels = image[:, strip.start : strip.stop]
    for row, logits in Stream(model, pixels.shape[:2], block_rows).run(lambda start, stop: pixels[start:stop]):
        yield row, strip.first, logits[:, strip.cut : strip.cut + strip.last - strip.first]


def check(model, image, block_rows=128, strip_columns=None, cut=strips):
    """Stream the image, in strips that `cut` makes or at full width; the map must be that of the whole image.

    Returns the strips.
    """
    expected = whole(model, image)
    shape, size = expected.shape, image.shape[:2]
    parts = cut(model, size, strip_columns) if strip_columns else [Strip(0, size[1], 0, shape[1], 0)]
    found = collected((block for strip in parts for block in blocks_of(model, image, strip, block_rows)), shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    return parts


def branches():
    """Paths of different length meet, twice; one goes nowhere."""
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(3, 3, 2, "same", activation="relu")(image)
    long = layers.Conv2D(3, (5, 3), padding="same", dilation_rate=2)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Add()([x, long])
    short, pooled = layers.Conv2D(2, 1, 2)(x), layers.AveragePooling2D(3, 2, "same")(x)
    layers.Conv2D(2, 7)(x)
    return keras.Model(image, layers.Concatenate()([pooled, short, layers.MaxPooling2D(3, 2, "same")(x)]))


def nested():
    inner, image = keras.Input((None, None, 2)), keras.Input((None, None, 2))
    block = keras.Model(inner, layers.Add()([inner, layers.DepthwiseConv2D(3, padding="same")(inner)]), name="block")
    return keras.Model(image, layers.MaxPooling2D(3, 2)(block(block(image))))


def operations():
    image = keras.Input((None, None, 2))
    x = keras.ops.pad(image * 2.0 + 1.0, ((0, 0), (4, 0), (0, 1), (0, 0)), constant_values=3.0)
    x = keras.ops.multiply(layers.Conv2D(2, 3)(x), np.array([2.0, 3.0], np.float32))
    return keras.Model(image, keras.ops.relu(x) / 3.0)


def cropped():
    """Rows that padding alone fills, and rows that nobody reads."""
    return layers_of(
        layers.ZeroPadding2D(((7, 5), (2, 0))),
        layers.Conv2D(2, 3, 3),
        layers.Cropping2D(((3, 1), (0, 2))),
        layers.Conv2D(2, 2, padding="same"),
    )


def shared():
    """One layer with weights, called twice at different heights."""
    image = keras.Input((None, None, 2))
    conv = layers.Conv2D(2, 3, padding="same", activation=layers.LeakyReLU(0.2))
    return keras.Model(image, conv(layers.MaxPooling2D(2, padding="same")(conv(image))))


def finer(stride):
    def make():
        stages = (layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(2), layers.AveragePooling2D(3, 2, "same"))
        chain = layers_of(*stages, layers.Conv2D(3, 3, 2, "same"), layers.MaxPooling2D(3, 1, "same"))
        return vggfcn.with_output_stride(randomize(chain), stride, share_weights=True)

    return make


NETWORKS = {
    "branches": branches,
    "nested models": nested,
    "operations of keras.ops": operations,
    "zeros and crops": cropped,
    "a layer called twice": shared,
    "a stride and SAME padding": lambda: layers_of(layers.Conv2D(2, 3, 2, "same"), layers.Conv2D(2, 2, 2, "same")),
    "wide strides": lambda: layers_of(layers.Conv2D(2, 5, 4, "same"), layers.Conv2D(2, 2, 3, "same")),
    "strides wider than kernels": lambda: layers_of(layers.Conv2D(2, 1, 3), layers.MaxPooling2D(1, 2, "same")),
    "pools with SAME padding": lambda: layers_of(
        layers.MaxPooling2D(3, 2, "same"), layers.AveragePooling2D(4, 1, "same")
    ),
    "pools of negative numbers": lambda: layers_of(
        layers.Rescaling(-1.0), layers.MaxPooling2D(3, 2, "same"), layers.MaxPooling2D(2, 2, "same")
    ),
    "pools without": lambda: layers_of(layers.MaxPooling2D(3, 2), layers.AveragePooling2D((2, 3), (2, 1))),
    "rows and columns apart": lambda: layers_of(
        layers.Conv2D(2, (3, 1), padding="same"), layers.Conv2D(2, (1, 4), strides=(1, 2), padding="same")
    ),
    "dilation": lambda: layers_of(layers.Conv2D(2, 2, dilation_rate=3, padding="same"), layers.Conv2D(2, 2, 2, "same")),
    "separable, grouped": lambda: layers_of(
        layers.SeparableConv2D(4, 3, 2, "same"), layers.Conv2D(2, 3, padding="same", groups=2)
    ),
    "transposed": lambda: layers_of(
        layers.Conv2DTranspose(3, (3, 2)), layers.Conv2DTranspose(2, 4, padding="same", activation="tanh")
    ),
    "normalisation, activations, a dense layer": lambda: layers_of(
        layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization(), layers.PReLU(shared_axes=[1, 2]),
        layers.Dropout(0.5), layers.RandomFlip(), layers.Dense(2), layers.LayerNormalization(), layers.Softmax(),
    ),
    "output stride 4": finer(4),
    "output stride 2": finer(2),
    "output stride 1": finer(1),
}  # fmt: skip
