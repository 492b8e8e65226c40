"""A map of logits as a picture where the picture that it was computed from is not at hand."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vggfcn import figures

if TYPE_CHECKING:
    from vggfcn.scoring import ScoreMap

# Pixels of the map's longer side: small maps are enlarged by a whole number to at most that, larger ones shrunk.
LONGEST = 640
LARGEST_CELL = 80  # pixels of a cell's side
# Beside a narrow map there is white, so that the title and the scale have room.
LEAST_HEIGHT, LEAST_WIDTH = 120, 320
_GREY, _WHITE = 128, 255
# Of the logits that are looked at together, since a map may be a file that is larger than memory.
_VALUES = 1 << 22


def drawing(scores: "ScoreMap") -> Image.Image:
    """The map of the class that stands out most, with title and colour scale: RGB, a square for each cell.

    The longer side of the map takes at most `LONGEST` pixels. Of more cells than that, several fall on a pixel, which
    shows the highest of them, so that no peak is lost. Which class it is: see `outstanding`.
    """
    number = outstanding(scores)
    logarithms = np.concatenate([part.log_probability(number) for part in _parts(scores)])
    row, column = np.unravel_index(logarithms.argmax(), logarithms.shape)
    x, y = scores.center(int(row), int(column))
    rows, columns, classes = scores.logits.shape
    title = (
        f"class {number}: {np.exp(logarithms[row, column]):.2f} at (x, y) = ({x:.0f}, {y:.0f}); "
        f"{rows} x {columns} cells of {classes} classes"
    )
    pixels = _fitted(np.exp(logarithms).astype(np.float32))
    shape = max(pixels.shape[0], LEAST_HEIGHT), max(pixels.shape[1], LEAST_WIDTH)
    inside = np.s_[: pixels.shape[0], : pixels.shape[1]]
    values, ground = np.full(shape, np.nan, np.float32), np.full((*shape, 3), _WHITE, np.uint8)
    values[inside], ground[inside] = pixels, _GREY
    return figures.captioned(ground, values, title, opacity=1)


def outstanding(scores: "ScoreMap") -> int:
    """The class whose highest probability is furthest above its mean probability over the map.

    So it is one that is somewhere and not everywhere: a background, which wins in most cells, has little to show. Where
    no class varies, as in a single cell, it is the most probable one.
    """
    highest, total = np.zeros((2, scores.logits.shape[-1]))
    for part in _parts(scores):
        probabilities = np.exp(part.log_probabilities)
        highest = np.maximum(highest, probabilities.max((0, 1)))
        total += probabilities.sum((0, 1))
    rows, columns = scores.logits.shape[:2]
    above = highest - total / (rows * columns)
    # Rounding of the sum lifts no class above its mean.
    return int((above if above.max() > 1e-9 else highest).argmax())


def _parts(scores: "ScoreMap") -> Iterator["ScoreMap"]:
    """The map a few rows after the other; of the parts, only what cells hold is of use."""
    rows, columns, classes = scores.logits.shape
    step = max(1, _VALUES // (columns * classes))
    for first in range(0, rows, step):
        yield type(scores)(np.asarray(scores.logits[first : first + step]), scores.field)


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
