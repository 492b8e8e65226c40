"""The engine cache: converted networks on disk, so that the next start is fast.

Each network has its own folder, named after a digest of what it computes. It is always safe to delete any of them.
"""

import contextlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable

import numpy as np

from vggfcn.files import cache_folder, check_room, joint_digest
from vggfcn.temporary import PREFIX, temporary_folder

CAPACITY = 4  # networks, the most recently used
DIGESTS = "digests"


def folder() -> pathlib.Path:
    """The folder of the cache, inside the package's cache folder."""
    return cache_folder() / "engines"


def find(key: str) -> pathlib.Path | None:
    """The folder of a cached network, or None. A network whose files have changed since is deleted."""
    path = folder() / key
    if not path.is_dir():
        return None
    try:
        intact = (path / DIGESTS).read_text() == _digests(path)
    except (OSError, ValueError):
        intact = False
    if not intact:
        discard(key)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def store(key: str, size: int, write: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Store a network, delete the least recently used ones, and return the network's folder.

    - `key`: the name of its folder.
    - `size`: about how many bytes it takes.
    - `write`: writes its files into a given folder.

    If two processes store the same network at once, both succeed. Raises `OSError` if the disk is full.
    """
    folder().mkdir(parents=True, exist_ok=True)
    check_room(folder(), size)
    with temporary_folder(folder()) as temporary:
        unfinished = temporary / key
        unfinished.mkdir()
        write(unfinished)
        (unfinished / DIGESTS).write_text(_digests(unfinished))
        with contextlib.suppress(OSError):  # Another process has just stored the same network.
            unfinished.rename(folder() / key)
    _delete_old(key)
    return folder() / key


def discard(key: str) -> None:
    """Delete a network. A process that has it open can go on reading it."""
    shutil.rmtree(folder() / key, ignore_errors=True)


def _digests(path: pathlib.Path) -> str:
    names = sorted(file.name for file in path.iterdir() if file.name != DIGESTS)
    return "".join(f"{joint_digest([np.memmap(path / name, np.uint8, 'r')])} {name}\n" for name in names)


def _delete_old(newest: str) -> None:
    ages = {}
    for path in folder().iterdir():
        with contextlib.suppress(OSError):
            ages[path] = time.time() - path.stat().st_mtime
    complete = sorted((path for path in ages if not path.name.startswith(PREFIX)), key=ages.__getitem__)
    for path in complete[CAPACITY:]:
        if path.name != newest:
            shutil.rmtree(path, ignore_errors=True)
