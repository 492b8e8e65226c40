"""Class names, and finding classes and groups by name."""

import dataclasses
import difflib
import functools
import importlib.resources
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Set
from numbers import Integral
from typing import Any

from vggfcn.errors import LabelError, shown
from vggfcn.files import open_regular
from vggfcn.labels.groups import Group, Synset, normalized, wordnet_groups

# A class of this name means "none of the others". Its heatmap is of no interest.
BACKGROUND = "none"
SUGGESTIONS = 5
MAX_FILE = 1 << 24  # bytes
MAX_NAME = 1000  # characters
# What one suggestion compares by spelling, which is slow: names, and characters of the unknown name.
COMPARED = 10_000
COMPARED_LENGTH = 100


@dataclasses.dataclass(frozen=True)
class Labels:
    """The names of a classifier's classes: `names[i]` holds all names of class i, the most common one first.

    `groups` are the user's own groups. Classes that have a WordNet id among their names also belong to WordNet's
    groups. Raises `LabelError` if a name is too long to be one.
    """

    names: tuple[tuple[str, ...], ...]
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        for index, names in enumerate(self.names):
            for name in names:
                _check_length(f"class {index}", name)
        for group in self.groups:
            _check_length("a group of classes", group.name)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index][0]

    @property
    def background(self) -> int | None:
        """The index of the background class; `None` if there is no such class.

        It is called "none", or "not X" if the only other class is X.
        """
        if len(self.names) == 2 and self[0] == f"not {self[1]}":
            return 0
        return next((index for index, names in enumerate(self.names) if names[0] == BACKGROUND), None)

    def single(self, index: int) -> Group:
        """A single class as a group, under its most common name."""
        return Group(self[index], (index,))

    def find(self, name: str) -> Group:
        """Find a class or group by name; case is ignored, and underscores count as spaces.

        The name is looked up in this order:

        - any name of a class, its WordNet id included,
        - the index of a class,
        - the name of one of the user's own groups,
        - the WordNet id or any name of a WordNet synset above at least one of the classes.

        So "brass" is ImageNet's memorial plaque, and "n02891788" is the group of three brass instruments. If several
        synsets with different members have the name, the one for which WordNet lists it first is meant.

        Raises `LabelError` if the name is unknown or belongs to several classes, or if it belongs to several synsets
        with different members and WordNet lists it first for none or for several of them.
        """
        text = normalized(name)
        classes = self.classes_called(text)
        if len(classes) > 1:
            choices = ", ".join(f"{index} ({self.names[index][-1]})" for index in classes)
            raise LabelError(f"Several classes are called {shown(name)}. Choose one by its index: {choices}")
        if classes:
            return self.single(classes[0])
        return self._own_groups.get(text) or self._wordnet_group(name)

    def classes_called(self, text: str) -> list[int]:
        """Indices of the classes with a `normalized` name; if no class has it, the name is read as an index.

        Names come first because they may be numerals: if classes are called "1" to "9", "3" is not the fourth class.
        """
        return self._classes.get(text, [])

    @functools.cached_property
    def _classes(self) -> dict[str, list[int]]:
        """Indices of the classes by each of their names, and by index where that is no name."""
        indices: dict[str, list[int]] = {}
        for index, own in enumerate(self.names):
            for name in dict.fromkeys(map(normalized, own)):
                indices.setdefault(name, []).append(index)
        return {str(index): [index] for index in range(len(self))} | indices

    @functools.cached_property
    def _own_groups(self) -> dict[str, Group]:
        """The user's own groups by name; the first has it if several are called the same."""
        return {normalized(group.name): group for group in reversed(self.groups)}

    @functools.cached_property
    def _synsets(self) -> dict[str, list[tuple[Synset, Group]]]:
        """WordNet's groups by WordNet id and by each of their names."""
        named: dict[str, list[tuple[Synset, Group]]] = {}
        for synset, group in wordnet_groups(self.names):
            for name in (synset.wordnet_id, *map(normalized, synset.names)):
                named.setdefault(name, []).append((synset, group))
        return named

    def _wordnet_group(self, name: str) -> Group:
        text = normalized(name)
        matches: dict[tuple[int, ...], tuple[Synset, Group]] = {}
        for synset, group in self._synsets.get(text, []):
            matches.setdefault(group.members, (synset, group))
        # WordNet lists the most common name first: "cat, true cat" rather than "big cat, cat".
        first = [group for synset, group in matches.values() if normalized(synset.names[0]) == text]
        if len(first) == 1:
            return first[0]
        if not matches:
            raise LabelError(f"Unknown class {shown(name)}. {self._suggestion(text)}")
        if len(matches) > 1:
            choices = "; ".join(f"{synset}: {len(group.members)} classes" for synset, group in matches.values())
            raise LabelError(f"Several groups are called {shown(name)}. Choose one by its WordNet id: {choices}")
        return next(group for _, group in matches.values())

    def _suggestion(self, text: str) -> str:
        similar = self._similar(text)
        if similar:
            *others, last = similar
            return f"Did you mean {' or '.join([', '.join(others), last] if others else [last])}?"
        examples = ", ".join(names[0] for names in self.names[:SUGGESTIONS])
        return f"Use an index from 0 to {len(self) - 1}, or the name of a class or group, such as {examples}"

    def _similar(self, text: str) -> list[str]:
        """Names that contain the text, shortest first; if there are none, names with a similar spelling."""
        if not text or text.isdecimal():  # A number is meant as an index, not as a part of a WordNet id.
            return []
        usual = {name: names[0] for names in self.names for name in map(normalized, names)}
        usual.update((normalized(group.name), group.name) for group in self.groups)
        for synset, _ in wordnet_groups(self.names):
            usual.update((normalized(name), name) for name in synset.names if normalized(name) not in usual)
        near = sorted((name for name in usual if text in name), key=len)
        if not near and len(text) <= COMPARED_LENGTH:
            near = difflib.get_close_matches(text, itertools.islice(usual, COMPARED), SUGGESTIONS)
        return list(dict.fromkeys(usual[name] for name in near))[:SUGGESTIONS]


