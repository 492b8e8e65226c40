"""The files that visitors uploaded: who may name which, how many there may be, and when they go."""

import collections
import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import threading
from collections.abc import Iterator
from typing import BinaryIO

from vggfcn.app.safety.bodies import RequestError
from vggfcn.errors import ImageError

MAX_UPLOAD = 32 * 2**20  # bytes of a file
UPLOAD_SECONDS = 60.0
# Of one visitor, and of all: files that arrive at the same time, files kept, and their bytes.
ARRIVING = (2, 16)
KEPT = (8, 64)
KEPT_BYTES = (2 * MAX_UPLOAD, 512 * 2**20)
_NAME_BYTES = 200  # File systems take 255.


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file in a folder of its own."""

    visitor: str
    path: pathlib.Path
    size: int  # bytes


class Uploads:
    """The files of all visitors below one folder. A file is known by a token that only its visitor is told.

    Where a limit is reached the oldest files go: the visitor's own first.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._lock = threading.RLock()
        self._files: dict[str, Upload] = {}  # oldest first
        self._arriving: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def arriving(self, visitor: str) -> Iterator[None]:
        """A place for one file that arrives; raises `RequestError` (429) if the visitor or the server has none left."""
        with self._lock:
            if self._arriving[visitor] >= ARRIVING[0] or self._arriving.total() >= ARRIVING[1]:
                raise RequestError(429, "too many files are being uploaded; wait until they have arrived")
            self._arriving[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= collections.Counter([visitor])

    def add(self, visitor: str, name: str, file: BinaryIO) -> str:
        """Keep a copy of a file; the result is its token."""
        token = secrets.token_urlsafe(24)
        path = self._folder / f"upload-{token}" / safe_name(name)
        path.parent.mkdir(mode=0o700)
        with path.open("xb") as copy:
            shutil.copyfileobj(file, copy)
        with self._lock:
            self._files[token] = Upload(visitor, path, path.stat().st_size)
            self._keep_limits(visitor)
        return token

    def path(self, visitor: str, token: object) -> pathlib.Path:
        """The visitor's file; raises `ImageError` if this visitor has no such file."""
        with self._lock:
            found = self._files.get(token) if isinstance(token, str) else None
        if not found or found.visitor != visitor:
            raise ImageError("the server no longer has this image; drop it again")
        return found.path

    def drop(self, path: pathlib.Path) -> None:
        """Delete the file at a path if it is one of these."""
        with self._lock:
            for token in [token for token, file in self._files.items() if file.path == path]:
                self._delete(token)

    def drop_others(self, visitor: str, used: set[pathlib.Path]) -> None:
        """Delete a visitor's files except those that are used."""
        with self._lock:
            for token, file in list(self._files.items()):
                if file.visitor == visitor and file.path not in used:
                    self._delete(token)

    def _keep_limits(self, visitor: str) -> None:
        own = [token for token, file in self._files.items() if file.visitor == visitor]
        for tokens, most, most_bytes in ((own, KEPT[0], KEPT_BYTES[0]), (list(self._files), KEPT[1], KEPT_BYTES[1])):
            kept = [token for token in tokens if token in self._files]
            while len(kept) > most or sum(self._files[token].size for token in kept) > most_bytes:
                self._delete(kept.pop(0))

    def _delete(self, token: str) -> None:
        shutil.rmtree(self._files.pop(token).path.parent, ignore_errors=True)


def safe_name(name: str) -> str:
    """The last part of a file's name without what file systems or terminals take amiss; its end if it is long."""
    last = "".join(char for char in name.replace("\\", "/").rpartition("/")[2] if char.isprintable())
    short = last.encode("utf-8", "ignore")[-_NAME_BYTES:].decode("utf-8", "ignore")
    return short if short.strip(" .") else "image"
