"""Labelled images, from a folder of class folders or a text file that lists them."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from vggfcn.errors import EvaluationError, LabelError
from vggfcn.labels.labels import Labels

SHOWN = 5  # unknown classes that a message lists


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image to classify: its name in the set, its file, and the index of its true class.

    The name is the path below the set's folder, with slashes, or the path in the list. Names are unique in a set.
    """

    name: str
    path: pathlib.Path
    label: int


def list_images(source: str | os.PathLike[str], labels: Labels) -> list[LabelledImage]:
    """List the images of a set in a fixed order, without opening any.

    `source` is a folder or a text file. The folder holds one folder per class, named by the class's index or any of its
    names; every file in it counts as an image unless its name starts with a dot. The text file has an image on each
    line: its path relative to the text file's folder, a tab or spaces, and its class. A class name that contains spaces
    needs the tab. ImageNet's `val.txt` is such a file. `Labels.find` defines which names of classes are valid.

    Raises `EvaluationError` if there is no such set, if it is empty, or if a line is malformed; `LabelError`, which
    lists them, if classes are unknown.
    """
    source = pathlib.Path(source)
    if source.is_dir():
        entries = list(_in_folders(source))
    elif source.is_file():
        entries = list(_in_list(source))
    else:
        raise EvaluationError(f"{source}: expected a folder of class folders or a list of images, found neither")
    if not entries:
        raise EvaluationError(f"{source}: expected a folder of images per class, or a line per image, found none")
    classes = _indices(source, {label for _, _, label in entries}, labels)
    return [LabelledImage(name, path, classes[label]) for name, path, label in entries]


def _in_folders(folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, str]]:
    """(name, path, class) of each file, sorted by class folder and file."""
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(path for path in inner.iterdir() if path.is_file() and not path.name.startswith(".")):
            yield f"{inner.name}/{path.name}", path, inner.name


def _in_list(file: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, str]]:
    """(name, path, class) of each line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{file}: expected a text file that lists images, but it cannot be read ({error})"
        ) from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rsplit("\t" if "\t" in line else None, 1)
        name, label = (part.strip() for part in parts) if len(parts) == 2 else ("", "")
        if not name or not label:
            raise EvaluationError(
                f"{file}, line {number}: expected a path, a tab or a space, and a class, found {line.strip()[:80]!r}"
            )
        if seen.setdefault(name, number) != number:
            raise EvaluationError(f"{file}, line {number}: {name} is already listed in line {seen[name]}")
        yield name, file.parent / name, label


def _hint(labels: Labels) -> str:
    """What to do if a network's classes have no names but "class 0", "class 1", ..."""
    return "; name the network's classes with --labels (labels= in Python)" if labels[0] == "class 0" else ""


def _indices(source: pathlib.Path, names: set[str], labels: Labels) -> dict[str, int]:
    """The index of each class name; raises `LabelError`, which lists the first few unknown ones."""
    indices, mistakes = {}, []
    for name in sorted(names):
        try:
            indices[name] = class_index(labels, name)
        except LabelError as error:
            mistakes.append(str(error))
        if len(mistakes) > SHOWN:  # Each looks for similar names, which takes time.
            break
    if mistakes:
        more = " (and more)" if len(mistakes) > SHOWN else ""
        raise LabelError(
            f"{source}: expected classes of these weights; {'; '.join(mistakes[:SHOWN])}{more}{_hint(labels)}"
        )
    return indices


def class_index(labels: Labels, name: str) -> int:
    """The index of the one class that `name` stands for; raises `LabelError` if it stands for none or several."""
    members = labels.find(name).members
    if len(members) > 1:
        raise LabelError(f"{name!r} is a group of {len(members)} classes; expected one class")
    return members[0]
