"""What every network begins with: the image, and its preprocessing."""

from typing import Any

import keras

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.networks.families import NetworkSpec


def image_input(network: NetworkSpec, native: bool, preprocessing: Preprocessing | None) -> tuple[Any, Any]:
    """(the input, what comes out of preprocessing): RGB or grey in [0, 255], of native size alone or of any."""
    side = network.native_size if native else None
    inputs = keras.Input((side, side, network.channels), name="image")
    if preprocessing is None:
        return inputs, inputs
    variance = [deviation**2 for deviation in preprocessing.std]
    layer = keras.layers.Normalization(mean=preprocessing.mean, variance=variance, name="preprocessing")
    return inputs, layer(inputs)
