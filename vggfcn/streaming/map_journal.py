"""The journal beside a map that is being written: which run it belongs to, and which blocks are finished."""

import dataclasses
import pathlib
from typing import Any

from vggfcn.errors import MapError
from vggfcn.journal import Journal

_FORMAT = "vggfcn map, version 1"


@dataclasses.dataclass(frozen=True)
class FinishedBlock:
    """A finished block: its number, and the rows [first, last) and columns [first, last) of the map that it fills."""

    block: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def cells(self) -> int:
        """The number of cells in the block."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


class MapJournal(Journal):
    """The journal of one map. `finished` holds the finished blocks by number.

    Each line is on the disk before `add` returns. Raises `MapError` if another process holds the journal, if it belongs
    to another run, or if the file is not a journal; the file is then left unchanged.
    """

    error = MapError
    expected = "the record of a map"
    expected_line = "a finished block"
    advice = "name another file for the map, or remove this one"
    work = "working on this map"
    durable = True

    def __init__(self, path: pathlib.Path, run: dict[str, Any]):
        self.finished: dict[int, FinishedBlock] = {}
        super().__init__(path, {"format": _FORMAT, **run})

    def _is_header(self, first: dict[str, Any], run: dict[str, Any]) -> bool:
        return first.get("format") == _FORMAT

    def _load_record(self, line: Any) -> None:
        (top, bottom), (left, right) = line["rows"], line["columns"]
        block = line["block"]
        if any(type(value) is not int for value in (block, top, bottom, left, right)):
            raise TypeError
        self.finished[block] = FinishedBlock(block, (top, bottom), (left, right))

    def clear(self) -> None:
        """Start again with no finished block."""
        self.finished.clear()
        self._begin()

    def add(self, block: FinishedBlock) -> None:
        """Record a block. Call this once its logits are on the disk."""
        self._add(dataclasses.asdict(block))
        self.finished[block.block] = block