def labels_for(classes: int, names: tuple[str, ...] | None = None) -> Labels:
    """The labels of a classifier: `names` if given, ImageNet's for 1000 classes, "class 0", "class 1", ... otherwise.

    Raises `LabelError` if the number of names is not the number of classes.
    """
    if names is not None:
        if len(names) != classes:
            raise LabelError(f"expected {classes} class names, one for each class of the weights, found {len(names)}")
        return Labels(tuple((name,) for name in names))
    if classes == 1000:
        return imagenet_labels()
    return Labels(tuple((f"class {index}",) for index in range(classes)))


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read class names from a text file with one name per line, or from a JSON file.

    The JSON is a list of names, an object that maps names to indices, or an object that maps indices to names or to
    lists that end with the name, as in Keras's `imagenet_class_index.json`. Raises `LabelError` for any other file.
    """
    path = pathlib.Path(path)
    text = read_text(path, "a text or JSON file of class names")
    if not text.lstrip().startswith(("[", "{")):
        return tuple(line.strip() for line in text.strip().splitlines())
    try:
        return _from_json(json.loads(text, object_pairs_hook=_without_repetition))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise LabelError(
            f'{path}: expected JSON such as ["cat", "dog"], {{"0": "cat"}} or {{"cat": 0}}, indices from 0 on'
        ) from None


def read_text(path: str | os.PathLike[str], expected: str) -> str:
    """Read a UTF-8 text file of at most `MAX_FILE` bytes.

    Raises `LabelError`, which says what file was expected, if it is larger or cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ValueError(f"more than {MAX_FILE:,} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LabelError(f"{os.fspath(path)}: is not UTF-8 text; save it as UTF-8. Expected {expected}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{os.fspath(path)}: cannot be read ({reason}); expected {expected}") from None


def _check_length(subject: str, name: str) -> None:
    if len(name) > MAX_NAME:
        raise LabelError(f"{subject}: expected a name of at most {MAX_NAME:,} characters, got one of {len(name):,}")


def names_from(given: Iterable[str | int] | Mapping[str, int] | Mapping[int, str]) -> tuple[str, ...]:
    """Class names in the order of their indices: names in this order, or a mapping of names to indices or back.

    Numbers are names too, unless they are the indices of a mapping. Raises `LabelError` for anything else: a set has no
    order, and bytes are no names.
    """
    try:
        if isinstance(given, Mapping):
            return _by_index(given)
        if isinstance(given, Set | bytes | bytearray):
            raise TypeError("expected names in an order")
        return _as_names(str(item) if _is_number(item) else item for item in given)
    except (ValueError, KeyError, TypeError):
        raise LabelError(
            'labels: expected names such as ["cat", "dog"], or a mapping such as {"cat": 0, "dog": 1}, indices from 0 '
            f"on, got {shown(given)}"
        ) from None


def _from_json(parsed: list[Any] | dict[str, Any]) -> tuple[str, ...]:
    if isinstance(parsed, dict):
        return _by_index({key: _last(value) for key, value in parsed.items()})
    return _as_names(map(_last, parsed))


def _by_index(given: Mapping[Any, Any]) -> tuple[str, ...]:
    """The names of a mapping of names to indices, or of indices to names; raises `KeyError` if an index is missing."""
    if all(map(_is_number, given.values())):
        named = {int(index): name for name, index in given.items()}
    else:
        named = {int(index): name for index, name in given.items()}
    return _as_names(named[index] for index in range(len(given)))


def _as_names(items: Iterable[Any]) -> tuple[str, ...]:
    names = list(items)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("expected names to be strings")
    return tuple(map(str, names))


def _is_number(item: Any) -> bool:
    return isinstance(item, Integral) and not isinstance(item, bool)


def _last(item: Any) -> Any:
    """The name at the end of a list such as ["n02123159", "tiger_cat"]; anything else as it is."""
    return item[-1] if isinstance(item, list) else item


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated key, of which Python's JSON reader would silently keep the last."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("expected each key once")
    return dict(pairs)


@functools.cache
def imagenet_labels() -> Labels:
    """The labels of the 1000 classes of the ImageNet challenge of 2012: WordNet's names, then the WordNet id."""
    table = importlib.resources.files("vggfcn") / "data" / "imagenet_classes.tsv"
    rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    return Labels(tuple((*names.split(", "), wordnet_id) for wordnet_id, names in rows))
