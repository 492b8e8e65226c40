"""Files and folders that are replaced atomically, checks before writing, and checksums."""

import concurrent.futures
import contextlib
import errno
import hashlib
import io
import os
import pathlib
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from vggfcn.temporary import temporary_folder

_BLOCK = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe: write what comes through it to a file first"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_PIECE = 1 << 24


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Write a file to a temporary path on the same disk, which replaces `path` when the block ends.

    If anything fails, `path` is unchanged and no temporary file remains. Once it is replaced, the new file survives a
    loss of power. Raises `IsADirectoryError` before anything is written if `path` is a folder, and `OSError` if the
    file cannot be moved.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file name, but this is a folder", str(path))
    with temporary_folder(path.parent) as folder:
        yield folder / "file"
        move_durably(folder / "file", path)


def move_durably(made: pathlib.Path, path: pathlib.Path) -> None:
    """Move a new file to `path`, which is replaced; without a sync, a loss of power could leave it empty there."""
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(path)
    if os.name == "posix":  # Windows opens no folders.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def replacing_all(targets: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Write files or folders to a temporary folder beside the targets; they replace the targets when the block ends.

    Each must have the name of its target. If anything fails, the targets are unchanged; the temporary folder is removed
    in any case. For a single file that may have another name while it is written, use `replacing`.
    """
    first = targets[0]
    with temporary_folder(first.parent) as folder:
        yield folder
        made = [folder / target.name for target in targets]
        if len(targets) == 1 and made[0].is_file():
            move_durably(made[0], first)
        else:
            _exchange(made, targets)


def _exchange(made: Sequence[pathlib.Path], targets: Sequence[pathlib.Path]) -> None:
    """Move the targets away, the last one first, then move the new files in; undo all moves if one fails."""
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


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file for reading bytes; raises `OSError` if it is not a regular file, such as a folder or a pipe.

    Opening a pipe, a device or a socket could wait for ever, or never end.
    """
    _check_regular(path, os.stat(path))  # noqa: PTH116 - Opening a device may already do something.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"expected a file, found {kind}", os.fspath(path))


def check_folder(path: str | os.PathLike[str], hint: str, error: type[Exception]) -> None:
    """Raise `error` unless the folder of the file `path` exists; `hint` is an alternative to creating it."""
    folder = pathlib.Path(path).parent
    if not folder.is_dir():
        raise error(f"{os.fspath(path)}: there is no folder {folder}; create it, or {hint}")


def write_all(file: BinaryIO, content: memoryview | bytes) -> None:
    """Write all of `content`: an unbuffered file may write fewer bytes than it is given, as when the disk is full."""
    rest = memoryview(content).cast("B")
    while rest:
        count = file.write(rest)
        if not count:
            raise OSError(errno.EIO, "cannot be written", file.name)
        rest = rest[count:]


def check_room(folder: pathlib.Path, size: int) -> None:
    """Raise `OSError` unless the disk has `size` bytes free for a folder, which need not exist yet."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise OSError(f"not enough disk space in {folder}: {size:,} bytes needed, {free:,} available")


def cache_folder() -> pathlib.Path:
    """The folder for downloads and compiled networks: `VGGFCN_CACHE`, or the platform's cache folder."""
    import platformdirs  # Here, because most uses of this module need no cache.

    return pathlib.Path(os.environ.get("VGGFCN_CACHE") or platformdirs.user_cache_dir("vggfcn"))


def digest(path: pathlib.Path, algorithm: str) -> str:
    """A file's checksum in hexadecimal, by one of `hashlib`'s algorithms; the file is read in blocks."""
    checksum = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def joint_digest(parts: Iterable[bytes | np.ndarray]) -> str:
    """One checksum, in hexadecimal, of all parts in their order, computed in parallel.

    It is the SHA-256 of the SHA-256s of pieces of 16 MiB, each preceded by the number of its part.
    """
    pieces = []
    for number, part in enumerate(parts):
        values = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else np.ascontiguousarray(part)
        values = values.reshape(-1).view(np.uint8)
        pieces += [(number, values[start : start + _PIECE]) for start in range(0, max(1, values.size), _PIECE)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        checksums = pool.map(lambda piece: b"%d:" % piece[0] + hashlib.sha256(piece[1]).digest(), pieces)
        return hashlib.sha256(b"".join(checksums)).hexdigest()


def span(name: str, wanted: slice, length: int) -> tuple[int, int]:
    """A slice as (first, last + 1); raises `ValueError` unless its step is 1 and it lies within 0 to `length`."""
    start = 0 if wanted.start is None else wanted.start
    stop = length if wanted.stop is None else wanted.stop
    if wanted.step not in (None, 1) or not 0 <= start <= stop <= length:
        raise ValueError(f"{name}: expected start and stop from 0 to {length}, got {start}:{stop}:{wanted.step or 1}")
    return start, stop
