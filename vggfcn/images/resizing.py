"""Images brought to other sizes and channels, and places on them."""

import numpy as np
from PIL import Image

from vggfcn.errors import ImageError

MAX_ASPECT = 16  # of the sides of an image that has to be enlarged


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The largest square in the middle of an image, scaled to uint8 (size, size, 3)."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return resize(image[top : top + side, left : left + side], size / side)


def fit(image: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    """Scale an image so that its longer side is at most `largest` and its shorter one at least `smallest`.

    The second wins where both cannot be had; an image that fits is returned as it is. Raises `ImageError` if the
    image is so narrow that it would have to grow beyond all measure.
    """
    return resize_to(image, *fitting_size(image.shape[:2], smallest, largest))


def fitting_size(size: tuple[int, ...], smallest: int, largest: int) -> tuple[int, int]:
    """(height, width) that `fit` brings an image of such a size to; raises as it does."""
    shorter, longer = sorted(size)
    if longer > MAX_ASPECT * shorter and shorter < smallest:
        raise ImageError(
            f"the image has {size[1]} x {size[0]} pixels and each side must be enlarged to {smallest}; "
            f"expected a longer side of at most {MAX_ASPECT} times the shorter: cut out a part"
        )
    return _scaled(size, max(min(1.0, largest / longer), smallest / shorter))


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image, bicubic, with antialiasing where it shrinks; sides are rounded to whole pixels."""
    return resize_to(image, *_scaled(image.shape[:2], scale))


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring an image, uint8 or float32 (rows, columns, channels) in [0, 255], to a size, as `resize` does."""
    if image.shape[:2] == (height, width):
        return image
    channels = [
        np.asarray(Image.fromarray(image[..., channel]).resize((width, height), Image.Resampling.BICUBIC))
        for channel in range(image.shape[2])
    ]
    return np.clip(np.stack(channels, -1), 0, 255)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An RGB uint8 image as a network of so many input channels takes it.

    For one channel it becomes grey, (height, width, 1), as Rec. 601 weighs colours; else it stays as it is.
    """
    if channels != 1 or image.shape[-1] != 3:
        return image
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def rescale_between(point: tuple[float, float], size: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int]:
    """The pixel (x, y) where `point` lies once an image of `size`, (height, width), was brought to size `target`."""
    scales = (target[1] / size[1], target[0] / size[0])
    x, y = (round((position + 0.5) * scale - 0.5) for position, scale in zip(point, scales, strict=True))
    return x, y
