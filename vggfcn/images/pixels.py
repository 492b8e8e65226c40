"""Images as Python users have them, brought to arrays that a network takes."""

import os
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vggfcn.images import reading, resizing
from vggfcn.images.opening import open_source
from vggfcn.images.source import ImageSource

_PART = 1 << 22  # values that are read at once


def pixels_of(image: Any, channels: int) -> np.ndarray:
    """An image as an array (height, width, channels) for a network with that many input channels: uint8 or float32.

    - `image`: the path of a file that `open_source` reads; an image of Pillow; an array or tensor (height, width) or
      (height, width, channels) in the range that the network takes. RGB becomes grey for a network with one channel
      (Rec. 601), and grey is repeated for one with three.

    Raises `ValueError` for anything else, `ImageError` for a file that cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        return resizing.with_channels(open_source(image).read(slice(None)), channels)
    if isinstance(image, Image.Image):
        pixels = np.asarray(reading.to_rgb(ImageOps.exif_transpose(image)))
        return resizing.with_channels(pixels, channels)
    pixels = _array(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not pixels.size:
        raise ValueError(f"image: expected (height, width, channels), got an array of shape {pixels.shape}")
    pixels = resizing.with_channels(pixels, channels)
    if pixels.shape[-1] != channels:
        raise ValueError(
            f"image: expected {channels} channel(s), as the network takes, got an array of shape {pixels.shape}"
        )
    return pixels


def is_batch(image: Any) -> bool:
    """Whether it is several images: a list or tuple, or an array with four axes."""
    return isinstance(image, list | tuple) or getattr(image, "ndim", len(getattr(image, "shape", ()))) == 4


def check_range(pixels: np.ndarray) -> None:
    """Refuse pixels that cannot be meant for a network that takes 0 to 255: raise `ValueError` with the reason."""
    if pixels.dtype == np.uint8:
        return
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("image: expected numbers, got NaN or infinite values; replace them first")
    if low >= 0 and high <= 255 and not 0 < high <= 1:
        return
    if low >= 0 and high <= 1:
        reason = "look like pixels from 0 to 1: multiply them by 255"
    elif -130 <= low < 0 and high <= 255:
        reason = "look preprocessed, and this network does that itself: give it the image as it was"
    else:
        reason = "are of another range: scale them to 0 to 255"
    raise ValueError(f"image: expected pixels from 0 to 255, got values from {low:.4g} to {high:.4g}, which {reason}")


def check_source(source: ImageSource) -> None:
    """`check_range` for an image that is read in parts."""
    if source.dtype == np.uint8:
        return
    rows = max(1, _PART // (source.shape[1] * source.shape[2]))
    ends = []
    for start in range(0, source.shape[0], rows):
        part = source.read(slice(start, min(start + rows, source.shape[0])))
        ends += [part.min(), part.max()]
    check_range(np.array([min(ends), max(ends)], np.float32))


def _array(image: Any) -> np.ndarray:
    """The array of an array-like, uint8 or float32."""
    try:
        pixels = np.asarray(image)
    except Exception:  # Libraries raise errors of any kind, for example for a tensor on another device.
        pixels = np.asarray(None)
    if pixels.dtype.kind not in "uif":
        raise ValueError(
            f"image: expected a path, an image of Pillow or an array of numbers, got {type(image).__name__}"
            f"{f' of {pixels.dtype}' if pixels.dtype != object else ''}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("image: expected numbers, got NaN or infinite values; replace them first")
    return pixels
