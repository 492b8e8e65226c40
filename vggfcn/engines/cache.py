"""Networks in the form in which an engine reads them, kept in the cache folder so that the next start is quick.

Each has a folder of its own, named after a digest of what it computes; deleting any of them, or all, is always safe.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

import numpy as np

from vggfcn.files import cache_folder, check_room, joint_digest

KEPT = 4  # of the most recently used
DIGESTS = "digests"
_UNFINISHED = ".unfinished-"
_DAY = 24 * 60 * 60


def folder() -> pathlib.Path:
    """Where they are kept, in the cache folder of downloads."""
    return cache_folder() / "engines"


def find(key: str) -> pathlib.Path | None:
    """The folder of a network that was kept, or None; one whose files are not as they were written is deleted."""
    path = folder() / key
    if not path.is_dir():
        return None
    try:
        whole = (path / DIGESTS).read_text() == _digests(path)
    except (OSError, ValueError):
        whole = False
    if not whole:
        discard(key)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def keep(key: str, size: int, write: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Keep what `write` puts into the folder it is given, `size` bytes or so, and give its place.

    Of two processes that do so at once, both succeed. The least recently used networks are deleted. Raises `OSError`
    if there is no room.
    """
    folder().mkdir(parents=True, exist_ok=True)
    check_room(folder(), size)
    unfinished = pathlib.Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder()))
    try:
        write(unfinished)
        (unfinished / DIGESTS).write_text(_digests(unfinished))
        with contextlib.suppress(OSError):  # Another process has just put the same network there.
            unfinished.rename(folder() / key)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _delete_old(key)
    return folder() / key


def discard(key: str) -> None:
    """Delete a network; who has it open goes on reading it."""
    shutil.rmtree(folder() / key, ignore_errors=True)


def _digests(path: pathlib.Path) -> str:
    names = sorted(file.name for file in path.iterdir() if file.name != DIGESTS)
    return "".join(f"{joint_digest([np.memmap(path / name, np.uint8, 'r')])} {name}\n" for name in names)


def _delete_old(newest: str) -> None:
    ages = {}
    for path in folder().iterdir():
        with contextlib.suppress(OSError):
            ages[path] = time.time() - path.stat().st_mtime
    whole = sorted((path for path in ages if not path.name.startswith(_UNFINISHED)), key=ages.__getitem__)
    abandoned = [path for path, age in ages.items() if path.name.startswith(_UNFINISHED) and age > _DAY]
    for path in [*(path for path in whole[KEPT:] if path.name != newest), *abandoned]:
        shutil.rmtree(path, ignore_errors=True)
