"""Resizing and cropping images, and converting them to grey."""

import numpy as np
from PIL import Image

from vggfcn.errors import ImageError

MAX_ASPECT = 16  # The largest aspect ratio of an image that must be enlarged.


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Crop the largest square in the centre of an image and scale it to (size, size, channels) of the same dtype."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return resize(image[top : top + side, left : left + side], size / side)


def fit(image: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    """Scale an image so that its longer side is at most `largest` and its shorter side at least `smallest`.

    If both are impossible, `smallest` takes precedence. An image that already fits is returned unchanged. Raises
    `ImageError` if the image must be enlarged and its aspect ratio is above `MAX_ASPECT`.
    """
    return resize_to(image, *fitting_size(image.shape[:2], smallest, largest))


def fitting_size(size: tuple[int, ...], smallest: int, largest: int) -> tuple[int, int]:
    """The (height, width) to which `fit` scales an image of a size; raises the same errors."""
    shorter, longer = sorted(size)
    if longer > MAX_ASPECT * shorter and shorter < smallest:
        raise ImageError(
            f"the image has {size[1]} x {size[0]} pixels, and each side must have at least {smallest}; to enlarge it, "
            f"its longer side may be at most {MAX_ASPECT} times the shorter: crop the image"
        )
    return _scaled(size, max(min(1.0, largest / longer), smallest / shorter))


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image with bicubic interpolation, antialiased if it shrinks; its sides are rounded to whole pixels."""
    return resize_to(image, *_scaled(image.shape[:2], scale))


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image, uint8 or float32 (rows, columns, channels) in [0, 255], with the same method as `resize`."""
    if image.shape[:2] == (height, width):
        return image
    channels = [
        np.asarray(Image.fromarray(image[..., channel]).resize((width, height), Image.Resampling.BICUBIC))
        for channel in range(image.shape[2])
    ]
    return np.clip(np.stack(channels, -1), 0, 255)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert an RGB uint8 image to the number of input channels of a network.

    For one channel it becomes grey (height, width, 1), with the weights of Rec. 601; otherwise it is returned
    unchanged.
    """
    if channels != 1 or image.shape[-1] != 3:
        return image
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def rescale_between(point: tuple[float, float], size: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int]:
    """The pixel (x, y) of `point` after an image is resized from `size` to `target`, both (height, width)."""
    scales = (target[1] / size[1], target[0] / size[0])
    x, y = (round((position + 0.5) * scale - 0.5) for position, scale in zip(point, scales, strict=True))
    return x, y
