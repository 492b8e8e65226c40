"""What is known of a map that grows: which run it belongs to, and which of its blocks are finished.

JSON lines beside the map: the first says what the run is, each other one names a finished block and its rectangle.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

from vggfcn.errors import MapError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nobody keeps two runs from one map.
    fcntl = None  # type: ignore[assignment]

_FORMAT = "vggfcn map, version 1"


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished block: its number, and its (first, last + 1) rows and columns of the map."""

    block: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


class MapRecord:
    """A record, open for adding and locked against other processes until it is closed.

    `finished` holds what was there, by number. The file is made if it is missing. A last line that was not written to
    its end is dropped. Raises `MapError` if another process has it, if it is of another run, or no record at all; it is
    then left as it is.
    """

    def __init__(self, path: pathlib.Path, run: dict[str, Any]):
        self.path = path
        self.finished: dict[int, Finished] = {}
        self._header = _line({"format": _FORMAT, **run})
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            self._lock()
            self._read(json.loads(self._header))
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MapError(
                f"{self.path}: another process is working on this map; wait for it, or name another file"
            ) from None

    def _read(self, run: dict[str, Any]) -> None:
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            # Without a whole line it is ours only if it breaks off within our own first one.
            if not self._header.startswith(content):
                raise MapError(f"{self.path}: expected the record of a map, found something else; {_ADVICE}")
            return self.clear()
        first, *others = map(_parsed, whole.splitlines())
        if not isinstance(first, dict) or first.get("format") != _FORMAT:
            raise MapError(f"{self.path}: expected the record of a map, found something else; {_ADVICE}")
        if first != run:
            raise MapError(f"{self.path}: is of another run, with {_differences(first, run)}; {_ADVICE}")
        for number, line in enumerate(others, 2):
            one = _finished(line)
            if one is None:
                raise MapError(f"{self.path}, line {number}: expected a finished block; {_ADVICE}")
            self.finished[one.block] = one
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        return None

    def clear(self) -> None:
        """Begin anew: no block is finished."""
        self.finished.clear()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(self._header)
        os.fsync(self._file.fileno())

    def add(self, one: Finished) -> None:
        """Write a block's line, to the disk; call it when the block's own numbers are there."""
        self._file.write(_line(dataclasses.asdict(one)))
        os.fsync(self._file.fileno())
        self.finished[one.block] = one

    def close(self) -> None:
        """Give the record free for others."""
        self._file.close()


_ADVICE = "name another file for the map, or remove this one"


def _differences(found: dict[str, Any], run: dict[str, Any]) -> str:
    keys = [key for key in {**run, **found} if found.get(key) != run.get(key)]
    return "; ".join(f"{key} {_shown(found, key)} instead of {_shown(run, key)}" for key in keys)


def _shown(run: dict[str, Any], key: str) -> str:
    return f"{run[key]!r}" if key in run else "none"


def _finished(line: Any) -> Finished | None:
    try:
        (top, bottom), (left, right) = line["rows"], line["columns"]
        values = line["block"], top, bottom, left, right
    except (TypeError, KeyError, ValueError):
        return None
    return Finished(values[0], (top, bottom), (left, right)) if all(type(value) is int for value in values) else None


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
