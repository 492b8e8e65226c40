"""Download a large file: go on where a connection broke, check the hash, then move the file into place."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from tqdm import tqdm  # type: ignore[import-untyped]

from vggfcn.answers import BLOCK, BrokenError, RefusedError, answer, blocks, extent, version_of
from vggfcn.errors import WeightsError, one_line
from vggfcn.files import check_room, digest, move_durably, write_all
from vggfcn.locks import lock
from vggfcn.progress import Progress

if TYPE_CHECKING:
    import requests

MIRRORS = "VGGFCN_MIRROR"  # addresses of folders with the same files, separated by spaces, tried first
PART = ".part"  # ends the name of a file that is being downloaded
PAUSES = (1.0, 4.0)  # seconds before each new try; for a new block, as many again
LARGEST = 1 << 31  # bytes, where the size is unknown


def retrieve(
    file: str, url: str, known_hash: str, size: int, folder: pathlib.Path, progress: Progress | None = None
) -> pathlib.Path:
    """Download a file into a folder, unless it is already there, and return its path.

    What has come of it is kept beside it in `FILE.part`, and the next download goes on from there. If two processes
    download the same file at the same time, one waits for the other.

    - `file`: the name of the file, in the folder and on mirrors.
    - `url`: its address, tried after the mirrors.
    - `known_hash`: "md5:..." or "sha256:...", or only the first digits of the hash.
    - `size`: in bytes, 0 if unknown.
    - `folder`: where the file goes.
    - `progress`: called with the bytes done and the bytes in all, 0 if unknown. Without it, a terminal shows a bar.

    Raises `WeightsError` if no address gives a file with that hash and size, or if it cannot be written.
    """
    path = folder / file
    addresses = [*(f"{mirror.rstrip('/')}/{file}" for mirror in os.environ.get(MIRRORS, "").split()), url]
    try:
        if not _is_whole(path, size):
            folder.mkdir(parents=True, exist_ok=True)
            with _opened(path.with_name(file + PART)) as part, _shown(progress) as show:
                if not _is_whole(path, size):  # Another process may have completed it meanwhile.
                    _Download(part, known_hash, size, show).run(addresses)
                    move_durably(pathlib.Path(part.name), path)
    except OSError as error:
        raise WeightsError(f"could not be downloaded from {' nor from '.join(addresses)}: {one_line(error)}") from error
    return path


def _is_whole(path: pathlib.Path, size: int) -> bool:
    return path.is_file() and size in (0, path.stat().st_size)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[BinaryIO]:
    """The part of a file that has come, locked against other processes; if it is empty at the end, it is removed."""
    while True:
        with path.open("a+b", buffering=0) as part:
            lock(part.fileno(), wait=True)
            if not _is_at(part, path):  # Another process has moved or removed it meanwhile.
                continue
            try:
                yield part
            finally:
                if _is_at(part, path) and not _length(part):
                    path.unlink()
            return


def _is_at(part: BinaryIO, path: pathlib.Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    return False


def _length(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


@contextlib.contextmanager
def _shown(progress: Progress | None) -> Iterator[Progress]:
    if progress is not None:
        yield progress
        return
    with tqdm(unit="B", unit_scale=True, ncols=79, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield show


class _Download:
    """A file on its way: `part` is what has come of it, `size` how long it must be, 0 if that is unknown."""

    def __init__(self, part: BinaryIO, known_hash: str, size: int, progress: Progress):
        self.part, self.size, self.progress = part, size, progress
        self.folder = pathlib.Path(part.name).parent
        self.algorithm, _, self.digits = known_hash.partition(":")

    def run(self, addresses: list[str]) -> None:
        """Try the addresses in order; raises `OSError` if the file cannot be written, and `WeightsError`."""
        if _length(self.part) and self.size in (0, _length(self.part)) and self._digest().startswith(self.digits):
            return
        failures = []
        for address in addresses:
            check_room(self.folder, self.size - _length(self.part))
            try:
                self._get(address)
                return
            except RefusedError as error:
                failures.append(f"{address} ({one_line(error, 300)})")
        kept = f"; its first {_length(self.part):,} bytes are kept for the next time" if _length(self.part) else ""
        raise WeightsError(f"could not be downloaded from {' nor from '.join(failures)}{kept}")

    def _get(self, address: str) -> None:
        """Get the rest from an address and compare the hash; if the beginning was from before, once more from there."""
        resumed = _length(self.part) > 0
        self._try(address)
        actual = self._digest()
        if actual.startswith(self.digits):
            return
        self.part.truncate(0)
        if not resumed:
            raise RefusedError(f"expected the {self.algorithm} hash {self.digits}, got {actual}; the file was deleted")
        self._get(address)

    def _digest(self) -> str:
        return digest(pathlib.Path(self.part.name), self.algorithm)

    def _try(self, address: str) -> None:
        """Get what is missing, with pauses and new tries."""
        pauses, version, furthest = iter(PAUSES), None, _length(self.part)
        while True:
            try:
                with answer(address, _length(self.part), version) as response:
                    version = version_of(response)
                    return self._receive(response)
            except BrokenError:
                # Not for bytes that were there before: a server might begin anew each time.
                if _length(self.part) >= furthest + BLOCK:
                    pauses, furthest = iter(PAUSES), _length(self.part)
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)

    def _receive(self, response: "requests.Response") -> None:
        """Add an answer's body to the part, or make it the part if it is the whole file."""
        found = extent(response, _length(self.part))
        if found is None:
            self.part.truncate(0)
            raise BrokenError("the server does not go on where it was asked to")
        start, total = found
        if self.size and total not in (0, self.size):
            raise RefusedError(f"expected {self.size:,} bytes, and the file has {total:,}")
        if not self.size and total > LARGEST:
            raise RefusedError(f"expected at most {LARGEST:,} bytes, and the file has {total:,}")
        if start < _length(self.part):
            self.part.truncate(0)
        total = self.size or total
        check_room(self.folder, total - _length(self.part))
        for block in blocks(response):
            if _length(self.part) + len(block) > (total or LARGEST):
                self.part.truncate(0)
                raise RefusedError(f"the server sends more than the {total or LARGEST:,} bytes expected")
            self._append(block)
            self.progress(_length(self.part), total)
        if _length(self.part) < total:
            raise BrokenError(f"the connection ended after {_length(self.part):,} of {total:,} bytes")

    def _append(self, block: bytes) -> None:
        try:
            write_all(self.part, block)
        except OSError:  # On a full disk, half of a large file would take up what is left.
            self.part.truncate(0)
            raise
