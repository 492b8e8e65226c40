"""Keras models from architecture rows: the original network and the same network without its dense layers."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn import efficientnet, efficientnet_model, registry
from vggfcn.checkpoints.reading import read_weights
from vggfcn.checkpoints.tensors import ALIGNMENT
from vggfcn.conversion import convert
from vggfcn.efficientnet import EfficientNet
from vggfcn.matching import Network, architecture_of, check, check_name, efficientnet_of
from vggfcn.preprocessing import Preprocessing, default
from vggfcn.rows import Architecture, Convolution, LocalResponseNormalization, MaxPool, Row, Subsampling

# Layer name -> its (kernel, bias).
_Reader = Callable[[str], tuple[np.ndarray, np.ndarray]]


def build(
    architecture: str | Network | None = None,
    *,
    weights: str | os.PathLike[str] | None = "imagenet",
    head: str | None = "conv",
    classes: int | None = None,
    activation: str | None = None,
    preprocess: bool = True,
) -> keras.Model:
    """Build a network from stock Keras layers, fully convolutional or as it was published.

    The input is a batch of RGB images, float32 or uint8 in [0, 255], shape (batch, height, width, 3); LeNet-5 takes
    grey ones, (batch, height, width, 1). The output is float32 logits, or whatever `activation` makes of them:

    - `head="conv"`: any height and width from the native size (VGG's is 224) up; (batch, rows, columns, classes).
      With VGG's stride of 32, row r, column c is the score of the window [32 r, 32 r + 224) x [32 c, 32 c + 224).
    - `head="dense"`: the original network; native size only; (batch, classes).
    - `head=None`: the trunk alone; VGG's feature map is (batch, height // 32, width // 32, channels).

    `weights` is a name in the registry ("imagenet", "scene-digits", "mnist-lenet5", "efficientnet-lite0", ...), the
    path of a file that `read_weights` understands, or None for random ones. `architecture` ("vgg16", "vgg19",
    "alexnet", "lenet5", "efficientnet-lite0" or a row-built `Architecture`) is inferred from the weights where it is
    None; without either it is VGG16. If `classes` differs from what the weights have, the last layer is new and
    random, ready to be trained. With `preprocess=False` the model wants its input as the checkpoint does (mean
    subtracted, divided by its standard deviation).

    Where a connection table connects nothing, kernels begin at zero; training keeps those zeros only under a
    constraint of its own.

    EfficientNet-Lite0 ends in the mean over its map and one dense layer; `head="conv"` is what `convert` makes of it.

    Raises `WeightsError` if the weights are missing, damaged, or of another architecture.

    >>> model = build(weights=None, head="dense", classes=10)
    >>> model.output_shape
    (None, 10)
    """
    if head not in ("conv", "dense", None):
        raise ValueError(f'head: expected "conv", "dense" or None, got {head!r}')
    check_name(weights, architecture)
    if network := efficientnet_of(weights, architecture):
        return _efficientnet(network, weights, head, classes, activation, preprocess)
    source = None if weights is None else read_weights(registry.fetch(weights))
    architecture = architecture_of(source, architecture)
    names = list(architecture.parameter_shapes() if head else (row.name for row in architecture.trained_rows))
    if classes is not None and classes != architecture.classes:
        architecture = architecture.with_classes(classes)
        names = [name for name in names if name != architecture.head[-1].name]
    read: dict[str, _Reader] = {}
    preprocessing = default(architecture.channels)
    if source is not None:
        check(source, architecture, names)
        read = dict.fromkeys(names, source.__getitem__)
        preprocessing = source.preprocessing
    return _assemble(architecture, head, read, activation, preprocessing if preprocess else None)


def _assemble(
    architecture: Architecture,
    head: str | None,
    read: dict[str, _Reader],
    activation: str | None,
    preprocessing: Preprocessing | None,
) -> keras.Model:
    """The model; layers that `read` does not name get new random values."""
    native = architecture.native_size if head == "dense" else None
    inputs = x = keras.Input((native, native, architecture.channels), name="image")
    if preprocessing:
        x = _normalization_layer(x, preprocessing)
    for row in architecture.trunk:
        x = _TRUNK_LAYERS[type(row)](x, row, read.get(row.name))
    if head == "dense":
        x = keras.layers.Flatten(name="flatten")(x)
    layer = _dense_layer if head == "dense" else _fc_layer
    shapes = architecture.parameter_shapes()
    for dense in architecture.head if head else ():
        last = dense is architecture.head[-1]
        x = layer(x, dense.name, shapes[dense.name][0], read.get(dense.name), activation if last else dense.activation)
    return keras.Model(inputs, x, name=f"{architecture.name}_{head or 'trunk'}")


def _efficientnet(
    network: EfficientNet,
    weights: str | os.PathLike[str] | None,
    head: str | None,
    classes: int | None,
    activation: str | None,
    preprocess: bool,
) -> keras.Model:
    source = None if weights is None else efficientnet.read(registry.fetch(weights), network)
    native = network.native_size if head else None
    inputs = x = keras.Input((native, native, network.channels), name="image")
    if preprocess:
        x = _normalization_layer(x, efficientnet.PREPROCESSING)
    x = efficientnet_model.features(x, network, source)
    if head:
        known = classes in (None, network.classes)
        network = dataclasses.replace(network, classes=classes or network.classes)
        x = efficientnet_model.head(x, network, source if known else None, activation)
    model = keras.Model(inputs, x, name=f"{network.name}_{head or 'trunk'}")
    # The tests hold this conversion to its proof, so that who builds need not wait for it.
    return convert(model, check=False) if head == "conv" else model


def _normalization_layer(x: Any, preprocessing: Preprocessing) -> Any:
    variance = [deviation**2 for deviation in preprocessing.std]
    return keras.layers.Normalization(mean=preprocessing.mean, variance=variance, name="preprocessing")(x)


def _conv_layer(x: Any, row: Convolution, read: _Reader | None) -> Any:
    layer = keras.layers.Conv2D(
        row.filters, row.size, row.stride, row.padding, groups=row.groups, activation=row.activation, name=row.name
    )
    channels = x.shape[-1]
    x = _apply(layer, x, read)
    if row.table and not read:
        layer.kernel.assign(layer.kernel * row.connections(channels))
    return x


def _pooling_layer(x: Any, row: MaxPool, read: None) -> Any:
    return keras.layers.MaxPooling2D(row.size, row.stride, name=row.name)(x)


def _subsampling_layers(x: Any, row: Subsampling, read: _Reader | None) -> Any:
    """A coefficient and a bias per channel are a 1x1 depthwise convolution."""
    x = keras.layers.AveragePooling2D(2, name=f"{row.name}_mean")(x)
    return _apply(keras.layers.DepthwiseConv2D(1, activation=row.activation, name=row.name), x, read)


def _normalization_across_channels(x: Any, row: LocalResponseNormalization, read: None) -> Any:
    """Keras has no such layer, but a sum over neighbouring channels is an average along a third axis of space."""
    neighbours = 2 * row.radius + 1
    squares = keras.ops.expand_dims(keras.ops.square(x), -1)
    squares = keras.layers.ZeroPadding3D((0, 0, row.radius), name=f"{row.name}_padding")(squares)
    means = keras.layers.AveragePooling3D((1, 1, neighbours), 1, name=f"{row.name}_mean")(squares)
    rescaling = keras.layers.Rescaling(row.alpha * neighbours, row.offset, name=f"{row.name}_rescaling")
    divisor = keras.ops.power(rescaling(keras.ops.squeeze(means, -1)), row.beta)
    return keras.ops.divide(x, divisor)


_TRUNK_LAYERS: dict[type[Row], Callable[..., Any]] = {
    Convolution: _conv_layer,
    MaxPool: _pooling_layer,
    Subsampling: _subsampling_layers,
    LocalResponseNormalization: _normalization_across_channels,
}


def _fc_layer(x: Any, name: str, kernel_shape: tuple[int, ...], read: _Reader | None, activation: str | None) -> Any:
    """A fully connected layer as the convolution that it is.

    A dense layer over a k x k x c volume has one weight per input and unit; so has a k x k convolution without
    padding. Its kernel is the dense one, (k * k * c, units) flattened in rows, columns, channels order, seen as
    (k, k, c, units): not a number moves. On the k x k map both give the same `units` values; on a larger map the
    convolution gives them at every place. k is 7 for VGG's first such layer and 1 for the others.
    """
    inputs, units = kernel_shape
    channels = x.shape[-1]
    size = math.isqrt(inputs // channels)
    if size * size * channels != inputs:
        raise ValueError(f"{name}: {inputs} inputs are no square map of {channels} channels")
    return _apply(keras.layers.Conv2D(units, size, padding="valid", activation=activation, name=name), x, read)


def _dense_layer(x: Any, name: str, kernel_shape: tuple[int, ...], read: _Reader | None, activation: str | None) -> Any:
    """The fully connected layer of the original network."""
    return _apply(keras.layers.Dense(kernel_shape[1], activation=activation, name=name), x, read)


def _apply(layer: keras.layers.Layer, x: Any, read: _Reader | None) -> Any:
    """Call a new layer on x; its variables are made from what `read` gives, not from random values first."""
    if read is None:
        return layer(x)
    kernel = "depthwise_initializer" if hasattr(layer, "depthwise_initializer") else "kernel_initializer"
    names = (kernel, "bias_initializer")
    initializers = [getattr(layer, name) for name in names]
    for name, array in zip(names, read(layer.name), strict=True):
        setattr(layer, name, _adopting(array))
    x = layer(x)
    # The layer's configuration, and so a saved model, must not hold the arrays.
    for name, initializer in zip(names, initializers, strict=True):
        setattr(layer, name, initializer)
    return x


def _adopting(array: np.ndarray) -> Any:
    """An initializer that gives this array's values; the variable takes over its memory where alignment allows."""

    def initializer(shape: Any, dtype: Any) -> Any:
        values = np.ascontiguousarray(array.reshape(shape), dtype)
        if values.ctypes.data % ALIGNMENT:
            return tf.convert_to_tensor(values)
        return tf.experimental.dlpack.from_dlpack(values.__dlpack__())

    return initializer
