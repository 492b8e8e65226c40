"""Keras's model configurations, read as JSON: how a model preprocesses images before its first layer with weights."""

import pathlib
from collections.abc import Iterator
from typing import Any

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError

# Layers that change pixel values or places in ways that a `Preprocessing` does not express.
UNSUPPORTED = {"Rescaling", "Lambda", "TFOpLambda", "Resizing", "CenterCrop"}
MAX_DEPTH = 40


def preprocessing(path: pathlib.Path, config: object) -> Preprocessing | None:
    """The preprocessing of the model's Normalization layer, or None if the model has no such layer.

    Raises `WeightsError` if the model preprocesses images with another layer, or if the configuration lacks the mean
    or the variance.
    """
    result = None
    for kind, options in _layers(config):
        if kind in UNSUPPORTED:
            raise WeightsError(
                f"{path}: the model preprocesses images with its {kind} layer, which is not part of the weights; "
                "convert the loaded model instead: vggfcn.convert(keras.saving.load_model(path))"
            )
        if kind == "Normalization":
            mean, variance = (_numbers(options.get(name)) for name in ("mean", "variance"))
            if not mean or not variance or min(variance) < 0:
                raise WeightsError(
                    f"{path}: expected a mean and a variance in the configuration of the model's Normalization layer, "
                    'found none that can be used; save the whole model: model.save("model.keras")'
                )
            result = Preprocessing.checked(path, mean, [value**0.5 for value in variance])
    return result


def _numbers(value: object) -> list[float]:
    """The numbers of a list that may be nested in further lists of one item; empty if a number has no float."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    numbers = value if isinstance(value, list) else []
    try:
        return [float(number) for number in numbers if isinstance(number, int | float)]
    except OverflowError:  # JSON's integers may be of any size.
        return []


def _layers(config: object, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """(class name, configuration) of the model and of every layer in it, including those of nested models."""
    if depth < MAX_DEPTH and isinstance(config, dict):
        kind, options = config.get("class_name"), config.get("config")
        if isinstance(kind, str) and isinstance(options, dict):
            yield kind, options
            layers = options.get("layers")
            for layer in layers if isinstance(layers, list) else ():
                yield from _layers(layer, depth + 1)
