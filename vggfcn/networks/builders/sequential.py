"""Keras models from layer specs: the original network and the same network without its dense layers."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.checkpoints.preprocessing import default_preprocessing
from vggfcn.memory import ALIGNMENT
from vggfcn.networks.builders.inputs import image_input
from vggfcn.networks.families import BuildOptions
from vggfcn.networks.sequential import check_layers
from vggfcn.networks.spec import Architecture, ConvSpec, LayerSpec, LocalResponseNormalization, MaxPool, Subsampling
from vggfcn.networks.weights import Weights

# Layer name -> its (kernel, bias).
_Reader = Callable[[str], tuple[np.ndarray, np.ndarray]]


def build(architecture: Architecture, weights: Weights | None, options: BuildOptions) -> keras.Model:
    """The model; layers that are not read from the weights get new random values.

    Raises `WeightsError` if layers are missing, damaged or of another shape.
    """
    head, classes = options.head, options.classes
    names = list(architecture.parameter_shapes() if head else (row.name for row in architecture.trained_rows))
    if classes is not None and classes != architecture.classes:
        architecture = architecture.with_classes(classes)
        names = [name for name in names if name != architecture.head[-1].name]
    read: dict[str, _Reader] = {}
    preprocessing = default_preprocessing(architecture.channels)
    if weights is not None:
        check_layers(architecture, weights, names)
        read = dict.fromkeys(names, weights.__getitem__)
        preprocessing = weights.preprocessing
    inputs, x = image_input(architecture, head == "dense", preprocessing if options.preprocess else None)
    for row in architecture.trunk:
        x = _TRUNK_LAYERS[type(row)](x, row, read.get(row.name))
    if head:
        x = _head(x, architecture, head, read, options.activation)
    return keras.Model(inputs, x, name=f"{architecture.name}_{head or 'trunk'}")


def _head(x: Any, architecture: Architecture, head: str, read: dict[str, _Reader], activation: str | None) -> Any:
    """The fully connected layers, as they were published or as convolutions."""
    if head == "dense":
        x = keras.layers.Flatten(name="flatten")(x)
    layer = _dense_layer if head == "dense" else _fc_layer
    shapes = architecture.parameter_shapes()
    for dense in architecture.head:
        last = dense is architecture.head[-1]
        x = layer(x, dense.name, shapes[dense.name][0], read.get(dense.name), activation if last else dense.activation)
    return x


def _conv_layer(x: Any, row: ConvSpec, read: _Reader | None) -> Any:
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


_TRUNK_LAYERS: dict[type[LayerSpec], Callable[..., Any]] = {
    ConvSpec: _conv_layer,
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
    with _starting_from(layer, *read(layer.name)):
        return layer(x)


@contextlib.contextmanager
def _starting_from(layer: keras.layers.Layer, kernel: np.ndarray, bias: np.ndarray) -> Iterator[None]:
    """While it lasts, the layer's variables are made from these arrays.

    Its own initializers are put back: its configuration, and so a saved model, must not hold the arrays.
    """
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    arrays = {"depthwise_initializer" if depthwise else "kernel_initializer": kernel, "bias_initializer": bias}
    own = {name: getattr(layer, name) for name in arrays}
    for name, array in arrays.items():
        setattr(layer, name, _adopting(array))
    yield
    for name, initializer in own.items():
        setattr(layer, name, initializer)


def _adopting(array: np.ndarray) -> Any:
    """An initializer that gives this array's values; the variable takes over its memory where alignment allows."""

    def initializer(shape: Any, dtype: Any) -> Any:
        values = np.ascontiguousarray(array.reshape(shape), dtype)
        if values.ctypes.data % ALIGNMENT:
            return tf.convert_to_tensor(values)
        return tf.experimental.dlpack.from_dlpack(values.__dlpack__())

    return initializer
