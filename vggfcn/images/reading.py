"""Reading image files with Pillow, as upright RGB uint8."""

import logging
import os
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vggfcn.errors import ImageError, TooManyPixelsError, one_line
from vggfcn.files import open_regular
from vggfcn.images import formats, structure

_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_EIGHT_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)
# Without a handler, Python would print Pillow's warnings about damaged files to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as RGB uint8 (height, width, 3), rotated according to its EXIF orientation.

    Transparent parts are composited over white, 16-bit grey is scaled to 8 bits, and of several frames the first is
    read. Raises `ImageError` if the file is missing, empty, truncated or not an image, and its subclass
    `TooManyPixelsError` if it exceeds Pillow's limit (`PIL.Image.MAX_IMAGE_PIXELS`, about 89 million pixels).
    """
    with opened(path) as file:
        return _pixels(os.fspath(path), file)


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open an image file for reading bytes; raises `ImageError` if it is missing or not a regular file."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _pixels(path: str, file: BinaryIO) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            structure.check_file(file)
            with formats.open_image(file) as image:
                image.load()
                structure.check_exif(image.info)
                return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise TooManyPixelsError(f"{path}: more than {limit} pixels; shrink the image or crop it") from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {formats.described(file)}") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory; shrink the image or crop it") from None
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions for damaged files.
        raise ImageError(f"{path}: damaged or unreadable ({one_line(error)}); expected a complete image") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a Pillow image to RGB: transparent parts are composited over white, 16-bit grey is scaled to 8 bits.

    Raises `ImageError` if the range of its pixels is unknown.
    """
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bit_to_rgb(image)
    if image.mode == "F":
        raise ImageError("floating-point pixels of unknown range; save the image with 8 or 16 bits per channel")
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        # Pillow converts premultiplied grey to RGBA only by way of LA.
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _sixteen_bit_to_rgb(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"grey values from {values.min()} to {values.max()}; expected 0 to 65535 (16 bits)")
    return Image.fromarray(eight_bits(values)).convert("RGB")


def eight_bits(grey: np.ndarray) -> np.ndarray:
    """Scale 16-bit grey, integers from 0 to 65535, to 0 to 255 with rounding: uint8 of the same shape."""
    return _EIGHT_BITS[grey]
