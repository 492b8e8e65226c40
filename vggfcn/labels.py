"""Class names: ImageNet's, or those that a weight file carries."""

import dataclasses
import functools
import importlib.resources
import json
import os
import pathlib

from vggfcn.errors import LabelError

# A class of this name stands for "nothing of the kind": never the class whose heatmap one wants to see.
BACKGROUND = "none"


@dataclasses.dataclass(frozen=True)
class Labels:
    """The names of a classifier's classes, in order: `names[i]` holds all names of class i, the usual one first."""

    names: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index][0]

    @property
    def background(self) -> int | None:
        """The index of the class that stands for nothing, if there is one."""
        return next((index for index, names in enumerate(self.names) if names[0] == BACKGROUND), None)

    def find(self, wanted: str) -> int:
        """The index of a class given by any of its names (WordNet id included, in any case) or by its index.

        Raises `LabelError` if there is none, or if the name stands for several classes.
        """
        text = wanted.strip().casefold()
        found = [index for index, names in enumerate(self.names) if text in map(str.casefold, names)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(f"{index} ({self.names[index][-1]})" for index in found)
            raise LabelError(f"{wanted!r} stands for several classes; say which by its index: {choices}")
        if text.isdecimal() and int(text) < len(self):
            return int(text)
        raise LabelError(f"{wanted!r} is no class: expected 0 to {len(self) - 1} or a name{self._similar(text)}")

    def _similar(self, text: str) -> str:
        similar = [names[0] for names in self.names if any(text in name.casefold() for name in names)] if text else []
        return f" such as {', '.join(similar[:5] or [names[0] for names in self.names[:5]])}"


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


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names from a file: text with a name on each line, or JSON.

    JSON is a list of names, an object from names to indices, or one from indices to names, or to lists that end with
    the name as in `imagenet_class_index.json`. Raises `LabelError` if the file is none of these.
    """
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(
            f"{path}: expected a text or JSON file of class names, and it cannot be read ({error})"
        ) from None
    if not text.lstrip().startswith(("[", "{")):
        return tuple(line.strip() for line in text.strip().splitlines())
    try:
        return _from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise LabelError(
            f'{path}: expected JSON such as ["cat", "dog"], {{"0": "cat"}} or {{"cat": 0}}, indices from 0 on'
        ) from None


def _from_json(found: list | dict) -> tuple[str, ...]:
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
