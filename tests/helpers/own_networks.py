"""Small classifiers as strangers build them: every kind of ending, with a picture to try them on."""

import keras
import numpy as np
from PIL import Image

layers = keras.layers
NATIVE = 24
# The window of cell (4, 2) at the networks' stride of 2.
CELL, WINDOW = (4, 2), np.s_[8:32, 4:28]
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)


def own_network(*head, prepared=True, seed=0, units=5):
    """A network without padding, 24 x 24 pixels, stride 2. The head may be a single activation of a dense layer."""
    keras.utils.set_random_seed(seed)
    preparation = [layers.Rescaling(1 / 255)] if prepared else []
    trunk = [layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(8, 3, activation="relu")]
    if len(head) == 1 and not isinstance(head[0], keras.layers.Layer):
        head = layers.Flatten(), layers.Dense(units, activation=head[0])
    return keras.Sequential([keras.Input((NATIVE, NATIVE, 3)), *preparation, *trunk, *head])


def functional(end, units=5):
    """The same network, with `end` applied to its logits as an operation of keras.ops."""
    base = own_network(None, units=units)
    return keras.Model(base.inputs[0], end(base.outputs[0]))


def _nested(activation):
    head = [keras.Input((8 * 8 * 8,)), layers.Dense(5), keras.Sequential([keras.Input((5,)), activation])]
    return own_network(layers.Flatten(), keras.Sequential(head))


def inside_functional(units, activation):
    """A whole classifier inside another model, as `base(inputs)`."""
    base = own_network(activation, units=units)
    inputs = keras.Input((NATIVE, NATIVE, 3))
    return keras.Model(inputs, base(inputs))


# By name: how to make the network, and what its outputs mean.
ENDINGS = {
    "softmax in the dense layer": (lambda: own_network("softmax"), "softmax"),
    "log-softmax in the dense layer": (lambda: own_network("log_softmax"), "log_softmax"),
    "Activation": (lambda: own_network(layers.Flatten(), layers.Dense(5), layers.Activation("softmax")), "softmax"),
    "Softmax": (lambda: own_network(layers.Flatten(), layers.Dense(5), layers.Softmax()), "softmax"),
    "dropout after the softmax": (
        lambda: own_network(layers.Flatten(), layers.Dense(5, activation="softmax"), layers.Dropout(0.1)),
        "softmax",
    ),
    "a softmax map, then Reshape": (
        lambda: own_network(layers.Conv2D(5, 8), layers.Activation("softmax"), layers.Reshape((5,))),
        "softmax",
    ),
    "a softmax map, then Flatten": (
        lambda: own_network(layers.Conv2D(5, 8, activation="softmax"), layers.Flatten()),
        "softmax",
    ),
    "keras.ops.softmax": (lambda: functional(keras.ops.softmax), "softmax"),
    "keras.ops.log_softmax": (lambda: functional(keras.ops.log_softmax), "log_softmax"),
    "nested twice": (lambda: _nested(layers.Softmax()), "softmax"),
    "a classifier in a model": (lambda: inside_functional(5, "softmax"), "softmax"),
    "two softmax units": (lambda: own_network("softmax", units=2), "softmax"),
    "global pooling": (
        lambda: own_network(layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")),
        "softmax",
    ),
    "a softmax of a softmax": (
        lambda: own_network(layers.Flatten(), layers.Dense(5, activation="softmax"), layers.Softmax()),
        "softmax",
    ),
    "several sigmoids": (lambda: own_network("sigmoid"), "sigmoid"),
    "several sigmoids in Activation": (
        lambda: own_network(layers.Flatten(), layers.Dense(5), layers.Activation("sigmoid")),
        "sigmoid",
    ),
    "one sigmoid": (lambda: own_network("sigmoid", units=1), "one sigmoid"),
    "keras.ops.sigmoid": (lambda: functional(keras.ops.sigmoid, units=1), "one sigmoid"),
    "one sigmoid in a model": (lambda: inside_functional(1, "sigmoid"), "one sigmoid"),
    "linear": (lambda: own_network(None), "none"),
    "one linear unit": (lambda: own_network(None, units=1), "none"),
    "tanh": (lambda: own_network("tanh"), "none"),
    "an exponential": (lambda: functional(keras.ops.exp), "none"),
    "softmax along the rows": (
        lambda: functional(lambda x: keras.ops.multiply(keras.ops.softmax(x), 2.0)),
        "none",
    ),
}


def scores_of(kind, outputs):
    """What the classes' scores must be, (..., classes), for the outputs of the network's own `predict`."""
    outputs = np.asarray(outputs, np.float64)
    if kind == "log_softmax":
        return np.exp(outputs)
    if kind == "one sigmoid":
        return np.concatenate([1 - outputs, outputs], -1)
    return outputs


def crops_of(image, stride=2):
    """The windows of an image, (rows, columns, 24, 24, channels), cut out one by one."""
    rows, columns = (range(0, side - NATIVE + 1, stride) for side in image.shape[:2])
    return np.stack([[image[top : top + NATIVE, left : left + NATIVE] for left in columns] for top in rows])


def predicted(model, crops):
    """The network's own outputs for windows (rows, columns, height, width, channels): (rows, columns, units)."""
    rows, columns = crops.shape[:2]
    outputs = model.predict(crops.reshape(-1, *crops.shape[2:]).astype(np.float32), batch_size=512, verbose=0)
    return outputs.reshape(rows, columns, -1)


def scores_in(scores):
    """The classes' scores of a `ScoreMap`: (rows, columns, classes)."""
    return np.stack([scores.score(index) for index in range(scores.logits.shape[-1])], -1)


NAMES = ("ant", "bee", "cat", "dog", "elk")


def own_files(folder):
    """own.keras, which was trained on pixels from 0 to 1 and does not say so, names.txt, groups.json, picture.png.

    Returns the network.
    """
    model = own_network("softmax", prepared=False, seed=2)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:  # With biases, so that the range of its input matters, and classes that are told apart.
            kernel, bias = layer.get_weights()
            layer.set_weights([2 * kernel, rng.normal(0, 0.5, bias.shape)])
    model.save(folder / "own.keras")
    (folder / "names.txt").write_text("\n".join(NAMES))
    (folder / "groups.json").write_text('{"pet": ["cat", "dog"]}')
    Image.fromarray(PICTURE).save(folder / "picture.png")
    return model
