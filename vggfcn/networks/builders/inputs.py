"""The input of every network: the image and its preprocessing."""

from typing import Any

import keras

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.networks.families import NetworkSpec


def image_input(network: NetworkSpec, native: bool, preprocessing: Preprocessing | None) -> tuple[Any, Any]:
    """The model's input, pixels in [0, 255], and the preprocessed image.

    The input takes images of the native size only if `native` is true, images of any size otherwise.
    """
    side = network.native_size if native else None
    inputs = keras.Input((side, side, network.channels), name="image")
    if preprocessing is None:
        return inputs, inputs
    variance = [deviation**2 for deviation in preprocessing.std]
    layer = keras.layers.Normalization(mean=preprocessing.mean, variance=variance, name="preprocessing")
    return inputs, layer(inputs)
