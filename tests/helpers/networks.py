"""Small networks to convert, and how they are compared: NumPy alone, none of the code under test."""

import keras
import numpy as np

layers = keras.layers


def randomize(model, seed=0):
    """Every variable random, also those that begin as zeros and ones and so would hide what is not carried over."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = rng.standard_normal(variable.shape) / max(1, np.sqrt(np.prod(variable.shape[:-1])))
        positive = "variance" in variable.name or variable.name == "gamma"
        variable.assign(np.abs(values) + 0.5 if positive else values)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def noise(model, shape=None, seed=1):
    """One random input for each of the model's: (1, *shape) or as the model says."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((1, *(shape or tensor.shape[1:]))).astype(np.float32) for tensor in model.inputs]


def run(model, arrays):
    arrays = arrays[0] if len(arrays) == 1 else arrays
    outputs = model(arrays, training=False)
    return [np.asarray(output, np.float64) for output in keras.tree.flatten(outputs)]


def as_maps(arrays):
    """Vectors as 1 x 1 maps, images without channels with one."""
    return [x[:, None, None] if x.ndim == 2 else x[..., None] if x.ndim == 3 else x for x in arrays]


def relative_difference(one, other):
    return np.abs(one.reshape(other.shape) - other).max() / np.abs(other).max()


def plain():
    return keras.Sequential(
        [
            keras.Input((21, 18, 3)),
            layers.Conv2D(5, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2),
            layers.Flatten(name="flatten"),
            layers.Dense(7, activation="relu", name="fc1"),
            layers.Dropout(0.5),
            layers.Dense(4, name="scores"),
        ],
        name="plain",
    )


def padded_and_squeezed():
    image = keras.Input((9, 8, 3))
    x = layers.UpSampling2D(2)(layers.Cropping2D(1)(layers.ZeroPadding2D(2)(layers.Conv2D(4, 3)(image))))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.ops.expand_dims(keras.ops.squeeze(x, (1, 2)), 1)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def head(*after, before=(), shape=(13, 11, 3), data_format=None):
    """A convolution, then these layers."""
    first = layers.Conv2D(6, 3, strides=2, activation="relu", data_format=data_format)
    return keras.Sequential([keras.Input(shape), first, *before, *after])


def vector_head(*after):
    """Layers after Flatten and a dense layer."""
    return head(layers.Flatten(), layers.Dense(8), *after, layers.Dense(3))


def residual():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same")(image)
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.Concatenate()([layers.AveragePooling2D(2)(x), layers.Conv2D(2, 2, strides=2)(x)])
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def nested(depth=3):
    trunk = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3, name="conv")], name="trunk")
    for level in range(depth):
        trunk = keras.Sequential([keras.Input((12, 12, 3)), trunk], name=f"level{level}")
    top = keras.Sequential([keras.Input((10, 10, 4)), layers.Flatten(), layers.Dense(5, name="fc")], name="top")
    return keras.Sequential([keras.Input((12, 12, 3)), trunk, layers.ReLU(), top, layers.Dense(2, name="last")])


def shared():
    one, other = keras.Input((10, 10, 3), name="one"), keras.Input((10, 10, 3), name="other")
    conv, fc = layers.Conv2D(4, 3, name="conv"), layers.Dense(5, name="fc")
    features = [fc(layers.Flatten()(conv(x))) for x in (one, other)]
    distance = layers.Subtract()(features)
    return keras.Model([one, other], {"distance": layers.Dense(1, name="d")(distance), "first": features[0]})


def several_outputs():
    image = keras.Input((14, 14, 3))
    x = layers.Conv2D(5, 3)(image)
    auxiliary = layers.Dense(2, name="auxiliary")(layers.GlobalMaxPooling2D()(x))
    x = layers.Conv2D(6, 3, strides=2)(x)
    return keras.Model(image, [auxiliary, layers.Dense(3, name="main")(layers.Flatten()(x)), x])


def operations():
    image = keras.Input((14, 14, 3))
    x = keras.ops.relu(layers.Conv2D(5, 3)(image * 2.0 - 1.0))
    x = keras.ops.mean(x, axis=(1, 2))
    return keras.Model(image, keras.ops.abs(keras.ops.tanh(layers.Dense(3)(x))) / 2.0)


def channels_first(*after):
    return head(*after, shape=(3, 13, 11), data_format="channels_first")


def squeeze_and_excite(pool=layers.GlobalAveragePooling2D, image_shape=(16, 16, 3)):
    image = keras.Input(image_shape)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    gate = layers.Reshape((1, 1, 6))(pool(name="squeeze")(x))
    gate = layers.Dense(2, activation="relu")(gate)
    x = layers.Multiply()([x, layers.Dense(6, activation="sigmoid")(gate)])
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D(name="head")(x)))


