"""The input of every network: the image and its preprocessing."""

from typing import Any

import keras

from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing
from vggfcn.networks.families import NetworkSpec

# What may be asked for: preprocess with what is known, do not, or preprocess like this.
Preprocess = bool | str | Preprocessing


def given(preprocess: Preprocess, channels: int) -> Preprocessing | None:
    """The preprocessing that the caller asks for; None if it is left to the weights, or left out.

    Raises `ValueError` for a text that names none, or if its numbers do not fit the number of channels.
    """
    if isinstance(preprocess, bool):
        return None
    if isinstance(preprocess, str):
        return parse_preprocessing(preprocess, channels)
    if not isinstance(preprocess, Preprocessing) or len(preprocess.mean) != channels:
        raise ValueError(f"preprocess: expected True, False, a text or numbers for {channels} channel(s)")
    return preprocess


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


def prepared(model: keras.Model, preprocessing: Preprocessing | None, *, native: bool) -> keras.Model:
    """A model that takes pixels in [0, 255] and prepares them for another one by stock layers.

    It takes images of that model's own input size if `native`, images of any size otherwise. A model that takes pixels
    as they are, or whose preprocessing is None, is returned unchanged.
    """
    if preprocessing is None or preprocessing.is_identity:
        return model
    shape = model.inputs[0].shape[1:] if native else (None, None, len(preprocessing.mean))
    image, layer = (f"{name}_" if name == model.name else name for name in ("image", "preprocessing"))
    inputs = keras.Input(shape, name=image)
    variance = [deviation**2 for deviation in preprocessing.std]
    x = keras.layers.Normalization(mean=preprocessing.mean, variance=variance, name=layer)(inputs)
    if preprocessing.color_order == "BGR":
        x = x[..., ::-1]
    prepared_model: keras.Model = keras.Model(inputs, model(x), name=model.name)
    return prepared_model
