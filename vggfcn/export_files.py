"""Exports that are seen whole or not at all: files, two that belong together, and folders."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def appearing(targets: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Give an unfinished folder beside the targets; what is made there under their names takes their places.

    If anything fails, the targets are as they were, and the folder is gone in any case.
    """
    first = targets[0]
    with tempfile.TemporaryDirectory(dir=first.parent, prefix=f".{first.name}-") as folder:
        unfinished = pathlib.Path(folder)
        yield unfinished
        made = [unfinished / target.name for target in targets]
        if len(targets) == 1 and made[0].is_file():
            made[0].replace(first)
        else:
            _exchange(made, targets)


def _exchange(made: Sequence[pathlib.Path], targets: Sequence[pathlib.Path]) -> None:
    """Several files, or a folder, cannot be replaced at once: first what is there goes, the last one first."""
    moved: list[tuple[pathlib.Path, pathlib.Path]] = []
    try:
        for target in reversed(targets):
            if os.path.lexists(target):
                _move(target, made[0].parent / f"{target.name}.old", moved)
        for new, target in zip(made, targets, strict=True):
            _move(new, target, moved)
    except BaseException:
        for before, now in reversed(moved):
            now.rename(before)
        raise


def _move(source: pathlib.Path, target: pathlib.Path, moved: list[tuple[pathlib.Path, pathlib.Path]]) -> None:
    source.rename(target)
    moved.append((source, target))
