"""What every image that is read part by part has in common: its size, its pixels in a rectangle, and its identity."""

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

# What is decoded at once: a tile, strip or chunk. One of more bytes is refused.
MAX_SEGMENT = 1 << 28


class ImageSource(abc.ABC):
    """An image that is read part by part.

    `shape` is (height, width, channels), `dtype` that of what `read` gives: uint8, or float32 in the range of the array
    that it is read from.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    def read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """The pixels of a rectangle: (rows, columns, channels) of the image's `dtype`.

        Raises `ValueError` if the rectangle goes beyond the image, `ImageError` if that part of a file is damaged.
        """
        return self._read(span("rows", rows, self.shape[0]), span("columns", columns, self.shape[1]))

    @abc.abstractmethod
    def _read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray: ...

    @functools.cached_property
    def identity(self) -> str:
        """What tells this image from any other: its size and a SHA-256 of the array's or the file's bytes.

        A file that was moved or copied is the same image, and one that was changed in place is another, whatever its
        date says. It takes one pass over the bytes, in small blocks, when it is first asked for.
        """
        height, width, channels = self.shape
        return f"{height} x {width} x {channels} {self.dtype}, SHA-256 {self._digest()}"

    @abc.abstractmethod
    def _digest(self) -> str: ...


class SegmentedSource(ImageSource):
    """An image file made of equal rectangles, tiles or strips or chunks, each of which is decoded whole.

    Those that reach below the rows that were read last are kept: so whoever goes down an image block by block decodes
    each of them once. `grid` is their (rows, columns); the outermost may be cut off by the image's border.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: pathlib.Path, shape: tuple[int, int], grid: tuple[int, int]):
        if min(*shape, *grid) < 1:
            raise ImageError(f"{path}: {shape[0]} x {shape[1]} pixels in parts of {grid[0]} x {grid[1]}; expected some")
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
        except Exception as error:  # Decoders raise whatever a damaged file leads them to.
            where = f"rows {top} to {bottom}, columns {left} to {right}"
            raise damaged(self.path, error, where) from None

    @abc.abstractmethod
    def _segment(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """The pixels of one segment, cut off at the image's border, as `_rgb` takes them."""

    def _rgb(self, pixels: np.ndarray) -> np.ndarray:
        """What is wanted of a segment as RGB uint8: the rest of it stays as it is stored, which is smaller."""
        return pixels

    def _digest(self) -> str:
        return digest(self.path, "sha256")


def check_segment(path: pathlib.Path, size: tuple[int, ...], itemsize: int) -> None:
    """Refuse a file whose tiles, strips or chunks are so large that decoding one would take all memory."""
    nbytes = math.prod(size) * itemsize
    if nbytes > MAX_SEGMENT:
        raise ImageError(
            f"{path}: its parts are {' x '.join(map(str, size))}, {nbytes:,} bytes, and each is decoded whole; "
            f"expected at most {MAX_SEGMENT:,} bytes: write it anew in smaller tiles"
        )


def needed(module: str, path: pathlib.Path) -> Any:
    """A module of the extra `large`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        install = f"{install_hint('large')} (for Zarr, Python 3.11 or later)"
        raise ImageError(f"{path}: reading it in parts needs {error.name}: {install}") from None


def eight_bit_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 pixels (rows, columns, channels) as uint8, as `images.read_image` brings files to it.

    That is: 16-bit grey is scaled and rounded, of 16-bit colour channels Pillow takes the upper eight bits.
    """
    if pixels.dtype.itemsize == 1:
        return pixels
    return reading.eight_bits(pixels) if pixels.shape[-1] == 1 else (pixels >> 8).astype(np.uint8)


def damaged(path: pathlib.Path, error: Exception, where: str = "") -> ImageError:
    """What is raised for whatever a library made of a damaged file."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(f"{path}: not enough memory{where and f' for {where}'}; close other programs")
    return ImageError(
        f"{path}: damaged or unreadable{where and f' in {where}'} ({one_line(error, 200)}); expected a complete image"
    )


def bytes_digest(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and numbers; a block of rows is copied at a time."""
    checksum = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    rows = max(1, (1 << 20) * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        checksum.update(np.ascontiguousarray(array[start : start + rows]).data)
    return checksum.hexdigest()


def _overlap(wanted: tuple[int, int], start: int, length: int) -> tuple[slice, slice]:
    """What lies both in a span and in a segment that begins at `start`: as seen from the one and from the other."""
    first, last = max(wanted[0], start), min(wanted[1], start + length)
    return slice(first - wanted[0], last - wanted[0]), slice(first - start, last - start)
