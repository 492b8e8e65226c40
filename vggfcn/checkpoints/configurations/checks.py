"""Looks through the arguments of layers for anything but data and objects of Keras's own."""

from typing import Any

from vggfcn.checkpoints.configurations import classes
from vggfcn.checkpoints.configurations.notes import LOAD_YOURSELF, Rewriting, short

MAX_DEPTH = 40
_DATA = {"__tensor__", "__numpy__", "__slice__", "__ellipsis__", "__keras_tensor__"}
_OWN = (
    classes.LAYERS
    | classes.INITIALIZERS
    | classes.REGULARIZERS
    | classes.CONSTRAINTS
    | {*classes.MODELS, *classes.APPLICATION_LAYERS, "DTypePolicy"}
)


def check_data(value: Any, name: str, kind: str, rewriting: Rewriting, depth: int = 0) -> None:
    """Raise `WeightsError`, with the layer's name and class, if a value of it holds code or a foreign object."""
    if depth > 2 * MAX_DEPTH:
        raise rewriting.malformed("is nested too deep")
    if isinstance(value, dict) and "class_name" in value and not _is_allowed(value):
        inner = classes.class_name(value)
        what = classes.CODE.get(inner, f"{short(inner)!r}, which only its author's code has")
        raise rewriting.refusal(name, kind, f"has an argument that is {what} (expected no code)", LOAD_YOURSELF)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_data(part, name, kind, rewriting, depth + 1)


def _is_allowed(value: dict[str, Any]) -> bool:
    inner = classes.class_name(value)
    if inner in _DATA:
        return True
    return (inner in _OWN or classes.is_operation(value)) and not classes.is_custom(value)