def attention():
    image = keras.Input((8, 8, 6))
    x = layers.Reshape((64, 6))(image)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attend")(x, x)])
    x = layers.LayerNormalization()(layers.Reshape((8, 8, 6))(x))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def vision_transformer():
    image = keras.Input((32, 32, 3))
    x = layers.Reshape((16, 16))(layers.Conv2D(16, 8, strides=8)(image))
    x = x + layers.Embedding(16, 16)(keras.ops.arange(16))
    x = layers.MultiHeadAttention(2, 8)(x, x)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def dense_inside():
    image = keras.Input((8, 8, 3))
    x = layers.Dense(64, name="bottleneck")(layers.Flatten()(image))
    return keras.Model(image, layers.Conv2D(2, 3)(layers.Reshape((8, 8, 1))(x)))


def two_scales():
    """One trunk on two sizes of input."""
    one, other = keras.Input((12, 12, 3)), keras.Input((9, 9, 3))
    inner = keras.Input((None, None, 3))
    pooled = layers.GlobalMaxPooling2D(name="pool")(layers.Conv2D(4, 3, name="conv")(inner))
    trunk = keras.Model(inner, pooled, name="trunk")
    return keras.Model([one, other], [layers.Dense(2)(trunk(one)), layers.Dense(2)(trunk(other))])


def context_in_a_nested_model():
    image, inner = keras.Input((12, 12, 3)), keras.Input((12, 12, 3))
    gate = keras.Model(inner, layers.GlobalMaxPooling2D(keepdims=True, name="pool")(inner), name="gate")
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Multiply()([image, gate(image)]))))


def image_and_vector():
    image, vector = keras.Input((12, 12, 3)), keras.Input((4,))
    pooled = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, strides=2)(image))
    return keras.Model([image, vector], layers.Dense(2)(layers.Concatenate(name="join")([pooled, vector])))


# What is said of a network -> how to build it. All of these convert exactly.
EXACT = {
    "Flatten and dense layers": plain,
    "global average pooling": lambda: head(layers.GlobalAveragePooling2D(), layers.Dense(4)),
    "global max pooling": lambda: head(layers.GlobalMaxPooling2D(), layers.Dense(4)),
    "pooling that keeps its dimensions": lambda: head(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1), layers.Flatten()
    ),
    "Reshape((1, 1, C)) and back": lambda: head(
        layers.GlobalMaxPooling2D(), layers.Reshape((1, 1, 6)), layers.Conv2D(4, 1), layers.Reshape((4,))
    ),
    "Reshape in Flatten's place": lambda: head(layers.Reshape((180,)), layers.Dense(4)),
    "tokens and pooling in one dimension": lambda: head(
        layers.Reshape((30, 6)), layers.Dense(5), layers.GlobalAveragePooling1D(), layers.Dense(4)
    ),
    "batch normalisation after the head": lambda: vector_head(layers.BatchNormalization()),
    "batch normalisation that names its axis": lambda: vector_head(layers.BatchNormalization(axis=1)),
    "layer normalisation after the head": lambda: vector_head(layers.LayerNormalization()),
    "activation, softmax and leaky ReLU after the head": lambda: vector_head(
        layers.Activation("tanh"), layers.LeakyReLU(), layers.Softmax()
    ),
    "softmax as the activation": lambda: head(layers.Flatten(), layers.Dense(5, activation="softmax")),
    "PReLU after the head": lambda: vector_head(layers.PReLU()),
    "PReLU with shared axes on a map": lambda: head(
        layers.PReLU(shared_axes=[1, 2]), layers.Flatten(), layers.Dense(3)
    ),
    "PReLU on a pooled map": lambda: head(
        layers.GlobalMaxPooling2D(keepdims=True), layers.PReLU(), layers.Flatten(), layers.Dense(3)
    ),
    "dense without bias": lambda: head(layers.Flatten(), layers.Dense(5, use_bias=False)),
    "dense on a map": lambda: head(layers.Dense(5), layers.Flatten(), layers.Dense(3)),
    "normalisation of the input": lambda: head(
        layers.Flatten(), layers.Dense(3), before=[layers.Normalization(), layers.Rescaling(0.5), layers.RandomFlip()]
    ),
    "separable, depthwise and transposed convolutions": lambda: head(
        layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(2), layers.Conv2DTranspose(3, 2), layers.Flatten(),
        layers.Dense(3),
    ),
    "an average pool over the whole map": lambda: head(
        layers.AveragePooling2D((6, 5)), layers.Flatten(), layers.Dense(3)
    ),
    "a multilayer perceptron on a vector": lambda: keras.Sequential(
        [keras.Input((9,)), layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(3)]
    ),
    "a perceptron on an image without channels": lambda: keras.Sequential(
        [keras.Input((9, 8)), layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dense(3)]
    ),
    "residual and dense branches": residual,
    "padding, cropping and upsampling; axes of length 1 come and go": padded_and_squeezed,
    "nested models": nested,
    "shared layers, two inputs, outputs in a dictionary": shared,
    "several outputs": several_outputs,
    "operations of keras.ops": operations,
    "channels first, flattened as it lies": lambda: channels_first(
        layers.Flatten(data_format="channels_last"), layers.Dense(4, activation="softmax")
    ),
    "channels first, Flatten puts them last": lambda: channels_first(
        layers.Flatten(data_format="channels_first"), layers.Dense(4)
    ),
    "channels first, permuted": lambda: channels_first(layers.Permute((2, 3, 1)), layers.Flatten(), layers.Dense(4)),
    "channels first, pooled": lambda: channels_first(
        layers.BatchNormalization(axis=1), layers.GlobalAveragePooling2D(data_format="channels_first"),
        layers.LayerNormalization(), layers.Dense(4),
    ),
    "channels first, pooled and a map again": lambda: channels_first(
        layers.GlobalMaxPooling2D(data_format="channels_first"), layers.Reshape((6, 1, 1)),
        layers.Conv2D(4, 1, data_format="channels_first"), layers.Flatten(),
    ),
}  # fmt: skip


