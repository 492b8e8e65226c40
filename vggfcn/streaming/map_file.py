"""Maps that grow block by block in a file, so that they need not fit into memory and a killed run can go on."""

import errno
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import numpy as np

from vggfcn.errors import MapError, install_hint
from vggfcn.files import check_folder, span
from vggfcn.streaming.map_journal import Finished, MapJournal

# Rows, columns and classes.
Shape = tuple[int, int, int]
BLOCKS = ".blocks"  # of the record's name
_FLOAT = np.dtype("<f4")
# Rows and columns of a chunk of a Zarr, at most.
_CHUNK = 64


class _Numbers(Protocol):
    """The unfinished file."""

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None: ...

    def close(self) -> None: ...


def open_map(path: str | os.PathLike[str], shape: Shape, record: dict[str, Any]) -> "MapFile":
    """A map of logits, float32 (rows, columns, classes), that grows in a `.npy` file or a `.zarr` folder.

    While it grows it is `NAME.unfinished`. Beside it lies `NAME.blocks`, the record of which run it belongs to and
    which blocks are finished; that stays, so that a finished map is known again. `record` says what the run is, in
    values that JSON knows: what the network is, which image, and how it is cut into blocks. If there is a record
    already, the map goes on where it stopped, and a finished one has nothing left to do.

    Raises `MapError` if the map is of another run (it says what differs), if another process works on it, if `path` is
    a map without a record, or has another ending; and what `OSError` says if it cannot be written.

    >>> with open_map("map.npy", stream.shape, {"model": digest, "image": source.identity, "rows": 128}) as grown:
    ...     for block, (first, logits) in enumerate(blocks):
    ...         if not grown.finished(block):
    ...             grown.write(block, slice(first, first + len(logits)), slice(None), logits)
    ...     grown.complete()
    """
    return MapFile(pathlib.Path(path), shape, record)


def run_of(path: pathlib.Path) -> dict[str, Any]:
    """What the record of a map at `path` says that its run is; raises `OSError` or `ValueError` if there is none."""
    with path.with_name(path.name + BLOCKS).open("rb") as file:
        return json.loads(file.readline())


def read_map(path: pathlib.Path) -> np.ndarray:
    """A finished map: a `.npy` file is mapped into memory, a Zarr read."""
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    import zarr

    return np.asarray(zarr.open_array(path, mode="r")[...])


