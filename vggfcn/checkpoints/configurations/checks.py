"""Looks through the arguments of layers for anything but data and objects of Keras's own."""

from collections.abc import Iterator
from typing import Any

from vggfcn.checkpoints.configurations import classes
from vggfcn.checkpoints.configurations.notes import LOAD_YOURSELF, Rewriting, short

MAX_DEPTH = 40
_ARRAYS = {"__tensor__", "__numpy__"}
_DATA = {*_ARRAYS, "__slice__", "__ellipsis__", "__keras_tensor__"}
# NumPy takes other names, too, such as that of a text of a gigabyte for each value.
_DTYPES = {"bool", "bfloat16", *(f"float{bits}" for bits in (16, 32, 64))}
_DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
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
    if isinstance(value, dict) and value.get("class_name") in _ARRAYS and not _is_array(value.get("config")):
        raise rewriting.refusal(name, kind, "has an array that is not one of numbers", LOAD_YOURSELF)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_data(part, name, kind, rewriting, depth + 1)


def _is_array(config: Any) -> bool:
    """Whether an array is stated as lists of numbers and the name of their dtype."""
    if not isinstance(config, dict) or str(config.get("dtype")) not in _DTYPES:
        return False
    level = [config.get("value")]
    for _ in range(MAX_DEPTH):
        if not any(isinstance(part, list) for part in level):
            break
        level = [item for part in level for item in (part if isinstance(part, list) else [part])]
    return all(isinstance(item, int | float) for item in level)


def _is_allowed(value: dict[str, Any]) -> bool:
    inner = classes.class_name(value)
    if inner in _DATA:
        return True
    return (inner in _OWN or classes.is_operation(value)) and not classes.is_custom(value)


# Calls of layers when a model is built. NASNetLarge has 1,041, each once.
MAX_CALLS = 50_000


def check_calls(model: dict[str, Any], rewriting: Rewriting) -> None:
    """Raise `WeightsError` for a rewritten model whose layers are called too often.

    A model that is called twice within one that is called twice, and so on, has a short description and no end.
    """
    if _calls(model) > MAX_CALLS:
        raise rewriting.malformed(f"calls its layers over {MAX_CALLS:,} times, models within models counted")


def _calls(item: dict[str, Any]) -> int:
    """Calls of layers while a layer is made; of a model also those of its own layers."""
    if item["class_name"] in classes.MODELS:
        # Each part is made once, and then called.
        parts = item["config"]["layers"]
        return sum(_calls(part) * (1 + max(1, len(part.get("inbound_nodes") or ()))) for part in parts)
    return 1 + sum(map(_calls, _objects(item["config"])))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The layers and others among the arguments of a layer, such as the one that a wrapper wraps."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict) and part.get("class_name") and isinstance(part.get("config"), dict):
            yield part
        else:
            pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