def cube(x):
    return x * x * x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.fc = layers.Dense(3)

    def call(self, x):
        return self.fc(x)


class OwnLayer(layers.Layer):
    def call(self, x):
        return x


class OwnConvolution(layers.Conv2D):
    pass


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4)))
    return model


# What is said of it -> how to build it, and what the message begins with and has in it.
REFUSED = {
    "squeeze and excite": (
        squeeze_and_excite, "squeeze (GlobalAveragePooling2D): depends on the whole image", "keep_global",
    ),
    "attention": (attention, "attend (MultiHeadAttention): attends to the whole image", "keep_global"),
    "resizing to a fixed size": (
        lambda: head(layers.Resizing(4, 4, name="resize"), layers.Flatten(), layers.Dense(2)),
        "resize (Resizing): resizes every image to a fixed size, (4, 4, 6)", "remove it",
    ),
    "group normalisation": (
        lambda: head(layers.GroupNormalization(2, name="group"), layers.Flatten(), layers.Dense(2)),
        "group (GroupNormalization): depends on the whole image", "keep_global",
    ),
    "layer normalisation over space": (
        lambda: head(layers.LayerNormalization(axis=(1, 2, 3), name="norm"), layers.Flatten(), layers.Dense(2)),
        "norm (LayerNormalization): works along axes [1, 2, 3], the rows and columns", "normalise over the channels",
    ),
    "a vision transformer": (
        vision_transformer, "like the position embeddings of a vision transformer", "cannot be converted",
    ),
    "dense inside": (dense_inside, "bottleneck (Dense): has weights for a whole 8 x 8 map", "cut the network"),
    "a slope for each place": (
        lambda: head(layers.PReLU(name="slopes"), layers.Flatten(), layers.Dense(2)),
        "slopes (PReLU): has a separate slope at each of 6 x 5 positions", "shared_axes=[1, 2]",
    ),
    "dense along the columns": (
        lambda: head(layers.Reshape((6, 30)), layers.Dense(2, name="rows")),
        "rows (Dense): runs along the last axis of (6, 30)", "put Flatten",
    ),
    "a convolution over rearranged pixels": (
        lambda: head(layers.Reshape((3, 10, 6)), layers.Conv2D(2, 2, name="conv"), layers.Flatten()),
        "conv (Conv2D): reads a map whose pixels were rearranged", "remove the Reshape",
    ),
    "a transposed map": (
        lambda: head(layers.Permute((2, 1, 3), name="turn"), layers.Flatten(), layers.Dense(2)),
        "turn (Permute): moves rows or columns to other axes", "Permute((2, 3, 1))",
    ),
    "a function of one's own": (
        lambda: head(layers.Lambda(lambda x: x, name="own"), layers.Flatten(), layers.Dense(2)),
        "own (Lambda): runs code that cannot be inspected", "stock Keras layers",
    ),
    "a layer of one's own": (
        lambda: head(OwnLayer(name="own"), layers.Flatten(), layers.Dense(2)),
        "own (OwnLayer): has no conversion rule", "stock Keras layers",
    ),
    "a subclass of a stock layer": (
        lambda: head(OwnConvolution(2, 2, name="own"), layers.Flatten(), layers.Dense(2)),
        "own (OwnConvolution): has no conversion rule", "stock Keras layers",
    ),
    "a subclassed model": (subclassed, "subclassed: is a subclassed Subclassed", "rebuild it as a Functional model"),
    "a model that was not built": (
        lambda: keras.Sequential([layers.Dense(2)], name="new"), "new: has not been built", "keras.Input(shape)",
    ),
    "an input of open size": (
        lambda: keras.Sequential([keras.Input((None, None, 3)), layers.GlobalMaxPooling2D(), layers.Dense(2)]),
        "the input (None, None, 3) has no fixed size", "input_shape=(224, 224, 3)",
    ),
    "context in a nested model": (
        context_in_a_nested_model, "gate/pool (GlobalMaxPooling2D): depends on the whole image", "keep_global",
    ),
}  # fmt: skip
