"""Keras's model configurations, read as JSON: what a model does to images before its first weights."""

import pathlib
from collections.abc import Iterator
from typing import Any

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError

# Layers that change pixel values; each but Normalization would have to be understood before it could be kept.
CHANGING = {"Rescaling", "Lambda", "TFOpLambda", "Resizing", "CenterCrop"}
MAX_DEPTH = 40


def preprocessing(path: pathlib.Path, config: object) -> Preprocessing | None:
    """What the model's Normalization layer holds; None if the model has none.

    Raises `WeightsError` if it prepares images in another way, or by numbers that its configuration lacks.
    """
    found = None
    for kind, options in _layers(config):
        if kind in CHANGING:
            raise WeightsError(
                f"{path}: the model prepares images with {kind}, which its weights do not tell; convert "
                "the loaded model instead: vggfcn.convert(keras.saving.load_model(path))"
            )
        if kind == "Normalization":
            mean, variance = (_numbers(options.get(name)) for name in ("mean", "variance"))
            if not mean or not variance or min(variance) < 0:
                raise WeightsError(f"{path}: the model's Normalization layer does not state its mean and variance")
            found = Preprocessing.checked(path, mean, [value**0.5 for value in variance])
    return found


def _numbers(value: object) -> list[float]:
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    numbers = value if isinstance(value, list) else []
    return [float(number) for number in numbers if isinstance(number, int | float)]


def _layers(config: object, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """(class name, configuration) of every layer, those of models within the model too."""
    if depth < MAX_DEPTH and isinstance(config, dict):
        kind, options = config.get("class_name"), config.get("config")
        if isinstance(kind, str) and isinstance(options, dict):
            yield kind, options
            layers = options.get("layers")
            for layer in layers if isinstance(layers, list) else ():
                yield from _layers(layer, depth + 1)
