"""Image sources for arrays, for `.npy` files, and for files that Pillow reads whole."""

import os
import pathlib
import warnings

import numpy as np

from vggfcn.errors import ImageError, TooManyPixelsError
from vggfcn.files import digest
from vggfcn.images import reading
from vggfcn.images.source import ImageSource, array_digest, damage_error, eight_bit_pixels

_CHANNELS = (1, 3)


class ArraySource(ImageSource):
    """An array in memory: grey (height, width) or (height, width, 1), or RGB (height, width, 3).

    uint8 is kept, uint16 becomes uint8, and floating point in [0, 255] becomes float32. Raises `ImageError` for any
    other array.
    """

    def __init__(self, array: np.ndarray, name: str = "array"):
        array = np.asarray(array)
        self.shape, self.dtype = _checked(name, array.shape, array.dtype)
        self._array = array.reshape(self.shape)

    def _read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        return _converted(self._array[slice(*rows), slice(*columns)], self.dtype)

    def _digest(self) -> str:
        return array_digest(self._array)


class NpySource(ImageSource):
    """A `.npy` file with an array that `ArraySource` accepts; only the rows that are read are mapped into memory."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # About headers written by Python 2.
                stored = np.lib.format.open_memmap(self.path, mode="r")
        except Exception as error:  # NumPy raises all kinds of exceptions for damaged headers.
            raise damage_error(self.path, error) from None
        self.shape, self.dtype = _checked(str(path), stored.shape, stored.dtype)
        if not stored.flags.c_contiguous:
            raise ImageError(f"{path}: is stored in Fortran order; save numpy.ascontiguousarray(image) instead")
        self._stored, self._offset = stored.dtype, stored.offset

    def _read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        if rows[0] == rows[1]:
            return np.empty((0, columns[1] - columns[0], self.shape[2]), self.dtype)
        shape = rows[1] - rows[0], *self.shape[1:]
        offset = self._offset + rows[0] * shape[1] * shape[2] * self._stored.itemsize
        try:
            # Mapped for each read: as long as a file is mapped, the pages that were read count as the process's memory.
            mapped = np.memmap(self.path, self._stored, "r", offset, shape)
        except (OSError, ValueError) as error:
            raise damage_error(self.path, error) from None
        return np.array(_converted(mapped[:, slice(*columns)], self.dtype))

    def _digest(self) -> str:
        return digest(self.path, "sha256")


class FileSource(ArraySource):
    """An image file that Pillow reads. Pillow cannot decode a part of it, so the whole image is kept in memory."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        try:
            super().__init__(reading.read_image(path))
        except TooManyPixelsError as error:
            reason = str(error).partition(";")[0]
            raise TooManyPixelsError(
                f"{reason}, and this format can only be read whole; convert it to a tiled TIFF, which can be read in "
                "parts: vips tiffsave IMAGE IMAGE.tif --tile --bigtiff --compression deflate"
            ) from None

    def _digest(self) -> str:
        return digest(self.path, "sha256")


def _checked(name: str, shape: tuple[int, ...], dtype: np.dtype) -> tuple[tuple[int, int, int], np.dtype]:
    """The shape as (height, width, channels), and the dtype of the pixels that `read` returns."""
    full = shape if len(shape) == 3 else (*shape, 1)
    if len(full) != 3 or 0 in full or full[2] not in _CHANNELS:
        raise ImageError(f"{name}: expected (height, width) or (height, width, 1 or 3), got an array of shape {shape}")
    if dtype.kind == "f":
        return full, np.dtype(np.float32)
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return full, np.dtype(np.uint8)
    raise ImageError(f"{name}: expected uint8, uint16 or floating point, got {dtype}")


def _converted(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return pixels.astype(np.float32, copy=False) if dtype.kind == "f" else eight_bit_pixels(pixels)
