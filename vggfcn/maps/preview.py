"""Drawing a map on its own, without the image that it was computed from."""

import numpy as np
from PIL import Image

from vggfcn.maps import figure
from vggfcn.maps.scale import PROBABILITY, Scale

# The longest side of a drawn map, in pixels: small maps are enlarged by a whole number, larger ones shrunk.
LONGEST = 640
LARGEST_CELL = 80  # The side of a cell, in pixels.
# Narrow maps are padded with white, to leave room for the title and the scale.
LEAST_HEIGHT, LEAST_WIDTH = 120, 320
_GREY, _WHITE = 128, 255


def draw(map_values: np.ndarray, title: str, scale: Scale = PROBABILITY) -> Image.Image:
    """Draw a map of probabilities or other values, float32 (rows, columns), with a title and a colour scale, in RGB.

    Each cell is a square, and the longer side of the map has at most `LONGEST` pixels. If it has more cells, each pixel
    shows the maximum of several cells, so that no peak is lost.
    """
    pixels = _fitted(map_values)
    shape = max(pixels.shape[0], LEAST_HEIGHT), max(pixels.shape[1], LEAST_WIDTH)
    inside = np.s_[: pixels.shape[0], : pixels.shape[1]]
    values, ground = np.full(shape, np.nan, np.float32), np.full((*shape, 3), _WHITE, np.uint8)
    values[inside], ground[inside] = pixels, _GREY
    return figure.captioned(ground, values, title, opacity=1, scale=scale)


def _fitted(values: np.ndarray) -> np.ndarray:
    """Enlarge a map (rows, columns) so that each cell is a square, or shrink it by taking the maximum of blocks."""
    longest = max(values.shape)
    if longest <= LONGEST:
        side = min(LARGEST_CELL, LONGEST // longest)
        return values.repeat(side, 0).repeat(side, 1)
    cells = -(-longest // LONGEST)
    for axis in (0, 1):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], cells), axis)
    return values
