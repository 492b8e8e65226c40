"""Resizing and cropping images, and converting them to grey."""

import numpy as np
from PIL import Image

from vggfcn.errors import ImageError

# The weights of red, green and blue in grey, Recommendation ITU-R BT.601.
REC_601 = np.array([0.299, 0.587, 0.114])
MAX_ASPECT = 16  # The largest aspect ratio of an image that must be enlarged.


def center_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut out the largest part of the proportions of `size` in the middle, and scale it to `size`, (height, width).

    Returns (height, width, channels) of the same dtype.
    """
    scale = min(side / wanted for side, wanted in zip(image.shape[:2], size, strict=True))
    height, width = (
        min(side, max(1, round(scale * wanted))) for side, wanted in zip(image.shape[:2], size, strict=True)
    )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return resize_to(image[top : top + height, left : left + width], *size)


def fit(image: np.ndarray, smallest: tuple[int, int], largest: int) -> np.ndarray:
    """Scale an image so that its longer side has at most `largest` pixels, and so that a window fits in.

    `smallest` is the (height, width) of a window. If both are impossible, it takes precedence. An image that already
    fits is returned unchanged. Raises `ImageError` if the image must be enlarged and is too narrow for that.
    """
    return resize_to(image, *fitting_size(image.shape[:2], smallest, largest))


def fitting_size(size: tuple[int, ...], smallest: tuple[int, int], largest: int) -> tuple[int, int]:
    """The (height, width) to which `fit` scales an image of a size; raises the same errors."""
    least = max(wanted / side for wanted, side in zip(smallest, size, strict=True))
    if least > 1 and max(_scaled(size, least)) > MAX_ASPECT * max(smallest):
        raise ImageError(
            f"the image has {size[1]} x {size[0]} pixels, and a window {smallest[1]} x {smallest[0]}; to enlarge it, "
            f"its longer side may be at most {MAX_ASPECT} times the shorter: crop the image"
        )
    return _scaled(size, max(min(1.0, largest / max(size)), least))


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image with bicubic interpolation, antialiased if it shrinks; its sides are rounded to whole pixels."""
    return resize_to(image, *_scaled(image.shape[:2], scale))


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image, uint8 or float32 (rows, columns, channels), with the same method as `resize`.

    The result stays in [0, 255], or in the image's own range if that is another: bicubic interpolation leaves it.
    """
    if image.shape[:2] == (height, width):
        return image
    channels = [
        np.asarray(Image.fromarray(image[..., channel]).resize((width, height), Image.Resampling.BICUBIC))
        for channel in range(image.shape[2])
    ]
    low, high = image.min(), image.max()
    return np.clip(np.stack(channels, -1), *((0, 255) if low >= 0 and high <= 255 else (low, high)))


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert an image, uint8 or float32 (height, width, channels), to the number of input channels of a network.

    RGB becomes grey (height, width, 1) for one channel, with the weights of Rec. 601, and grey is repeated for three.
    Otherwise the image is returned unchanged.
    """
    if channels == 3 and image.shape[-1] == 1:
        return np.repeat(image, 3, axis=-1)
    if channels != 1 or image.shape[-1] != 3:
        return image
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).convert("L"))[..., None]
    return (image @ REC_601)[..., None].astype(image.dtype)


def rescale_between(point: tuple[float, float], size: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, int]:
    """The pixel (x, y) of `point` after an image is resized from `size` to `target`, both (height, width)."""
    scales = (target[1] / size[1], target[0] / size[0])
    x, y = (round((position + 0.5) * scale - 0.5) for position, scale in zip(point, scales, strict=True))
    return x, y
