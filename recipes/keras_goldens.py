"""Writes small models with the Keras that is installed, and what they compute: `tests/data/keras_files`.

Run it once in an environment with tf_keras 2.21 and once in one with Keras 3.8:

    python recipes/keras_goldens.py tests/data/keras_files

Each run writes one zip archive, `keras2.21.zip` or `keras3.8.zip`. Every model is in it as `.h5` and, where Keras can,
as `.keras`; `<name>.npz` has images and the outputs of the model in memory.
"""

import pathlib
import sys
import tempfile
import zipfile

import numpy as np

try:
    import tf_keras as keras
except ImportError:
    import keras
import tensorflow as tf

KERAS_2 = keras.__version__.startswith("2.")
L = keras.layers
GENERATOR = np.random.default_rng(0)


def backbone(size=12, channels=3, name="backbone"):
    """What networks for phones have: depthwise convolutions, batch normalisation, ReLU6, residuals."""
    inputs = keras.Input((size, size, channels), name=f"{name}_input")
    x = L.Conv2D(4, 3, 2, padding="same", use_bias=False, name=f"{name}_conv")(inputs)
    x = L.BatchNormalization(name=f"{name}_bn1")(x)
    start = x = L.ReLU(6.0, name=f"{name}_relu1")(x)
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = L.BatchNormalization(name=f"{name}_bn2")(x)
    x = L.Add(name=f"{name}_add")([start, x])
    return keras.Model(inputs, L.ReLU(name=f"{name}_relu2")(x), name=name)


def sequential():
    return keras.Sequential(
        [
            L.Conv2D(4, 3, activation="relu", input_shape=(12, 12, 3)),
            L.BatchNormalization(),
            L.LeakyReLU(alpha=0.1) if KERAS_2 else L.LeakyReLU(0.1),
            L.MaxPooling2D(),
            L.SeparableConv2D(5, 3, depth_multiplier=2, activation="elu"),
            L.PReLU(shared_axes=[1, 2]),
            L.Dropout(0.3),
            L.Flatten(),
            L.Dense(6, activation="swish", kernel_regularizer="l2"),
            L.Dense(3, activation="softmax"),
        ]
    )


def many_layers():
    """One layer of each kind that came with its own trouble."""
    inputs = keras.Input((13, 11, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = L.RandomFlip()(x)
    x = L.Resizing(12, 14, interpolation="bilinear")(x)
    x = L.CenterCrop(11, 12)(x)
    x = L.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = L.Conv2D(4, 3, strides=2, groups=1, padding="same", dilation_rate=1, activation="gelu")(x)
    x = L.LayerNormalization()(x)
    x = L.Conv2D(4, 3, padding="same", dilation_rate=2)(x)
    x = L.GroupNormalization(2)(x)
    x = L.Activation("hard_sigmoid")(x)
    x = L.UpSampling2D(2, interpolation="bilinear")(x)
    x = L.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    x = L.Conv2DTranspose(3, 2, strides=2, padding="valid")(x)
    x = L.Cropping2D(((1, 2), (0, 1)))(x)
    x = L.SpatialDropout2D(0.2)(L.GaussianNoise(0.1)(x))
    x = L.AveragePooling2D(3, 2, padding="same")(x)
    x = L.Softmax(axis=-1)(x)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, L.Dense(2, activation="sigmoid")(x))


def nested():
    base = backbone()
    base.trainable = False
    inputs = keras.Input((12, 12, 3))
    x = L.GlobalAveragePooling2D()(base(L.Rescaling(1 / 255.0)(inputs), training=False))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def on_top():
    """As in every tutorial: an application, pooling, a dense layer."""
    model = keras.Sequential([backbone(), L.GlobalAveragePooling2D(), L.Dense(3)])
    model.build((None, 12, 12, 3))
    return model


def teachable():
    """As Teachable Machine nests its models."""
    inner = keras.Sequential([backbone(), L.GlobalAveragePooling2D(name="pooling")], name="features")
    inner.build((None, 12, 12, 3))
    head = keras.Sequential(
        [L.Dense(5, activation="relu", input_shape=(4,)), L.Dense(3, activation="softmax", use_bias=False)], name="head"
    )
    return keras.Sequential([inner, head])


def branches():
    """Layers of one shape side by side, one layer and one model called twice: nothing tells them apart but names."""
    inputs = keras.Input((6, 6, 3))
    same = [L.Conv2D(3, 3, padding="same", name=f"branch_{letter}") for letter in "cab"]
    x, y, z = (layer(inputs) for layer in same)
    twice = L.Conv2D(3, 1, name="twice")
    unit = backbone(6, 3, "unit")
    a, b = unit(twice(x)), unit(twice(L.Subtract()([y, z])))
    x = L.Concatenate()([a, L.Multiply()([a, b]), b])
    return keras.Model(inputs, L.Flatten()(x))


def preprocessed(kind):
    modules = {"tf": "mobilenet_v2", "caffe": "vgg16", "torch": "densenet"}
    inputs = keras.Input((6, 6, 3))
    x = getattr(keras.applications, modules[kind]).preprocess_input(inputs)
    x = L.Conv2D(3, 3)(x)
    return keras.Model(inputs, L.GlobalAveragePooling2D()(x))


def operations():
    """TensorFlow's functions in a model of Keras 2."""
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    x = tf.cast(inputs, tf.float32)
    x = 1.0 - x / 255
    y = tf.reverse(x, [-1]) * [0.5, 1.5, 2.5]
    z = tf.image.resize(-x, (6, 6)) + y
    x = tf.concat([x * z, x[..., 1:3], x[:, :, :, :1]], axis=-1)
    x = tf.clip_by_value(tf.nn.relu(x), 0.05, 2.0)
    x = L.Conv2D(4, 3)(x)
    x = x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
    return keras.Model(inputs, tf.reduce_mean(tf.math.maximum(x, 0.1), axis=[1, 2]))


MODELS = {
    "sequential": sequential,
    "many-layers": many_layers,
    "nested": nested,
    "on-top": on_top,
    "teachable": teachable,
    "branches": branches,
    **{f"preprocess-{kind}": lambda kind=kind: preprocessed(kind) for kind in ("tf", "caffe", "torch")},
}
if KERAS_2:
    MODELS["operations"] = operations
# Keras 2 cannot write an ellipsis into a `.keras`.
NOT_AS_KERAS = ("operations", "preprocess-caffe") if KERAS_2 else ()


def randomize(model):
    for weight in model.weights:
        values = GENERATOR.normal(0, 0.4, weight.shape)
        if "variance" in weight.name or "gamma" in weight.name:
            values = 0.5 + np.abs(values)
        weight.assign(values.astype(np.asarray(weight).dtype))


def write(folder):
    for name, make in MODELS.items():
        model = make()
        randomize(model)
        images = GENERATOR.integers(0, 256, (3, *model.input_shape[1:]))
        images = images.astype("uint8" if name == "operations" else "float32")
        if name in ("sequential", "on-top", "teachable", "branches"):
            images = images / np.float32(255)
        np.savez(folder / f"{name}.npz", images=images, outputs=model.predict(images, verbose=0))
        model.save(folder / f"{name}.h5")
        if name not in NOT_AS_KERAS:
            model.save(folder / f"{name}.keras")


def main(target):
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder))
        archive = target / f"keras{keras.__version__.rpartition('.')[0]}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for path in sorted(pathlib.Path(folder).iterdir()):
                file.write(path, path.name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