class MapFile:
    """A map that grows; see `open_map`. Leaving the `with` block closes it and lets another process go on."""

    def __init__(self, path: pathlib.Path, shape: Shape, record: dict[str, Any]):
        if path.suffix not in _KINDS:
            raise MapError(f"{path}: expected a name that ends in {' or '.join(_KINDS)}")
        check_folder(path, "name another file", MapError)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape: expected (rows, columns, classes), got {shape}")
        self.path, self.shape = path, shape
        self.unfinished = path.with_name(path.name + ".unfinished")
        blocks = path.with_name(path.name + BLOCKS)
        if path.exists() and not blocks.exists():
            raise MapError(f"{path}: is there already, without a record of its run; remove it, or name another file")
        self._journal = MapJournal(blocks, {"shape": list(shape), **record})
        self._numbers: _Numbers | None = None
        try:
            if not path.exists():
                self._numbers = self._grown()
        except BaseException:
            self._journal.close()
            raise

    def _grown(self) -> _Numbers:
        """The unfinished file; a new one, and an empty record, if there is none."""
        make = not self.unfinished.exists()
        if make or not self._journal.finished:
            _remove(self.unfinished)
            self._journal.clear()
            make = True
        return _KINDS[self.path.suffix](self.unfinished, self.shape, make)

    def finished(self, block: int) -> bool:
        """Whether a block's cells are in the map already."""
        return self._numbers is None or block in self._journal.finished

    def write(self, block: int, rows: slice, columns: slice, logits: np.ndarray) -> None:
        """Put a block's logits, (rows, columns, classes), into their rectangle of the map, and record it as finished.

        Once it returns, a kill takes nothing of it away; nor does a loss of power, of a `.npy` file.
        Raises `ValueError` if the block is finished already, if the rectangle goes beyond the map, or the logits do not
        fill it.
        """
        if self._numbers is None or self.finished(block):
            raise ValueError(f"block {block}: is finished already")
        whole = Finished(block, span("rows", rows, self.shape[0]), span("columns", columns, self.shape[1]))
        (top, bottom), (left, right) = whole.rows, whole.columns
        logits = np.asarray(logits)
        expected = bottom - top, right - left, self.shape[2]
        if logits.shape != expected:
            raise ValueError(f"block {block}: expected logits of shape {expected}, got {logits.shape}")
        if logits.size:
            self._numbers.write(whole.rows, whole.columns, np.ascontiguousarray(logits, _FLOAT))
        self._journal.add(whole)

    def complete(self) -> None:
        """Move the map into its place. Raises `ValueError` if the blocks that were written do not make up the map."""
        if self._numbers is None:
            return
        cells, written = self.shape[0] * self.shape[1], sum(one.cells for one in self._journal.finished.values())
        if cells != written:
            raise ValueError(f"{self.path}: expected blocks of {cells} cells in all, {written} were written")
        self._numbers.close()
        self._numbers = None
        self.unfinished.replace(self.path)

    def close(self) -> None:
        """Close the files; the map stays as it is, to be gone on with."""
        if self._numbers:
            self._numbers.close()
        self._journal.close()

    def __enter__(self) -> "MapFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _NpyNumbers:
    """A `.npy` file written in place, row by row: mapped into memory it would count as the program's."""

    def __init__(self, path: pathlib.Path, shape: Shape, make: bool):
        self.shape = shape
        self._file = path.open("w+b" if make else "r+b", buffering=0)
        header = {"descr": _FLOAT.str, "fortran_order": False, "shape": shape}
        if make:
            np.lib.format.write_array_header_1_0(self._file, header)
            self._start = self._file.tell()
            self._file.truncate(self._end)
            return
        try:
            np.lib.format.read_magic(self._file)
            found = np.lib.format.read_array_header_1_0(self._file)
        except ValueError:
            found = None
        self._start = self._file.tell()
        if found != (shape, False, _FLOAT) or self._file.seek(0, os.SEEK_END) != self._end:
            self._file.close()
            raise _damaged(path)

    @property
    def _end(self) -> int:
        return self._start + self.shape[0] * self.shape[1] * self.shape[2] * _FLOAT.itemsize

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None:
        cell = self.shape[2] * _FLOAT.itemsize
        across = columns == (0, self.shape[1])
        for row, values in [(rows[0], logits)] if across else enumerate(logits, rows[0]):
            self._file.seek(self._start + (row * self.shape[1] + columns[0]) * cell)
            _write(self._file, values)
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _ZarrNumbers:
    """A Zarr array, version 3. Its chunks are replaced whole, so that a kill leaves finished blocks in them alone."""

    def __init__(self, path: pathlib.Path, shape: Shape, make: bool):
        try:
            import zarr
        except ModuleNotFoundError:
            raise MapError(
                f"{path}: writing a Zarr needs zarr: {install_hint('large')} (Python 3.11 or later)"
            ) from None
        store = zarr.storage.LocalStore(path)
        if make:
            chunks = min(_CHUNK, shape[0]), min(_CHUNK, shape[1]), shape[2]
            names = ("y", "x", "class")
            zarr.create_array(store, shape=shape, dtype=_FLOAT, chunks=chunks, dimension_names=names, zarr_format=3)
        for left_over in path.rglob("*.partial"):  # of a chunk whose writing was killed
            left_over.unlink()
        try:
            self._array = zarr.open_array(store, mode="r+")
        except Exception:  # Damaged metadata lead to whatever they lead to.
            raise _damaged(path) from None
        if self._array.shape != shape or self._array.dtype != _FLOAT:
            raise _damaged(path)

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None:
        self._array[slice(*rows), slice(*columns)] = logits

    def close(self) -> None:
        pass


_KINDS: dict[str, Callable[[pathlib.Path, Shape, bool], _Numbers]] = {".npy": _NpyNumbers, ".zarr": _ZarrNumbers}


def _damaged(path: pathlib.Path) -> MapError:
    return MapError(f"{path}: is not the map that its record speaks of; remove it to begin anew")


def _write(file: BinaryIO, values: np.ndarray) -> None:
    """All of it: an unbuffered file may take less at once."""
    rest = values.data.cast("B")
    while rest:
        taken = file.write(rest)
        if not taken:
            raise OSError(errno.EIO, "cannot be written", file.name)
        rest = rest[taken:]


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
