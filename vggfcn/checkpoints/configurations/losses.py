"""What the loss in a file says of a network's outputs: whether they are logits, and of what."""

import json
from typing import Any

# Losses that take logits if they are told so, and what these are logits of.
_OF_LOGITS = {
    "CategoricalCrossentropy": "softmax",
    "SparseCategoricalCrossentropy": "softmax",
    "CategoricalFocalCrossentropy": "softmax",
    "BinaryCrossentropy": "sigmoid",
    "BinaryFocalCrossentropy": "sigmoid",
}
_LONGEST = 1 << 20  # characters


def activation_of_logits(training: object) -> tuple[str, str]:
    """The activation, "softmax" or "sigmoid", that a network's loss applies to its outputs, and how the file says so.

    `training` is what Keras stores of `compile`, as JSON or its text: `compile_config` in a `.keras`, `training_config`
    in an `.h5`. ("", "") if it does not say that the outputs are logits: a loss in a text, such as
    "categorical_crossentropy", takes probabilities, and networks with several losses are not looked at.
    """
    loss = _part(_parsed(training), "loss")
    name = _part(loss, "class_name")
    activation = _OF_LOGITS.get(name, "") if isinstance(name, str) else ""
    if not activation or _part(_part(loss, "config"), "from_logits") is not True:
        return "", ""
    return activation, f"it was trained with {name}(from_logits=True)"


def _parsed(training: object) -> object:
    if not isinstance(training, str):
        return training
    try:
        return json.loads(training) if len(training) <= _LONGEST else None
    except (ValueError, RecursionError):  # Nothing else depends on it.
        return None


def _part(item: object, key: str) -> Any:
    return item.get(key) if isinstance(item, dict) else None
