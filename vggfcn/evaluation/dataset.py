"""Labelled images: a folder of class folders, or a text file that lists them."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from vggfcn.errors import EvaluationError, LabelError
from vggfcn.labels.labels import Labels

SHOWN = 5  # of many mistakes of one kind


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image that is to be classified: its name in the set, its file, and the index of its true class.

    The name is the path below the set's folder, with slashes, or what the list says; no two of a set are the same.
    """

    name: str
    path: pathlib.Path
    label: int


def list_images(source: str | os.PathLike[str], labels: Labels) -> list[LabelledImage]:
    """The images of a set, in a fixed order; no image is opened.

    `source` is a folder with a folder for each class, named by any of the class's names or its index, or a text file
    with an image on each line: its path, relative to the text file's folder, then a tab or blanks, then the class. A
    class name with blanks in it needs the tab. ImageNet's `val.txt` is such a file. Names are as `Labels.find`
    understands them. In class folders every file counts as an image, but those whose names begin with a dot.

    Raises `EvaluationError` if there is no such set, it is empty, or a line is no such line; `LabelError` naming the
    folders or lines whose classes are unknown.
    """
    source = pathlib.Path(source)
    if source.is_dir():
        found = list(_in_folders(source))
    elif source.is_file():
        found = list(_in_list(source))
    else:
        raise EvaluationError(f"{source}: expected a folder of class folders, or a list of images; there is neither")
    if not found:
        raise EvaluationError(f"{source}: expected images in a folder for each class, or a line for each; found none")
    classes = _indices(source, {name for _, _, name in found}, labels)
    return [LabelledImage(name, path, classes[label]) for name, path, label in found]


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
            f"{file}: expected a text file that lists images, and it cannot be read ({error})"
        ) from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rsplit("\t" if "\t" in line else None, 1)
        name, label = (part.strip() for part in parts) if len(parts) == 2 else ("", "")
        if not name or not label:
            raise EvaluationError(
                f"{file}, line {number}: expected a path, a tab or a blank, and a class, found {line.strip()[:80]!r}"
            )
        if seen.setdefault(name, number) != number:
            raise EvaluationError(f"{file}, line {number}: {name} is listed in line {seen[name]} already")
        yield name, file.parent / name, label


def _indices(source: pathlib.Path, names: set[str], labels: Labels) -> dict[str, int]:
    """The index of each class name; raises `LabelError` with the first few that are none."""
    indices, mistakes = {}, []
    for name in sorted(names):
        try:
            indices[name] = class_index(labels, name)
        except LabelError as error:
            mistakes.append(str(error))
    if mistakes:
        more = f" (and {len(mistakes) - SHOWN} more)" if len(mistakes) > SHOWN else ""
        raise LabelError(f"{source}: expected a class of these weights; {'; '.join(mistakes[:SHOWN])}{more}")
    return indices


def class_index(labels: Labels, name: str) -> int:
    """The one class that a name stands for; raises `LabelError` if there is none or there are several."""
    members = labels.find(name).members
    if len(members) > 1:
        raise LabelError(f"{name!r} is a group of {len(members)} classes; an image belongs to one")
    return members[0]
