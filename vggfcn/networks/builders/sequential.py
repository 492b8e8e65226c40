"""Build networks whose layers follow one another from stock Keras layers."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.checkpoints.preprocessing import Preprocessing, default_preprocessing, published_for, unknown_preprocessing
from vggfcn.graph.copying import building_from
from vggfcn.memory import ALIGNMENT
from vggfcn.networks.builders.inputs import given, image_input
from vggfcn.networks.families import BuildOptions
from vggfcn.networks.sequential import check_layers
from vggfcn.networks.spec import Architecture, ConvSpec, LayerSpec, LocalResponseNormalization, MaxPool, Subsampling
from vggfcn.networks.weights import Weights

# From a layer's name to its kernel and bias.
Reader = Callable[[str], tuple[np.ndarray, np.ndarray]]


def build(architecture: Architecture, weights: Weights | None, options: BuildOptions) -> keras.Model:
    """The Keras model. Layers that the weights do not have get random values.

    Raises `WeightsError` if layers are missing, damaged or have another shape, or if nothing says how images are
    preprocessed.
    """
    head, classes = options.head, options.classes
    names = list(architecture.parameter_shapes() if head else (layer.name for layer in architecture.trained_layers))
    if classes is not None and classes != architecture.classes:
        architecture = architecture.with_classes(classes)
        names = [name for name in names if name != architecture.head[-1].name]
    read: dict[str, Reader] = {}
    chosen = given(options.preprocess, architecture.channels)
    if weights is None:
        preprocessing: Preprocessing | None = chosen or default_preprocessing(architecture.channels)
        if chosen and chosen.color_order != "RGB":
            raise ValueError("preprocess: new weights have no order of colours yet; choose one for RGB")
    else:
        check_layers(architecture, weights, names)
        weights = weights if chosen is None else weights.with_preprocessing(chosen)
        if options.preprocess and weights.preprocessing is None:
            raise unknown_preprocessing(weights.source, published_for(weights.likely_preprocessing))
        read = dict.fromkeys(names, weights.__getitem__)
        preprocessing = weights.preprocessing
    inputs, x = image_input(architecture, head == "dense", preprocessing if options.preprocess else None)
    for spec in architecture.trunk:
        x = _TRUNK_LAYERS[type(spec)](x, spec, read.get(spec.name))
    if head:
        x = _head(x, architecture, head, read, options.activation)
    return keras.Model(inputs, x, name=f"{architecture.name}_{head or 'trunk'}")


def _head(x: Any, architecture: Architecture, head: str, read: dict[str, Reader], activation: str | None) -> Any:
    """The fully connected layers, as dense layers or as convolutions."""
    if head == "dense":
        x = keras.layers.Flatten(name="flatten")(x)
    layer = _dense_layer if head == "dense" else _dense_as_convolution
    shapes = architecture.parameter_shapes()
    for dense in architecture.head:
        last = dense is architecture.head[-1]
        x = layer(x, dense.name, shapes[dense.name][0], read.get(dense.name), activation if last else dense.activation)
    return x


def _conv_layer(x: Any, spec: ConvSpec, read: Reader | None) -> Any:
    layer = keras.layers.Conv2D(
        *(spec.filters, spec.size, spec.stride, spec.padding),
        groups=spec.groups,
        activation=spec.activation,
        name=spec.name,
    )
    channels = x.shape[-1]
    x = _call(layer, x, read)
    if spec.table and not read:
        layer.kernel.assign(layer.kernel * spec.connections(channels))
    return x


def _pooling_layer(x: Any, spec: MaxPool, read: None) -> Any:
    return keras.layers.MaxPooling2D(spec.size, spec.stride, name=spec.name)(x)


def _subsampling_layers(x: Any, spec: Subsampling, read: Reader | None) -> Any:
    """A mean, then a coefficient and a bias per channel, which are a 1x1 depthwise convolution."""
    x = keras.layers.AveragePooling2D(2, name=f"{spec.name}_mean")(x)
    return _call(keras.layers.DepthwiseConv2D(1, activation=spec.activation, name=spec.name), x, read)


def _normalization_across_channels(x: Any, spec: LocalResponseNormalization, read: None) -> Any:
    """The sum over neighbouring channels is an average along a third spatial axis: Keras has no layer for it."""
    neighbours = 2 * spec.radius + 1
    squares = keras.ops.expand_dims(keras.ops.square(x), -1)
    squares = keras.layers.ZeroPadding3D((0, 0, spec.radius), name=f"{spec.name}_padding")(squares)
    means = keras.layers.AveragePooling3D((1, 1, neighbours), 1, name=f"{spec.name}_mean")(squares)
    rescaling = keras.layers.Rescaling(spec.alpha * neighbours, spec.offset, name=f"{spec.name}_rescaling")
    divisor = keras.ops.power(rescaling(keras.ops.squeeze(means, -1)), spec.beta)
    return keras.ops.divide(x, divisor)


_TRUNK_LAYERS: dict[type[LayerSpec], Callable[..., Any]] = {
    ConvSpec: _conv_layer,
    MaxPool: _pooling_layer,
    Subsampling: _subsampling_layers,
    LocalResponseNormalization: _normalization_across_channels,
}


def _dense_as_convolution(
    x: Any, name: str, kernel_shape: tuple[int, ...], read: Reader | None, activation: str | None
) -> Any:
    """A fully connected layer as a convolution.

    A dense layer over a k x k x c volume has one weight per input and unit, and so has a k x k convolution without
    padding. The dense kernel (k * k * c, units), flattened in the order rows, columns, channels, is reshaped to
    (k, k, c, units): no value changes place. On a k x k map both compute the same `units` values; on a larger map the
    convolution computes them at every position. k is 7 for VGG's first dense layer and 1 for the others.
    """
    inputs, units = kernel_shape
    channels = x.shape[-1]
    size = math.isqrt(inputs // channels)
    if size * size * channels != inputs:
        raise ValueError(f"{name}: expected the inputs of a square map of {channels} channels, got {inputs}")
    return _call(keras.layers.Conv2D(units, size, padding="valid", activation=activation, name=name), x, read)


def _dense_layer(x: Any, name: str, kernel_shape: tuple[int, ...], read: Reader | None, activation: str | None) -> Any:
    """A fully connected layer of the original network."""
    return _call(keras.layers.Dense(kernel_shape[1], activation=activation, name=name), x, read)


def _call(layer: keras.layers.Layer, x: Any, read: Reader | None) -> Any:
    """Call a new layer on x. Its variables start from what `read` gives, without random values or a second copy."""
    if read is None:
        return layer(x)
    kernel, bias = map(_tensor, read(layer.name))
    with building_from(layer, {"kernel": kernel, "bias": bias}):
        return layer(x)


def _tensor(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor that uses its memory, or as a copy if the array is not aligned: TensorFlow would abort."""
    array = np.ascontiguousarray(array)
    if array.ctypes.data % ALIGNMENT:
        return tf.convert_to_tensor(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
