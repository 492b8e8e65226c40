"""Groups of a person's own, from a file."""

import dataclasses
import graphlib
import json
import os
from typing import Any

from vggfcn.errors import LabelError
from vggfcn.labels.groups import Group, normalized
from vggfcn.labels.labels import Labels, read_text


def read_groups(path: str | os.PathLike[str], labels: Labels) -> tuple[Group, ...]:
    """Groups from a JSON file: an object from each group's name to the list of its members, in the file's order.

    A member is a class's index or whatever `labels.find` finds by a name; the file's groups come before WordNet's. A
    class that is a member in several ways counts once.

    Raises `LabelError` if the file is no such object, or if a group is called like a class or another group, has no
    members or an unknown one, or is within itself.
    """
    text = read_text(path, "a JSON file of groups of classes")
    try:
        return _resolved(_from_json(text), labels)
    except LabelError as error:
        raise LabelError(f"{os.fspath(path)}: {error}") from None


def _from_json(text: str) -> dict[str, list[str | int]]:
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        found = None
    lists = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(members, list) and {*map(type, members)} <= {str, int} for members in lists):
        raise LabelError(
            'expected JSON such as {"vehicle": ["car", "truck", 5]}: the name of each group and a list of its members, '
            "by name or index"
        )
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what JSON's own reader takes silently, to keep the last one: a name that is there twice."""
    seen: set[str] = set()
    for name, _ in pairs:
        if normalized(name) in seen:
            raise LabelError(f"{name!r} is there twice; give each group a name of its own")
        seen.add(normalized(name))
    return dict(pairs)


def _resolved(written: dict[str, list[str | int]], labels: Labels) -> tuple[Group, ...]:
    for name in written:
        if labels.classes_called(normalized(name)):
            raise LabelError(f"{name!r} is a class already; give the group another name")
    found: dict[str, Group] = {}
    for name in _inner_first(written):
        known = dataclasses.replace(labels, groups=(*found.values(), *labels.groups))
        found[name] = _group(name, written[name], known)
    return tuple(found[name] for name in written)


def _inner_first(written: dict[str, list[str | int]]) -> list[str]:
    """The names of the groups, each after those that are its members: then they are found like any other."""
    names = {normalized(name): name for name in written}
    inner = {
        name: [names[key] for key in (normalized(one) for one in members if isinstance(one, str)) if key in names]
        for name, members in written.items()
    }
    try:
        return list(graphlib.TopologicalSorter(inner).static_order())
    except graphlib.CycleError as error:
        circle = " in ".join(map(repr, error.args[1]))
        raise LabelError(f"a group cannot be within itself, and here is {circle}") from None


def _group(name: str, members: list[str | int], labels: Labels) -> Group:
    if not members:
        raise LabelError(f"group {name!r}: expected at least one member, found none")
    try:
        return Group(name, tuple(sorted({index for member in members for index in _indices(member, labels)})))
    except LabelError as error:
        raise LabelError(f"group {name!r}: {error}") from None


def _indices(member: str | int, labels: Labels) -> tuple[int, ...]:
    if isinstance(member, str):
        return labels.find(member).members
    if not 0 <= member < len(labels):
        raise LabelError(f"{member} is no class: expected 0 to {len(labels) - 1}")
    return (member,)
