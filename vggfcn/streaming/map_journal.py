"""What is known of a map that grows: which run it belongs to, and which of its blocks are finished."""

import dataclasses
import pathlib
from typing import Any

from vggfcn.errors import MapError
from vggfcn.journal import Journal

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


class MapJournal(Journal):
    """The journal beside a map, locked against other processes until it is closed.

    `finished` holds the blocks that were there, by number. Each line is on the disk before `add` returns. Raises
    `MapError` if another process has it, if it is of another run, or no record at all; it is then left as it is.
    """

    error = MapError
    expected = "the record of a map"
    expected_line = "a finished block"
    advice = "name another file for the map, or remove this one"
    durable = True

    def __init__(self, path: pathlib.Path, run: dict[str, Any]):
        self.finished: dict[int, Finished] = {}
        super().__init__(path, {"format": _FORMAT, **run})

    def _lock(self) -> None:
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MapError(
                f"{self.path}: another process is working on this map; wait for it, or name another file"
            ) from None

    def _is_header(self, first: dict[str, Any], run: dict[str, Any]) -> bool:
        return first.get("format") == _FORMAT

    def _load_record(self, line: Any) -> None:
        (top, bottom), (left, right) = line["rows"], line["columns"]
        block = line["block"]
        if any(type(value) is not int for value in (block, top, bottom, left, right)):
            raise TypeError
        self.finished[block] = Finished(block, (top, bottom), (left, right))

    def clear(self) -> None:
        """Begin anew: no block is finished."""
        self.finished.clear()
        self._begin()

    def add(self, one: Finished) -> None:
        """Write a block's line, to the disk; call it when the block's own numbers are there."""
        self._add(dataclasses.asdict(one))
        self.finished[one.block] = one
