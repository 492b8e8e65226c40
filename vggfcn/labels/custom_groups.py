"""The user's own groups of classes, read from a JSON file."""

import dataclasses
import graphlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vggfcn.errors import LabelError, shown
from vggfcn.labels.groups import Group, normalized
from vggfcn.labels.labels import Labels, read_text


def read_groups(path: str | os.PathLike[str], labels: Labels) -> tuple[Group, ...]:
    """Read groups of classes from a JSON file, in the file's order.

    The file is an object that maps the name of each group to the list of its members. A member is the index of a class
    or a name that `labels.find` knows; the file's own groups come before WordNet's. A class that is listed more than
    once counts once.

    Raises `LabelError` if the file is not such an object, or if a group has the name of a class or of another group,
    has no members or an unknown one, or contains itself.
    """
    text = read_text(path, "a JSON file of groups of classes")
    try:
        return _resolved(_from_json(text), labels)
    except LabelError as error:
        raise LabelError(f"{os.fspath(path)}: {error}") from None


def groups_from(definitions: Mapping[str, Sequence[str | int]], labels: Labels) -> tuple[Group, ...]:
    """Groups of classes from a mapping of names to members, which mean what they mean in a file of `read_groups`.

    Raises `LabelError` as `read_groups` does.
    """
    plain = {str(name): _plain(members) for name, members in definitions.items()}
    return _resolved(_from_json(json.dumps(plain)), labels)


def _plain(members: Any) -> Any:
    """Members as JSON has them: numbers of NumPy as those of Python, and None for what is no list of members."""
    if isinstance(members, str | bytes | Mapping) or not isinstance(members, Iterable):
        return None
    numbers = (int(member) if isinstance(member, np.integer) else member for member in members)
    return [member if isinstance(member, str | int) else None for member in numbers]


def _from_json(text: str) -> dict[str, list[str | int]]:
    try:
        parsed = json.loads(text, object_pairs_hook=_unique_names)
    except (ValueError, RecursionError):
        parsed = None
    lists = parsed.values() if isinstance(parsed, dict) else [None]
    if not all(isinstance(members, list) and {*map(type, members)} <= {str, int} for members in lists):
        raise LabelError(
            'expected JSON such as {"vehicle": ["car", "truck", 5]}: the name of each group and a list of its members, '
            "by name or index"
        )
    return parsed


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated name, of which Python's JSON reader would silently keep the last."""
    seen: set[str] = set()
    for name, _ in pairs:
        if normalized(name) in seen:
            raise LabelError(f"several groups are called {shown(name)}; give each group its own name")
        seen.add(normalized(name))
    return dict(pairs)


def _resolved(definitions: dict[str, list[str | int]], labels: Labels) -> tuple[Group, ...]:
    for name in definitions:
        if labels.classes_called(normalized(name)):
            raise LabelError(f"{shown(name)} is already the name or index of a class; give the group another name")
    # Without members yet: messages suggest their names.
    known = dataclasses.replace(labels, groups=(*(Group(name, ()) for name in definitions), *labels.groups))
    groups: dict[str, Group] = {}
    for name in _inner_first(definitions):
        groups[normalized(name)] = _group(name, definitions[name], groups, known)
    return tuple(groups[normalized(name)] for name in definitions)


def _inner_first(definitions: dict[str, list[str | int]]) -> list[str]:
    """The names of the groups, each after the groups that it contains, so that those can be looked up."""
    names = {normalized(name): name for name in definitions}
    inner = {
        name: [names[key] for key in (normalized(item) for item in members if isinstance(item, str)) if key in names]
        for name, members in definitions.items()
    }
    try:
        return list(graphlib.TopologicalSorter(inner).static_order())
    except graphlib.CycleError as error:
        first, *others = map(shown, error.args[1])
        raise LabelError(f"a group cannot contain itself: {first} is in {', which is in '.join(others)}") from None


def _group(name: str, members: list[str | int], groups: Mapping[str, Group], labels: Labels) -> Group:
    """The group of these members, which may be among `groups`, by `normalized` name."""
    if not members:
        raise LabelError(f"group {shown(name)}: expected at least one member, found none")
    try:
        return Group(name, tuple(sorted({index for member in members for index in _indices(member, groups, labels)})))
    except LabelError as error:
        raise LabelError(f"group {shown(name)}: {error}") from None


def _indices(member: str | int, groups: Mapping[str, Group], labels: Labels) -> tuple[int, ...]:
    if isinstance(member, str):
        return (groups.get(normalized(member)) or labels.find(member)).members
    if not 0 <= member < len(labels):
        raise LabelError(f"Unknown class {shown(member)}. Use an index from 0 to {len(labels) - 1}")
    return (member,)
