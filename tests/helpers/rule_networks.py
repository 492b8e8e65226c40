"""Small networks without padding, one for each conversion rule, and the original's own scores of every window."""

import warnings

import keras
import networks
import numpy as np

import vggfcn

layers, ops = keras.layers, keras.ops
preprocess = keras.applications.imagenet_utils.preprocess_input
SIZE = (13, 11)
EXTRA = (9, 8)  # Rows and columns by which images are larger than native size.


def conv(x, filters=5, stride=2, **options):
    return layers.Conv2D(filters, 3, strides=stride, activation="relu", **options)(x)


def after(first, shape=(*SIZE, 3), **options):
    """A network that starts with these operations on its images."""

    def build():
        image = keras.Input(shape)
        return keras.Model(image, layers.Dense(4)(layers.Flatten(**options)(conv(first(image), **options))))

    return build


def before(head, shape=(*SIZE, 3)):
    """A network that ends with this head on a map."""

    def build():
        image = keras.Input(shape)
        return keras.Model(image, head(conv(image)))

    return build


def flat(*middle):
    """These layers between Flatten and a dense layer."""

    def head(x):
        x = layers.Flatten()(x)
        for layer in middle:
            x = layer()(x) if isinstance(layer, type) else layer(x)
        return layers.Dense(4)(x)

    return before(head)


def joined(*branches, merge=layers.Concatenate, shape=(15, 15, 3)):
    """Branches from one map and from a deeper one."""

    def build():
        image = keras.Input(shape)
        shallow = conv(image)
        deep = conv(shallow, 6)
        return keras.Model(image, layers.Dense(4)(merge()([branch(shallow, deep) for branch in branches])))

    return build


def pyramid(x):
    pools = [layers.Flatten()(layers.MaxPooling2D(size)(x)) for size in (1, 2, 4)]
    return layers.Dense(4)(layers.Concatenate()([layers.GlobalMaxPooling2D()(x), *pools]))


def first(build):
    """Channels first."""
    return after(build, (3, *SIZE), data_format="channels_first")


