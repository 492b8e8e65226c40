"""The server's temporary folder: locked while the server lives, so that what a killed one left is known and deleted."""

import contextlib
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "vggfcn-app-"
LOCK = "lock"
_UNLOCKED_SECONDS = 60  # after which a folder without a lock is no longer one that is just being made


@contextlib.contextmanager
def temporary_folder() -> Iterator[pathlib.Path]:
    """A folder that only this user can read, deleted afterwards; first, those that killed servers left are deleted."""
    remove_leftovers(pathlib.Path(tempfile.gettempdir()))
    folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / "new").open("w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "new").rename(folder / LOCK)  # It has this name only once it is locked.
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(parent: pathlib.Path) -> None:
    """Delete this user's folders in `parent` whose server has ended."""
    if not fcntl:
        return
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                _remove_abandoned(folder, time.time() - status.st_mtime)


def _remove_abandoned(folder: pathlib.Path, age: float) -> None:
    if not (folder / LOCK).exists():
        if age > _UNLOCKED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
        return
    with (folder / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Raises OSError while its server lives.
        shutil.rmtree(folder, ignore_errors=True)
