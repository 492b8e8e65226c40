"""Images in: any file Pillow reads becomes RGB uint8, upright; anything else is one clear error."""

import logging
import os
import pathlib
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vggfcn.errors import ImageError, TooManyPixelsError, one_line

_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_EIGHT_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)
# What Pillow says of damaged files goes to a log that somebody has set up, and nowhere else.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as RGB uint8 (height, width, 3), turned as its EXIF orientation says.

    Transparent parts are laid over white, 16-bit grey is scaled to 8 bits, the first frame of several is taken.
    Raises `ImageError` if the file is missing, empty, truncated or no image, and its kind `TooManyPixelsError` if it
    has more pixels than Pillow's limit (`PIL.Image.MAX_IMAGE_PIXELS`, about 89 million).
    """
    path = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise TooManyPixelsError(
            f"{path}: more than {limit} pixels; shrink the image or cut out a part of it"
        ) from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {_what_came(path)}; expected an image such as JPEG, PNG, TIFF or WebP") from None
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory; shrink the image or cut out a part of it") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to.
        raise ImageError(f"{path}: damaged or unreadable ({one_line(error)}); expected a complete image") from None


def _what_came(path: str) -> str:
    return "not an image" if pathlib.Path(path).stat().st_size else "an empty file"


def to_rgb(image: Image.Image) -> Image.Image:
    """A Pillow image as RGB: transparent parts over white, 16-bit grey as `eight_bits` gives it.

    Raises `ImageError` if its pixels are of unknown range.
    """
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bit_to_rgb(image)
    if image.mode == "F":
        raise ImageError("pixels are floating-point numbers of unknown range; save it with 8 or 16 bits per channel")
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        # Pillow knows no way from premultiplied grey to RGBA but this.
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
    """16-bit grey, integers from 0 to 65535, scaled to 0 to 255 and rounded: uint8 of the same shape."""
    return _EIGHT_BITS[grey]