CHANNELS = {
    "channels reversed by a slice": after(lambda x: x[..., ::-1]),
    "some channels": after(lambda x: x[..., :2]),
    "one channel": after(lambda x: x[:, :, :, 1:2]),
    "one channel by number": after(lambda x: ops.expand_dims(x[..., -1], -1)),
    "flip": after(lambda x: ops.flip(x, axis=-1)),
    "roll": after(lambda x: ops.roll(x, 1, axis=3)),
    "take": after(lambda x: ops.take(x, [2, 1, 0, 0], axis=-1)),
    "take one": after(lambda x: ops.expand_dims(ops.take(x, 1, axis=-1), 3)),
    "caffe preprocessing": after(lambda x: preprocess(x, mode="caffe")),
    "torch preprocessing": after(lambda x: preprocess(x, mode="torch")),
    "tf preprocessing": after(lambda x: preprocess(x, mode="tf")),
    "caffe preprocessing, channels first": first(lambda x: preprocess(x, data_format="channels_first", mode="caffe")),
    "torch preprocessing, channels first": first(lambda x: preprocess(x, data_format="channels_first", mode="torch")),
    "channels reversed, channels first": first(lambda x: x[:, ::-1]),
    "one channel by number, channels first": first(lambda x: ops.expand_dims(x[:, 1], 1)),
    "take, channels first": first(lambda x: ops.take(x, [2, 0], axis=1)),
    "split": after(lambda x: ops.concatenate(ops.split(x, [1], axis=-1)[::-1], axis=-1)),
    "unstack and stack": after(lambda x: ops.stack(ops.unstack(x, axis=-1)[::-1], axis=-1)),
    "unstack and stack, channels first": first(lambda x: ops.stack(ops.unstack(x, axis=1)[::-1], axis=1)),
    "repeat": after(lambda x: ops.repeat(x, 3, axis=-1), (*SIZE, 1)),
    "tile": after(lambda x: ops.tile(x, (1, 1, 1, 3)), (*SIZE, 1)),
    "joined with itself": after(lambda x: layers.Concatenate()([x, x, x]), (*SIZE, 1)),
    "grey": after(ops.image.rgb_to_grayscale),
    "random grey": after(layers.RandomGrayscale()),
    "mean of channels": after(lambda x: ops.mean(x, axis=-1, keepdims=True)),
    "maximum of channels, without their axis": after(lambda x: ops.expand_dims(ops.max(x, axis=3), -1)),
    "weighted sum of slices": after(lambda x: 0.3 * x[..., 0:1] + 0.6 * x[..., 1:2] + 0.1 * x[..., 2:3]),
    "moved axes": after(lambda x: ops.moveaxis(ops.moveaxis(x, -1, 1), 1, -1)),
    "padded channels": after(lambda x: ops.abs(ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2))))),
}
PLACES = {
    "a cropping slice": after(lambda x: x[:, 2:-2, 1:-1, :]),
    "a cropping slice with steps": after(lambda x: x[:, 1:-1:2, ::2]),
    "a cropping slice with steps, channels first": first(lambda x: x[:, 1:, 1:-1:2, ::2]),
    "take of rows": after(lambda x: ops.take(x, [1, 3, 5, 7, 9], axis=1)),
}
POINTWISE = {
    "powers and roots": after(lambda x: ops.power(ops.abs(x), 1.5) + ops.cbrt(ops.square(x)) + ops.rsqrt(x * x + 1.0)),
    "where": after(lambda x: ops.where(ops.greater(x, 0.1), x, x * 0.2)),
    "two arguments": after(lambda x: ops.arctan2(x, 2.0) + ops.logaddexp(x, x) + ops.mod(x, 3.0) + ops.hypot(x, x)),
    "error function": after(lambda x: ops.erf(x) + ops.sin(x) + ops.log1p(ops.square(x)) + ops.zeros_like(x)),
    "activations": after(lambda x: ops.celu(x) + ops.hard_tanh(x) + ops.squareplus(x) + ops.soft_shrink(x)),
    "gated channels": before(lambda x: layers.Dense(4)(layers.Flatten()(ops.glu(layers.Conv2D(6, 1)(x))))),
    "normalised channels": after(lambda x: ops.normalize(x + 2.0, axis=-1)),
}
HEADS = {
    "batch normalisation after Flatten": flat(layers.BatchNormalization, layers.ReLU),
    "layer normalisation after Flatten": flat(layers.LayerNormalization),
    "softmax after Flatten": flat(layers.Softmax),
    "PReLU after Flatten": flat(lambda x: layers.PReLU()(x)),
    "a constant for each place after Flatten": flat(lambda x: x * np.linspace(-1, 1, 150, dtype=np.float32)),
    "part of a flattened map": flat(lambda x: x[:, 20:90]),
    "Flatten at two depths": joined(lambda a, b: layers.Flatten()(a), lambda a, b: layers.Flatten()(b)),
    "pooling at two depths": joined(
        lambda a, b: layers.GlobalAveragePooling2D()(a), lambda a, b: layers.GlobalMaxPooling2D()(b)
    ),
    "Flatten and pooling": joined(lambda a, b: layers.Flatten()(b), lambda a, b: layers.GlobalAveragePooling2D()(b)),
    "Flatten of two maps": joined(lambda a, b: layers.Flatten()(b), lambda a, b: layers.Flatten()(layers.ReLU()(b))),
    "sum of scores at two depths": joined(
        lambda a, b: layers.Dense(3)(layers.Flatten()(a)), lambda a, b: layers.Dense(3)(layers.Flatten()(b)),
        merge=layers.Add, shape=(16, 18, 3),
    ),
    "a pyramid": before(pyramid, (17, 17, 3)),
    "adaptive pooling": before(lambda x: layers.Dense(4)(layers.Flatten()(layers.AdaptiveAveragePooling2D((3, 5))(x)))),
    "sum over the map": before(lambda x: layers.Dense(4)(ops.sum(x, axis=(1, 2)))),
    "some scores": before(lambda x: layers.Dense(4)(layers.Flatten()(x))[:, 1:3]),
    "one score": before(lambda x: layers.Dense(4)(layers.Flatten()(x))[:, 0]),
    "the largest score": before(lambda x: ops.amax(layers.Dense(4)(layers.Flatten()(x)), axis=-1, keepdims=True)),
    "spectral normalisation": before(
        lambda x: layers.SpectralNormalization(layers.Dense(4))(
            layers.Flatten()(layers.SpectralNormalization(layers.Conv2D(3, 2))(x))
        )
    ),
    "dense for each position": before(lambda x: layers.Dense(4)(layers.Flatten()(
        layers.TimeDistributed(layers.Dense(3, activation="relu"))(layers.Reshape((30, 5))(x)))
    )),
    "layers for each row": before(lambda x: layers.Dense(4)(layers.Flatten()(
        layers.TimeDistributed(layers.ReLU())(layers.TimeDistributed(layers.LayerNormalization())(x)))
    )),
}  # fmt: skip
if not hasattr(layers, "AdaptiveAveragePooling2D"):  # Keras 3.12, the last for Python 3.10.
    del HEADS["adaptive pooling"]
UNPADDED = {**CHANNELS, **PLACES, **POINTWISE, **HEADS}


def native_size(model):
    """The rows and columns of a network's input, and whether it is channels first."""
    shape = model.inputs[0].shape[1:]
    first = shape[0] in (1, 3)
    return (shape[1:] if first else shape[:2]), first


def noise(model, extra=EXTRA, seed=2):
    """An image larger than native size by `extra` rows and columns, in a batch of one."""
    (rows, columns), first = native_size(model)
    channels = model.inputs[0].shape[1 if first else -1]
    size = rows + extra[0], columns + extra[1]
    shape = (1, channels, *size) if first else (1, *size, channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scores_of_windows(original, image, stride):
    """The original's own scores of each window, `stride` pixels apart: (rows, columns, classes)."""
    (rows, columns), first = native_size(original)
    height, width = image.shape[2:] if first else image.shape[1:3]
    tops, lefts = range(0, height - rows + 1, stride[0]), range(0, width - columns + 1, stride[1])
    windows = [
        image[:, :, y : y + rows, x : x + columns] if first else image[:, y : y + rows, x : x + columns]
        for y in tops
        for x in lefts
    ]
    # Keras 3.15 computes some channels-first convolutions wrongly when it runs eagerly, hence predict.
    scores = original.predict(np.concatenate(windows), verbose=0, batch_size=64)
    return scores.reshape(len(tops), len(lefts), -1)


def converted(name):
    """One of the networks with random weights, and what it is converted to."""
    original = networks.randomize(UNPADDED[name]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return original, vggfcn.convert(original)
