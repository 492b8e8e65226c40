"""Pictures in: any file Pillow reads becomes RGB uint8, upright; anything else is one clear error."""

import logging
import os
import pathlib
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vggfcn.errors import ImageError, TooManyPixelsError, one_line

MAX_ASPECT = 16  # of the sides of a picture that has to be enlarged
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_TRANSPARENT_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_EIGHT_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)
# What Pillow says of damaged files goes to a log that somebody has set up, and nowhere else.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as RGB uint8 (height, width, 3), turned as its EXIF orientation says.

    Transparent parts are laid over white, 16-bit grey is scaled to 8 bits, the first frame of several is taken.
    Raises `ImageError` if the file is missing, empty, truncated or no picture, and its kind `TooManyPixelsError` if it
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
            f"{path}: more than {limit} pixels; shrink the picture or cut out a part of it"
        ) from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {_what_came(path)}; expected a picture such as JPEG, PNG, TIFF or WebP") from None
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory; shrink the picture or cut out a part of it") from None
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to.
        raise ImageError(f"{path}: damaged or unreadable ({one_line(error)}); expected a complete picture") from None


def _what_came(path: str) -> str:
    return "not a picture" if pathlib.Path(path).stat().st_size else "an empty file"


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


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The largest square in the middle of a picture, scaled to uint8 (size, size, 3)."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return resize(image[top : top + side, left : left + side], size / side)


def fit(image: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    """Scale a picture so that its longer side is at most `largest` and its shorter one at least `smallest`.

    The second wins where both cannot be had; a picture that fits is returned as it is. Raises `ImageError` if the
    picture is so narrow that it would have to grow beyond all measure.
    """
    return resize_to(image, *fitting_size(image.shape[:2], smallest, largest))


def fitting_size(size: tuple[int, ...], smallest: int, largest: int) -> tuple[int, int]:
    """(height, width) that `fit` brings a picture of such a size to; raises as it does."""
    shorter, longer = sorted(size)
    if longer > MAX_ASPECT * shorter and shorter < smallest:
        raise ImageError(
            f"the picture has {size[1]} x {size[0]} pixels and each side must be enlarged to {smallest}; "
            f"expected a longer side of at most {MAX_ASPECT} times the shorter: cut out a part"
        )
    return _scaled(size, max(min(1.0, largest / longer), smallest / shorter))


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale a picture, bicubic, with antialiasing where it shrinks; sides are rounded to whole pixels."""
    return resize_to(image, *_scaled(image.shape[:2], scale))


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a picture, uint8 or float32 (rows, columns, channels) in [0, 255], to a size, as `resize` does."""
    if image.shape[:2] == (height, width):
        return image
    channels = [
        np.asarray(Image.fromarray(image[..., channel]).resize((width, height), Image.Resampling.BICUBIC))
        for channel in range(image.shape[2])
    ]
    return np.clip(np.stack(channels, -1), 0, 255)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An RGB uint8 picture as a network of so many input channels takes it.

    For one channel it becomes grey, (height, width, 1), as Rec. 601 weighs colours; else it stays as it is.
    """
    if channels != 1 or image.shape[-1] != 3:
        return image
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def rescale_point(point: tuple[float, float], image: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of `target` that lies where (x, y) lies on `image`, the same picture at another size."""
    return rescale_between(point, image.shape[:2], target.shape[:2])


def rescale_between(point: tuple[float, float], size: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int]:
    """The same for two sizes, (height, width) each."""
    scales = (target[1] / size[1], target[0] / size[0])
    x, y = (round((position + 0.5) * scale - 0.5) for position, scale in zip(point, scales, strict=True))
    return x, y
