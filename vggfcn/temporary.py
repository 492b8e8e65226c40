"""Temporary folders that do not outlive their process for long: what a killed one leaves, a later one removes.

Each is locked while its process lives. So one without a lock is abandoned, on whichever computer or container that
shares the disk; process numbers would not tell.
"""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator

from vggfcn.locks import lock

PREFIX = ".vggfcn-"
_OURS = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")  # as `tempfile` completes the name
_FOR_LIBRARIES = ("TMPDIR", "TEMP", "TMP")

_swept: set[pathlib.Path] = set()
_own: set[pathlib.Path] = set()  # of this process


@contextlib.contextmanager
def temporary_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder in `parent`, removed when the block ends; with the first one, what killed processes left there.

    Raises `OSError` if it cannot be made.
    """
    remove_abandoned(parent)
    folder, descriptor = _locked_folder(parent)
    _own.add(folder)
    try:
        yield folder
    finally:
        _remove(folder)
        _own.discard(folder)
        if descriptor is not None:
            os.close(descriptor)


def remove_own() -> None:
    """Remove all temporary folders of this process, for when it ends without leaving their blocks."""
    for folder in list(_own):
        _remove(folder)


def remove_abandoned(parent: pathlib.Path) -> None:
    """Remove the temporary folders of processes that are gone; looks into each `parent` once per process."""
    parent = parent.absolute()
    if parent in _swept:
        return
    _swept.add(parent)
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        names = [entry.name for entry in entries if _OURS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
        for name in names:
            _remove_if_abandoned(parent / name)


def _remove_if_abandoned(folder: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if lock(descriptor, wait=False):
                _remove(folder)
        finally:
            os.close(descriptor)


def _remove(folder: pathlib.Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:  # Ctrl-C in the middle.
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _locked_folder(parent: pathlib.Path) -> tuple[pathlib.Path, int | None]:
    """A new folder, and the descriptor that holds its lock; None where folders cannot be opened."""
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except PermissionError:  # Windows opens no folders.
            return folder, None
        except FileNotFoundError:  # Another process took it for abandoned before it was locked.
            continue
        lock(descriptor, wait=True)
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


class _Redirection:
    """The temporary folder of the process, redirected as long as anybody in any thread asks for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.undo = contextlib.ExitStack()

    def begin(self) -> None:
        with self.lock:
            if not self.users:
                with contextlib.suppress(OSError):  # Not everything needs a temporary file.
                    self._redirect()
            self.users += 1

    def _redirect(self) -> None:
        # Not `gettempdir`: it tries each folder with a file, which would stay if the process were killed meanwhile.
        named = [tempfile.tempdir, *map(os.environ.get, _FOR_LIBRARIES), "/tmp"]
        folder = self.undo.enter_context(temporary_folder(pathlib.Path(next(filter(None, named)))))
        self.undo.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(folder)
        for name in _FOR_LIBRARIES:
            self.undo.callback(_set, name, os.environ.get(name))
            _set(name, str(folder))

    def end(self) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                self.undo.close()


_redirection = _Redirection()


@contextlib.contextmanager
def libraries_tidied() -> Iterator[None]:
    """Within this block, temporary files of libraries go to a folder of ours, which is removed at the end.

    Several threads may be in such blocks at once. If the folder cannot be made, nothing changes.
    """
    _redirection.begin()
    try:
        yield
    finally:
        _redirection.end()


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
