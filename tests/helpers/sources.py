"""Noise as an image, and the pixels that reading it must give."""

import numpy as np
from PIL import Image

SIZE = (150, 131)
WHOLE = slice(None)


def noise(channels=3, dtype=np.uint8, size=SIZE):
    shape = (*size, channels) if channels > 1 else size
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth():
    """An image that JPEG compresses well."""
    return np.asarray(Image.fromarray(noise(size=(9, 8))).resize(SIZE[::-1], Image.Resampling.BILINEAR))


def as_rgb(pixels, alpha=None):
    """RGB uint8 by definition: 16-bit grey is scaled, 16-bit colours keep their upper bits, alpha is over white."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257) if pixels.shape[-1] == 1 else pixels // 256
    colour = pixels.astype(float)
    if alpha:
        opacity = colour[..., -1:] / 255
        colour = colour[..., :-1] * opacity + 255 * (1 - opacity)
    return np.broadcast_to(np.round(colour), (*pixels.shape[:2], 3))


def truncated(write, size):
    """Write a file and keep only its first bytes."""

    def write_truncated(path):
        write(path)
        path.write_bytes(path.read_bytes()[:size])

    return write_truncated
