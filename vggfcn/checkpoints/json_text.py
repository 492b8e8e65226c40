"""JSON from a weight file, parsed within the file's budget and nested no deeper than any network."""

import json
from typing import Any

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.errors import one_line

# Lists and objects in each other: Keras's models have four for each model within a model.
MAX_DEPTH = 200


def parse(budget: Budget, text: str | bytes, name: str, unique: bool = False) -> Any:
    """The value of a text in JSON, called `name` in messages; with `unique`, no object may have a name twice.

    Raises `WeightsError` if it is not valid, too long, or nested deeper than `MAX_DEPTH`.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    budget.check_text(len(data), name)
    budget.spend(sum(map(data.count, (b"[", b"{", b","))))
    try:
        value = json.loads(data, object_pairs_hook=_without_duplicates if unique else None)
    except (ValueError, RecursionError) as error:
        raise damaged(budget.path, f"{name} is not valid JSON ({one_line(error, 100)})") from error
    if _is_deep(value):
        raise damaged(budget.path, f"{name} is nested over {MAX_DEPTH} levels deep")
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate name")
    return found


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole) if isinstance(part, list | dict)]
        if not level:
            return False
    return True


def _parts(whole: object) -> Any:
    return whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()
