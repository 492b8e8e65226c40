"""A map of logits as an image where the image that it was computed from is not at hand."""

import numpy as np
from PIL import Image

from vggfcn.maps import figure

# Pixels of the map's longer side: small maps are enlarged by a whole number to at most that, larger ones shrunk.
LONGEST = 640
LARGEST_CELL = 80  # pixels of a cell's side
# Beside a narrow map there is white, so that the title and the scale have room.
LEAST_HEIGHT, LEAST_WIDTH = 120, 320
_GREY, _WHITE = 128, 255


def drawing(probabilities: np.ndarray, title: str) -> Image.Image:
    """A class's map, float32 (rows, columns) in [0, 1], with title and colour scale: RGB, a square for each cell.

    The longer side of the map takes at most `LONGEST` pixels. Of more cells than that, several fall on a pixel, which
    shows the highest of them, so that no peak is lost.
    """
    pixels = _fitted(probabilities)
    shape = max(pixels.shape[0], LEAST_HEIGHT), max(pixels.shape[1], LEAST_WIDTH)
    inside = np.s_[: pixels.shape[0], : pixels.shape[1]]
    values, ground = np.full(shape, np.nan, np.float32), np.full((*shape, 3), _WHITE, np.uint8)
    values[inside], ground[inside] = pixels, _GREY
    return figure.captioned(ground, values, title, opacity=1)


def _fitted(values: np.ndarray) -> np.ndarray:
    """A map (rows, columns) with each cell as a square, or the highest of so many cells as a pixel."""
    longest = max(values.shape)
    if longest <= LONGEST:
        side = min(LARGEST_CELL, LONGEST // longest)
        return values.repeat(side, 0).repeat(side, 1)
    cells = -(-longest // LONGEST)
    for axis in (0, 1):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], cells), axis)
    return values
