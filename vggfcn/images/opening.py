"""Opening an image for reading in parts; its format is recognised by its contents, not its name."""

import os
import pathlib

import numpy as np

from vggfcn.images.arrays import ArraySource, FileSource, NpySource
from vggfcn.images.reading import opened
from vggfcn.images.source import ImageSource
from vggfcn.images.tiff import TiffSource
from vggfcn.images.zarr import ZarrSource

_NPY = b"\x93NUMPY"
# TIFF and BigTIFF, in either byte order.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_source(image: str | os.PathLike[str] | np.ndarray) -> ImageSource:
    """Open an image for reading in parts: an array, the path of a file, or the path of a Zarr folder.

    - An array, or a `.npy` file of one: grey (height, width) or (height, width, 1), or RGB (height, width, 3), as
      uint8, uint16 or floating point in [0, 255]. The number of channels is kept.
    - TIFF and BigTIFF, tiled or in strips, OME-Zarr and plain Zarr: RGB uint8. Only the tiles, strips or chunks that
      are read are decoded. This requires the extra `large`: pip install "vggfcn[large]".
    - Any other image file: RGB uint8. Pillow reads it whole, if it is within Pillow's limit of pixels.

    The pixels are the same as those of `read_image`: 16 bits become 8, and transparent parts are composited over white.
    Of a pyramid the finest level is read, of several pages the first.

    Raises `ImageError` if the header of the image cannot be read or shows that the image is not supported.

    >>> source = open_source("slide.tif")
    >>> source.read(slice(0, 256), slice(0, 1024)).shape
    (256, 1024, 3)
    """
    if isinstance(image, np.ndarray):
        return ArraySource(image)
    path = pathlib.Path(image)
    if path.is_dir():
        return ZarrSource(path)
    with opened(path) as file:
        start = file.read(8)
    if start.startswith(_NPY):
        return NpySource(path)
    return TiffSource(path) if start.startswith(_TIFF) else FileSource(path)
