"""Class names: ImageNet's, or those that a weight file carries, and what a person may call classes and groups."""

import dataclasses
import difflib
import functools
import importlib.resources
import json
import os
import pathlib
from typing import Any

from vggfcn.errors import LabelError
from vggfcn.labels.groups import Group, Synset, normalized, wordnet_groups

# A class of this name stands for "nothing of the kind": never the class whose heatmap one wants to see.
BACKGROUND = "none"
SUGGESTIONS = 5


@dataclasses.dataclass(frozen=True)
class Labels:
    """The names of a classifier's classes, in order: `names[i]` holds all names of class i, the usual one first.

    `groups` are those of one's own; classes that have a WordNet id among their names are in WordNet's groups as well.
    """

    names: tuple[tuple[str, ...], ...]
    groups: tuple[Group, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index][0]

    @property
    def background(self) -> int | None:
        """The index of the class that stands for nothing, if there is one."""
        return next((index for index, names in enumerate(self.names) if names[0] == BACKGROUND), None)

    def single(self, index: int) -> Group:
        """One class alone, under its usual name."""
        return Group(self[index], (index,))

    def find(self, wanted: str) -> Group:
        """The class or group of a name, in any case, with spaces or underscores; a WordNet id is a name, too.

        The first of these that there is: a class of that name, the class of that index, a group of one's own, one of
        WordNet's. So "brass" is ImageNet's memorial plaque, and "n02891788" the three brass instruments. Of several of
        WordNet's, it is the one that has this name first.

        Raises `LabelError` if there is none, or if the name stands for several classes, or for several of WordNet's
        groups, of different members, of which none or several have it first.
        """
        text = normalized(wanted)
        classes = self.classes_called(text)
        if len(classes) > 1:
            choices = ", ".join(f"{index} ({self.names[index][-1]})" for index in classes)
            raise LabelError(f"{wanted!r} stands for several classes; say which by its index: {choices}")
        if classes:
            return self.single(classes[0])
        own = [group for group in self.groups if normalized(group.name) == text]
        return own[0] if own else self._wordnet_group(wanted)

    def classes_called(self, text: str) -> list[int]:
        """Indices of the classes of a name (made `normalized`); if it is none's, of the class that has it for an index.

        Names come first since they may be numerals: where classes are called "1" to "9", "3" is not the one at 3.
        """
        return _classes_by_name(self.names).get(text, [])

    def _wordnet_group(self, wanted: str) -> Group:
        text = normalized(wanted)
        found: dict[tuple[int, ...], tuple[Synset, Group]] = {}
        for synset, group in wordnet_groups(self.names):
            if text == synset.wordnet_id:
                return group
            if text in map(normalized, synset.names):
                found.setdefault(group.members, (synset, group))
        # The name that comes first is the usual one: "cat, true cat" rather than "big cat, cat".
        usual = [group for synset, group in found.values() if normalized(synset.names[0]) == text]
        if len(usual) == 1:
            return usual[0]
        if not found:
            known = f"expected 0 to {len(self) - 1} or a name of a class or group"
            raise LabelError(f"{wanted!r} is no class: {known}{self._similar(text)}")
        if len(found) > 1:
            choices = "; ".join(f"{synset} with {len(group.members)}" for synset, group in found.values())
            raise LabelError(f"{wanted!r} stands for several groups of classes; say which by its WordNet id: {choices}")
        return next(group for _, group in found.values())

    def _similar(self, text: str) -> str:
        """Names that hold the text, the shortest first, else names spelt nearly like it, else those of classes."""
        usual = {name: names[0] for names in self.names for name in map(normalized, names)}
        usual.update((normalized(group.name), group.name) for group in self.groups)
        for synset, _ in wordnet_groups(self.names):
            usual.update((normalized(name), name) for name in synset.names if normalized(name) not in usual)
        near: list[str] = []
        if text and not text.isdecimal():  # A number was meant for an index, not for a piece of a WordNet id.
            near = sorted((name for name in usual if text in name), key=len)
            near = near or difflib.get_close_matches(text, usual, SUGGESTIONS)
        similar = list(dict.fromkeys(usual[name] for name in near)) or [names[0] for names in self.names]
        return f" such as {', '.join(similar[:SUGGESTIONS])}"


@functools.cache
def _classes_by_name(names: tuple[tuple[str, ...], ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, own in enumerate(names):
        for name in dict.fromkeys(map(normalized, own)):
            found.setdefault(name, []).append(index)
    return {str(index): [index] for index in range(len(names))} | found


def labels_for(classes: int, names: tuple[str, ...] | None = None) -> Labels:
    """The labels of weights: the names that came with them, ImageNet's for 1000 classes, plain numbers otherwise.

    Raises `LabelError` if there are more or fewer names than classes.
    """
    if names is not None:
        if len(names) != classes:
            raise LabelError(f"expected {classes} class names, as many as the weights have classes, found {len(names)}")
        return Labels(tuple((name,) for name in names))
    if classes == 1000:
        return imagenet_labels()
    return Labels(tuple((f"class {index}",) for index in range(classes)))


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Class names from a file: text with a name on each line, or JSON.

    JSON is a list of names, an object from names to indices, or one from indices to names, or to lists that end with
    the name as in `imagenet_class_index.json`. Raises `LabelError` if the file is none of these.
    """
    path = pathlib.Path(path)
    text = read_text(path, "a text or JSON file of class names")
    if not text.lstrip().startswith(("[", "{")):
        return tuple(line.strip() for line in text.strip().splitlines())
    try:
        return _from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise LabelError(
            f'{path}: expected JSON such as ["cat", "dog"], {{"0": "cat"}} or {{"cat": 0}}, indices from 0 on'
        ) from None


def read_text(path: str | os.PathLike[str], expected: str) -> str:
    """The text of a UTF-8 file; raises `LabelError`, which says what was expected, if it cannot be read."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{os.fspath(path)}: expected {expected}, and it cannot be read ({error})") from None


def _from_json(found: list[Any] | dict[str, Any]) -> tuple[str, ...]:
    if isinstance(found, dict):
        if all(isinstance(value, int) for value in found.values()):
            found = {str(index): name for name, index in found.items()}
        found = [found[str(index)] for index in range(len(found))]
    names = [item[-1] if isinstance(item, list) else item for item in found]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is no text")
    return tuple(names)


@functools.cache
def imagenet_labels() -> Labels:
    """The 1000 classes of ImageNet's 2012 challenge: WordNet's names, then the WordNet id."""
    table = importlib.resources.files("vggfcn") / "data" / "imagenet_classes.tsv"
    rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    return Labels(tuple((*names.split(", "), wordnet_id) for wordnet_id, names in rows))
