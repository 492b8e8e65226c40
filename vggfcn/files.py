"""Files and folders that are replaced atomically, checks before writing, and checksums."""

import concurrent.futures
import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

_BLOCK = 1 << 20
_PIECE = 1 << 24


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Write a file to a temporary path beside `path`, which replaces `path` when the block ends.

    If anything fails, `path` is unchanged and no temporary file remains. Raises `IsADirectoryError` before anything is
    written if `path` is a folder, and `OSError` if the file cannot be moved.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file name, but this is a folder", str(path))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_all(targets: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Write files or folders to a temporary folder beside the targets; they replace the targets when the block ends.

    Each must have the name of its target. If anything fails, the targets are unchanged; the temporary folder is removed
    in any case. For a single file that may have another name while it is written, use `replacing`.
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


def check_folder(path: str | os.PathLike[str], hint: str, error: type[Exception]) -> None:
    """Raise `error` unless the folder of the file `path` exists; `hint` is an alternative to creating it."""
    folder = pathlib.Path(path).parent
    if not folder.is_dir():
        raise error(f"{os.fspath(path)}: there is no folder {folder}; create it, or {hint}")


def check_room(folder: pathlib.Path, size: int) -> None:
    """Raise `OSError` unless the disk has `size` bytes free for a folder, which need not exist yet."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise OSError(f"not enough disk space in {folder}: {size:,} bytes needed, {free:,} available")


def cache_folder() -> pathlib.Path:
    """The folder for downloads and compiled networks: `VGGFCN_CACHE`, or the platform's cache folder."""
    import pooch  # Here, because most uses of this module need no cache.

    return pathlib.Path(os.environ.get("VGGFCN_CACHE") or pooch.os_cache("vggfcn"))


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
