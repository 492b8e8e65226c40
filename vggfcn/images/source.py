"""The base classes of images that are read in parts."""

import abc
import functools
import hashlib
import importlib
import math
import pathlib
from typing import Any

import numpy as np

from vggfcn.errors import ImageError, install_hint, one_line
from vggfcn.files import digest, span
from vggfcn.images import reading

# The largest segment, a tile, strip or chunk, in bytes. Each is decoded whole, so a larger one is refused.
MAX_SEGMENT = 1 << 28


class ImageSource(abc.ABC):
    """An image that is read in parts.

    `shape` is (height, width, channels). `dtype` is that of the pixels that `read` returns: uint8, or float32 with the
    range of the underlying array.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    def read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Read the pixels of a rectangle: (rows, columns, channels) of the image's `dtype`.

        Raises `ValueError` if the rectangle extends beyond the image, and `ImageError` if that part of the file is
        damaged.
        """
        return self._read(span("rows", rows, self.shape[0]), span("columns", columns, self.shape[1]))

    @abc.abstractmethod
    def _read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray: ...

    @functools.cached_property
    def identity(self) -> str:
        """A text that identifies the image: its size, and the SHA-256 of the bytes of the array or file.

        A moved or copied file has the same identity; a file that was changed in place has a new one, even if its date
        is unchanged. The first access reads all bytes once, in small blocks.
        """
        height, width, channels = self.shape
        return f"{height} x {width} x {channels} {self.dtype}, SHA-256 {self._digest()}"

    @abc.abstractmethod
    def _digest(self) -> str: ...


class SegmentedSource(ImageSource):
    """An image file that consists of equal segments (tiles, strips or chunks), each of which is decoded whole.

    Segments that extend below the last rows read are kept, so that each is decoded once if the image is read from top
    to bottom. `grid` is the (height, width) of a segment; those at the image's border may be smaller.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: pathlib.Path, shape: tuple[int, int], grid: tuple[int, int]):
        if min(*shape, *grid) < 1:
            raise ImageError(
                f"{path}: has {shape[0]} x {shape[1]} pixels in tiles of {grid[0]} x {grid[1]}; expected at least 1 x 1"
            )
        self.path = path
        self.shape = (*shape, 3)
        self.grid = grid
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def _read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        pixels = np.empty((rows[1] - rows[0], columns[1] - columns[0], 3), np.uint8)
        kept, self._kept = self._kept, {}
        (height, width), (top, left) = self.grid, (rows[0], columns[0])
        for row in range(top // height, -(-rows[1] // height)):
            for column in range(left // width, -(-columns[1] // width)):
                segment = kept.pop((row, column), None)
                if segment is None:
                    segment = self._decoded(row, column)
                down, here = _overlap(rows, row * height, segment.shape[0])
                across, there = _overlap(columns, column * width, segment.shape[1])
                pixels[down, across] = self._rgb(segment[here, there])
                if row * height + segment.shape[0] > rows[1]:
                    self._kept[row, column] = segment
        return pixels

    def _decoded(self, row: int, column: int) -> np.ndarray:
        height, width = self.grid
        top, left = row * height, column * width
        bottom, right = min(top + height, self.shape[0]), min(left + width, self.shape[1])
        try:
            return self._segment(top, bottom, left, right)
        except Exception as error:  # Decoders raise all kinds of exceptions for damaged files.
            where = f"rows {top} to {bottom}, columns {left} to {right}"
            raise damage_error(self.path, error, where) from None

    @abc.abstractmethod
    def _segment(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """The stored pixels of one segment, cropped to the image."""

    def _rgb(self, pixels: np.ndarray) -> np.ndarray:
        """Convert stored pixels to RGB uint8; done only for those that are read, since stored ones take less memory."""
        return pixels

    def _digest(self) -> str:
        return digest(self.path, "sha256")


def check_segment(path: pathlib.Path, size: tuple[int, ...], itemsize: int) -> None:
    """Raise `ImageError` if the segments of a file are larger than `MAX_SEGMENT`."""
    nbytes = math.prod(size) * itemsize
    if nbytes > MAX_SEGMENT:
        raise ImageError(
            f"{path}: has tiles, strips or chunks of {' x '.join(map(str, size))} ({nbytes:,} bytes each); "
            f"expected at most {MAX_SEGMENT:,} bytes: save the image with smaller tiles"
        )


def import_extra(module: str, path: pathlib.Path) -> Any:
    """Import a module that the extra `large` installs; raises `ImageError` if it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        install = f"{install_hint('large')} (Zarr requires Python 3.11 or later)"
        raise ImageError(f"{path}: reading it in parts requires {error.name}: {install}") from None


def eight_bit_pixels(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 pixels (rows, columns, channels) to uint8 exactly as `read_image` does.

    16-bit grey is scaled and rounded; of 16-bit colours the upper eight bits are kept, as Pillow does it.
    """
    if pixels.dtype.itemsize == 1:
        return pixels
    return reading.eight_bits(pixels) if pixels.shape[-1] == 1 else (pixels >> 8).astype(np.uint8)


def damage_error(path: pathlib.Path, error: Exception, where: str = "") -> ImageError:
    """The `ImageError` for an exception that a library raised while it read a file."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(f"{path}: not enough memory{where and f' for {where}'}; close other programs")
    return ImageError(
        f"{path}: damaged or unreadable{where and f' in {where}'} ({one_line(error, 200)}); expected a complete image"
    )


def array_digest(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and values, computed in blocks of rows."""
    checksum = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    rows = max(1, (1 << 20) * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        checksum.update(np.ascontiguousarray(array[start : start + rows]).data)
    return checksum.hexdigest()


def _overlap(wanted: tuple[int, int], start: int, length: int) -> tuple[slice, slice]:
    """The overlap of a span and a segment that begins at `start`, as a slice of the span and a slice of the segment."""
    first, last = max(wanted[0], start), min(wanted[1], start + length)
    return slice(first - wanted[0], last - wanted[0]), slice(first - start, last - start)
