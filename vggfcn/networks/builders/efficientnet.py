"""EfficientNet in stock Keras layers, from its rows."""

import dataclasses
from typing import Any

import keras

from vggfcn.checkpoints.tensors import Container
from vggfcn.conversion.convert import convert
from vggfcn.networks import efficientnet
from vggfcn.networks.builders.inputs import image_input
from vggfcn.networks.efficientnet import EPSILON, Block, Convolution, EfficientNet
from vggfcn.networks.families import BuildOptions


def build(network: EfficientNet, weights: Container | None, options: BuildOptions) -> keras.Model:
    """The model; without weights, or with other classes than they have, there are new random values."""
    head, classes = options.head, options.classes or network.classes
    inputs, x = image_input(network, head is not None, efficientnet.PREPROCESSING if options.preprocess else None)
    x = _features(x, network, weights)
    if head:
        known = classes == network.classes
        x = _head(x, dataclasses.replace(network, classes=classes), weights if known else None, options.activation)
    model = keras.Model(inputs, x, name=f"{network.name}_{head or 'trunk'}")
    # The tests hold this conversion to its proof, so that who builds need not wait for it.
    return convert(model, check=False) if head == "conv" else model


def _features(x: Any, network: EfficientNet, weights: Container | None) -> Any:
    """The network without its head: (batch, rows, columns, 3), preprocessed -> (batch, rows / 32, columns / 32, 1280).

    The zeros around a map are the same at every size, so that cell u always begins at pixel 32 u; Keras's "same" lays
    them in another way where a side is odd.
    """
    for block in network.blocks:
        x = _block(x, block, weights)
    return x


def _head(x: Any, network: EfficientNet, weights: Container | None, activation: str | None) -> Any:
    """The mean over the map, dropout, and the dense layer: (batch, classes)."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    layer = keras.layers.Dense(network.classes, activation=activation, name="predictions")
    x = layer(x)
    if weights:
        layer.set_weights(efficientnet.dense(weights))
    return x


def _block(x: Any, block: Block, weights: Container | None) -> Any:
    start = x
    for row in block.convolutions:
        x = _convolution(x, row, weights)
    return keras.layers.Add(name=f"{block.name}_add")([start, x]) if block.residual else x


def _convolution(x: Any, row: Convolution, weights: Container | None) -> Any:
    if any(row.padding):
        x = keras.layers.ZeroPadding2D((row.padding, row.padding), name=f"{row.name}_padding")(x)
    if row.depthwise:
        layer = keras.layers.DepthwiseConv2D(row.size, row.stride, use_bias=False, name=row.name)
    else:
        layer = keras.layers.Conv2D(row.filters, row.size, row.stride, use_bias=False, name=row.name)
    normalization = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{row.name}_normalization")
    x = normalization(layer(x))
    if weights:
        layer.set_weights([efficientnet.kernel(weights, row)])
        normalization.set_weights(efficientnet.normalization(weights, row))
    return x if row.linear else keras.layers.ReLU(6, name=f"{row.name}_relu6")(x)
