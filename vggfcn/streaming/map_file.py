"""Score maps written to a file block by block, so that they need not fit into memory and a killed run can resume."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from vggfcn.errors import MapError, install_hint
from vggfcn.files import check_folder, check_room, span, write_all
from vggfcn.streaming.map_journal import FinishedBlock, MapJournal

# Rows, columns and classes.
Shape = tuple[int, int, int]
BLOCKS = ".blocks"  # ends the journal's name
_FLOAT = np.dtype("<f4")
_ZEROS_TOO: Any = {"write_empty_chunks": True}
_CHUNK = 64  # the most rows and columns of a Zarr chunk


class _Numbers(Protocol):
    """The unfinished file, in one of the formats."""

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None: ...

    def close(self) -> None: ...


def open_map(path: str | os.PathLike[str], shape: Shape, record: dict[str, Any]) -> "MapFile":
    """Open a map of logits, float32 (rows, columns, classes), for writing block by block to a `.npy` or a `.zarr`.

    Until it is complete the map is `NAME.unfinished`. Beside it, `NAME.blocks` records which run it belongs to and
    which blocks are finished. This file stays, so that a complete map is recognised later. An interrupted run resumes
    where it stopped, and a complete map has nothing left to do.

    - `path`: the map, a name that ends in `.npy` or `.zarr`.
    - `shape`: (rows, columns, classes).
    - `record`: what identifies the run, in JSON's types: the network, the image, and how it is cut into blocks.

    Raises `MapError` if the map belongs to another run (the message says what differs), if another process is writing
    it, if there is a map without a record at `path`, or if the name ends differently; `OSError` if it cannot be
    written.

    >>> with open_map("map.npy", stream.shape, {"model": digest, "image": source.identity, "rows": 128}) as file:
    ...     for block, (first, logits) in enumerate(blocks):
    ...         if not file.finished(block):
    ...             file.write(block, slice(first, first + len(logits)), slice(None), logits)
    ...     file.complete()
    """
    return MapFile(pathlib.Path(path), shape, record)


def run_of(path: pathlib.Path) -> dict[str, Any]:
    """The `record` of the map at `path`; raises `OSError` or `ValueError` if there is none."""
    with path.with_name(path.name + BLOCKS).open("rb") as file:
        return json.loads(file.readline())


def read_map(path: pathlib.Path, shape: Shape) -> np.ndarray:
    """The logits of a complete map: a `.npy` file is memory-mapped, a Zarr is read.

    Raises `MapError` if the map is damaged, or is none of that shape.
    """
    try:
        logits = np.load(path, mmap_mode="r", allow_pickle=False) if path.suffix == ".npy" else _read_zarr(path)
    except (MemoryError, PermissionError):
        raise
    except Exception:  # Damaged files may raise anything.
        raise _damaged(path) from None
    if logits.shape != shape or logits.dtype != _FLOAT:
        raise _damaged(path)
    return logits


def _read_zarr(path: pathlib.Path) -> np.ndarray:
    import zarr

    array = zarr.open_array(path, mode="r")
    if array.nchunks_initialized != array.nchunks:  # Zarr would read zeros.
        raise ValueError
    return np.asarray(array[...])


class MapFile:
    """A map open for writing, see `open_map`. Leaving the `with` block closes it, and another process may resume it."""

    def __init__(self, path: pathlib.Path, shape: Shape, record: dict[str, Any]):
        if path.suffix not in _FORMATS:
            raise MapError(f"{path}: expected a name that ends in {' or '.join(_FORMATS)}")
        check_folder(path, "name another file", MapError)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape: expected (rows, columns, classes), got {shape}")
        self.path, self.shape = path, shape
        self.unfinished = path.with_name(path.name + ".unfinished")
        blocks = path.with_name(path.name + BLOCKS)
        if path.exists() and not blocks.exists():
            raise MapError(f"{path}: exists already, without a record of its run; remove it, or name another file")
        self._journal = MapJournal(blocks, {"shape": list(shape), **record})
        self._numbers: _Numbers | None = None
        try:
            if not path.exists():
                self._numbers = self._open_unfinished()
        except BaseException:
            self._journal.close()
            raise

    def _open_unfinished(self) -> _Numbers:
        """The unfinished file, or a new one and an empty journal if there is nothing to resume."""
        new = not self.unfinished.exists() or not self._journal.finished
        if new:
            _remove(self.unfinished)
            self._journal.clear()
        return _FORMATS[self.path.suffix](self.unfinished, self.shape, new, self._journal.finished.values())

    def finished(self, block: int) -> bool:
        """Whether a block has been written already."""
        return self._numbers is None or block in self._journal.finished

    def write(self, block: int, rows: slice, columns: slice, logits: np.ndarray) -> None:
        """Write a block to its rectangle of the map, and record it as finished.

        `block` is its number, `rows` and `columns` the rectangle, `logits` float32 (rows, columns, classes). Once this
        returns, the block survives a kill, and in a `.npy` file a loss of power.

        Raises `ValueError` if the block is finished already, if the rectangle extends beyond the map, or if the logits
        have another shape.
        """
        if self._numbers is None or self.finished(block):
            raise ValueError(f"block {block}: is finished already")
        place = FinishedBlock(block, span("rows", rows, self.shape[0]), span("columns", columns, self.shape[1]))
        (top, bottom), (left, right) = place.rows, place.columns
        logits = np.asarray(logits)
        expected = bottom - top, right - left, self.shape[2]
        if logits.shape != expected:
            raise ValueError(f"block {block}: expected logits of shape {expected}, got {logits.shape}")
        if logits.size:
            self._numbers.write(place.rows, place.columns, np.ascontiguousarray(logits, _FLOAT))
        self._journal.add(place)

    def complete(self) -> None:
        """Move the map to its final name. Raises `ValueError` if the blocks written do not add up to the map."""
        if self._numbers is None:
            return
        cells, written = self.shape[0] * self.shape[1], sum(block.cells for block in self._journal.finished.values())
        if cells != written:
            raise ValueError(f"{self.path}: expected blocks with {cells} cells in all, but {written} were written")
        self._numbers.close()
        self._numbers = None
        self.unfinished.replace(self.path)

    def close(self) -> None:
        """Close the files; an unfinished map can be resumed later."""
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
    """A `.npy` file written by seeking: memory-mapped pages would count as this process's memory."""

    def __init__(self, path: pathlib.Path, shape: Shape, new: bool, finished: Iterable[FinishedBlock]):
        self.shape = shape
        if new:
            check_room(path.parent, shape[0] * shape[1] * shape[2] * _FLOAT.itemsize)
        self._file = path.open("w+b" if new else "r+b", buffering=0)
        header = {"descr": _FLOAT.str, "fortran_order": False, "shape": shape}
        if new:
            np.lib.format.write_array_header_1_0(self._file, header)
            self._start = self._file.tell()
            self._file.truncate(self._end)
            return
        try:
            np.lib.format.read_magic(self._file)
            stored = np.lib.format.read_array_header_1_0(self._file)
        except ValueError:
            stored = None
        self._start = self._file.tell()
        if stored != (shape, False, _FLOAT) or self._file.seek(0, os.SEEK_END) != self._end:
            self._file.close()
            raise _damaged(path)

    @property
    def _end(self) -> int:
        return self._start + self.shape[0] * self.shape[1] * self.shape[2] * _FLOAT.itemsize

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None:
        cell = self.shape[2] * _FLOAT.itemsize
        full_width = columns == (0, self.shape[1])
        for row, values in [(rows[0], logits)] if full_width else enumerate(logits, rows[0]):
            self._file.seek(self._start + (row * self.shape[1] + columns[0]) * cell)
            write_all(self._file, values.data)
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _ZarrNumbers:
    """A Zarr array, version 3. It replaces whole chunks, so a kill does not damage finished blocks.

    Chunks hold checksums, and those of zeros are stored too, so that damaged and lost ones are noticed.
    """

    def __init__(self, path: pathlib.Path, shape: Shape, new: bool, finished: Iterable[FinishedBlock]):
        try:
            import zarr
            from zarr.codecs import Crc32cCodec, ZstdCodec
        except ModuleNotFoundError:
            raise MapError(
                f"{path}: writing a Zarr needs zarr: {install_hint('large')} (Python 3.11 or later)"
            ) from None
        self._path, store = path, zarr.storage.LocalStore(path)
        if new:
            zarr.create_array(
                store,
                shape=shape,
                dtype=_FLOAT,
                chunks=(min(_CHUNK, shape[0]), min(_CHUNK, shape[1]), shape[2]),
                compressors=[ZstdCodec(), Crc32cCodec()],
                dimension_names=("y", "x", "class"),
                zarr_format=3,
            )
        for partial in path.rglob("*.partial"):  # chunks that a killed process left half-written
            partial.unlink()
        try:
            self._array = zarr.open_array(store, mode="r+").with_config(_ZEROS_TOO)
        except Exception:  # Damaged metadata may raise anything.
            raise _damaged(path) from None
        if self._array.shape != shape or self._array.dtype != _FLOAT or not all(map(self._holds, finished)):
            raise _damaged(path)

    def _holds(self, block: FinishedBlock) -> bool:
        """Whether all chunks of a block are there."""
        rows, columns, _ = self._array.chunks
        return all(
            (self._path / "c" / str(row) / str(column) / "0").is_file()
            for row in range(block.rows[0] // rows, -(-block.rows[1] // rows))
            for column in range(block.columns[0] // columns, -(-block.columns[1] // columns))
        )

    def write(self, rows: tuple[int, int], columns: tuple[int, int], logits: np.ndarray) -> None:
        try:
            self._array[slice(*rows), slice(*columns)] = logits
        except (MemoryError, OSError):
            raise
        except Exception:  # Of a damaged chunk, which is read because the block fills it in part.
            raise _damaged(self._path) from None

    def close(self) -> None:
        pass


_FORMATS: dict[str, Callable[[pathlib.Path, Shape, bool, Iterable[FinishedBlock]], _Numbers]] = {
    ".npy": _NpyNumbers,
    ".zarr": _ZarrNumbers,
}


def _damaged(path: pathlib.Path) -> MapError:
    return MapError(f"{path}: does not match its record; remove it to start again")


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
