"""Build EfficientNet from stock Keras layers."""

import dataclasses
from typing import Any

import keras

from vggfcn.checkpoints.preprocessing import Preprocessing, published_for, unknown_preprocessing
from vggfcn.checkpoints.tensors import Container
from vggfcn.conversion.convert import convert
from vggfcn.errors import WeightsError
from vggfcn.networks import efficientnet
from vggfcn.networks.builders.inputs import given, image_input
from vggfcn.networks.efficientnet import EPSILON, Block, EfficientNet, NormalizedConv
from vggfcn.networks.families import BuildOptions


def build(network: EfficientNet, weights: Container | None, options: BuildOptions) -> keras.Model:
    """The Keras model. Without weights its values are random; with another number of classes, those of its head are."""
    head, classes = options.head, options.classes or network.classes
    preprocessing = _preprocessing(network, weights, options)
    inputs, x = image_input(network, head is not None, preprocessing)
    x = _features(x, network, weights)
    if head:
        head_weights = weights if classes == network.classes else None
        x = _head(x, dataclasses.replace(network, classes=classes), head_weights, options.activation)
    model = keras.Model(inputs, x, name=f"{network.name}_{head or 'trunk'}")
    # The tests run the proof of this conversion, so builds need not wait for it.
    return convert(model, check=False) if head == "conv" else model


def _preprocessing(network: EfficientNet, weights: Container | None, options: BuildOptions) -> Preprocessing | None:
    """What is done to pixels; None for nothing. Raises an error if it is unknown, or not that of the weights."""
    if options.preprocess is False:
        return None
    chosen = given(options.preprocess, network.channels)
    if chosen and chosen.color_order != "RGB":
        raise ValueError("preprocess: EfficientNet's networks read RGB; choose one for RGB")
    if weights is None:
        return chosen or efficientnet.PREPROCESSING
    known = weights.preprocessing
    if chosen and known not in (chosen, None):
        raise WeightsError(f"{weights.path}: expects the preprocessing {known}, not {chosen}; leave out preprocess")
    if not (chosen or known):
        raise unknown_preprocessing(weights.path, published_for(efficientnet.PREPROCESSING))
    return chosen or known


def _features(x: Any, network: EfficientNet, weights: Container | None) -> Any:
    """All blocks: preprocessed (batch, rows, columns, 3) -> (batch, rows / 32, columns / 32, 1280).

    Zeros are padded explicitly, so that cell u starts at pixel 32 u for every image size. Keras's "same" padding would
    shift the cells where a side is odd.
    """
    for block in network.blocks:
        x = _block(x, block, weights)
    return x


def _head(x: Any, network: EfficientNet, weights: Container | None, activation: str | None) -> Any:
    """The mean over the map, dropout and the dense layer: (batch, classes)."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    layer = keras.layers.Dense(network.classes, activation=activation, name="predictions")
    x = layer(x)
    if weights:
        layer.set_weights(efficientnet.read_dense(weights))
    return x


def _block(x: Any, block: Block, weights: Container | None) -> Any:
    start = x
    for conv in block.convolutions:
        x = _convolution(x, conv, weights)
    return keras.layers.Add(name=f"{block.name}_add")([start, x]) if block.residual else x


def _convolution(x: Any, conv: NormalizedConv, weights: Container | None) -> Any:
    if any(conv.padding):
        x = keras.layers.ZeroPadding2D((conv.padding, conv.padding), name=f"{conv.name}_padding")(x)
    if conv.depthwise:
        layer = keras.layers.DepthwiseConv2D(conv.size, conv.stride, use_bias=False, name=conv.name)
    else:
        layer = keras.layers.Conv2D(conv.filters, conv.size, conv.stride, use_bias=False, name=conv.name)
    normalization = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{conv.name}_normalization")
    x = normalization(layer(x))
    if weights:
        layer.set_weights([efficientnet.read_kernel(weights, conv)])
        normalization.set_weights(efficientnet.read_normalization(weights, conv))
    return x if conv.linear else keras.layers.ReLU(6, name=f"{conv.name}_relu6")(x)
