"""`open_source`: any image as one that is read part by part, told by what it is and not by its name."""

import os
import pathlib

import numpy as np

from vggfcn.errors import ImageError
from vggfcn.images.arrays import ArraySource, FileSource, NpySource
from vggfcn.images.source import ImageSource
from vggfcn.images.tiff import TiffSource
from vggfcn.images.zarr import ZarrSource

_NPY = b"\x93NUMPY"
# Classic and Big, of either byte order.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_source(image: str | os.PathLike[str] | np.ndarray) -> ImageSource:
    """An image that is read part by part: an array, or the path of a file, or of the folder of a Zarr.

    - An array, or a `.npy` file of one: (height, width) or (height, width, 1) grey or (height, width, 3) RGB; uint8,
      uint16, or floating point in [0, 255]. Its channels stay as they are.
    - TIFF and BigTIFF, tiled or in strips, OME-Zarr and plain Zarr: RGB uint8, of which only the tiles, strips or
      chunks that are asked for are decoded. Needs the extra `large`: pip install "vggfcn[large]".
    - Any other file is read whole by Pillow, if it is within its limit of pixels: RGB uint8.

    A file gives the same pixels as where it is read whole: 16 bits become 8, transparent parts are laid over white. The
    finest level of a pyramid is taken, and the first of several pages.

    Raises `ImageError`, as soon as a file's header shows it, if it cannot be read so.

    >>> source = open_source("slide.tif")
    >>> source.read(slice(0, 256), slice(0, 1024)).shape
    (256, 1024, 3)
    """
    if isinstance(image, np.ndarray):
        return ArraySource(image)
    path = pathlib.Path(image)
    if path.is_dir():
        return ZarrSource(path)
    start = _start(path)
    if start.startswith(_NPY):
        return NpySource(path)
    return TiffSource(path) if start.startswith(_TIFF) else FileSource(path)


def _start(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
