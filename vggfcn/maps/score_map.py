"""Score maps: logits, and where their cells lie on the image."""

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np

from vggfcn.maps import preview
from vggfcn.maps.geometry import Field
from vggfcn.maps.interpolation import covered, interpolate

# Whole pixels, except on an image that was scaled for the network.
Box = tuple[float, float, float, float]
# How many logits are processed at once, since a map may be a file larger than memory.
PART = 1 << 22


@dataclasses.dataclass(frozen=True)
class ScoreMap:
    """The output of a fully convolutional network for one image.

    - `logits`: float32 (rows, columns, classes).
    - `field`: where the cells lie on the image.
    - `engine`: the name of the engine that computed the logits, if known.

    A notebook shows a score map as an image of the probability of one class, with a square for each cell.
    """

    logits: np.ndarray
    field: Field
    engine: str | None = None

    def parts(self) -> Iterator[np.ndarray]:
        """The logits in parts of a few rows, float32 (rows, columns, classes), each small."""
        rows, columns, classes = self.logits.shape
        step = max(1, PART // max(1, columns * classes))
        for first in range(0, max(1, rows), step):
            yield np.asarray(self.logits[first : first + step])

    @property
    def log_probabilities(self) -> np.ndarray:
        """The logarithm of the softmax over classes, float64 (rows, columns, classes)."""
        return log_softmax(self.logits)

    def log_probability(self, classes: int | Sequence[int]) -> np.ndarray:
        """The logarithm of the probability of a class, or of any of several classes: float64 (rows, columns).

        For several classes it is the log-sum-exp of their log-probabilities. It is computed from their odds against all
        other classes, so cells differ even where their probabilities all round to 1. A class given twice counts once.
        Raises `ValueError` if no class is given, or one that the map does not have.
        """
        members, count = np.unique(classes), self.logits.shape[-1]
        if not members.size or members[0] < 0 or members[-1] >= count:
            raise ValueError(f"classes: expected at least one, each from 0 to {count - 1}, got {classes}")
        return np.concatenate([_log_probability(part, members) for part in self.parts()])

    def peak(self, classes: int | Sequence[int]) -> tuple[int, int]:
        """The (row, column) of the cell where a class, or any of several classes, is most probable."""
        scores = self.log_probability(classes)
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        return int(row), int(column)

    def best(self, background: int | None = None) -> int:
        """The class with the highest probability in any cell; `background` only if it wins in every cell."""
        highest, foreground = np.full(self.logits.shape[-1], -np.inf), False
        for part in self.parts():
            highest = np.maximum(highest, log_softmax(part).max((0, 1)))
            foreground = foreground or bool((part.argmax(-1) != background).any())
        if background is not None and foreground:
            highest[background] = -np.inf
        return int(highest.argmax())

    def outstanding(self) -> int:
        """The class whose highest probability exceeds its mean over the map the most.

        Such a class is in some places and not in others, unlike a background class, which wins in most cells. If no
        class varies, as in a map of one cell, it is the most probable class.
        """
        highest, total = np.zeros((2, self.logits.shape[-1]))
        for part in self.parts():
            probabilities = np.exp(log_softmax(part))
            highest = np.maximum(highest, probabilities.max((0, 1)))
            total += probabilities.sum((0, 1))
        rows, columns = self.logits.shape[:2]
        above = highest - total / (rows * columns)
        # The tolerance ignores rounding errors of the sum.
        return int((above if above.max() > 1e-9 else highest).argmax())

    def center(self, row: int, column: int) -> tuple[float, float]:
        """The centre (x, y) of a cell's receptive field, in pixels of the image; the centre of pixel i is at i."""
        rows, columns = self.logits.shape[:2]
        return float(self.field.columns.centers(columns)[column]), float(self.field.rows.centers(rows)[row])

    def cell_at(self, x: float, y: float) -> tuple[int, int]:
        """The (row, column) of the cell whose centre is nearest to a pixel of the image."""
        rows, columns = self.logits.shape[:2]
        return self.field.rows.cell_at(y, rows), self.field.columns.cell_at(x, columns)

    def window(self, row: int, column: int) -> Box:
        """The native-size square that a cell stands for: (left, top, right, bottom), right and bottom excluded."""
        (top, bottom), (left, right) = self.field.rows.window_span(row), self.field.columns.window_span(column)
        return left, top, right, bottom

    def box(self, row: int, column: int) -> Box:
        """The pixels that a cell reads, beyond the image too: (left, top, right, bottom), right and bottom excluded."""
        (top, bottom), (left, right) = self.field.rows.span(row), self.field.columns.span(column)
        return left, top, right, bottom

    def heatmap(self, classes: int | Sequence[int], height: int, width: int) -> np.ndarray:
        """The probability of a class, or of any of several, at each pixel: float32 (height, width) in [0, 1]."""
        return interpolate(np.exp(self.log_probability(classes)), self.field, height, width)

    def covered(self, height: int, width: int) -> np.ndarray:
        """Whether each pixel of an image of a given size lies in the window of a cell: bool (height, width)."""
        rows, columns = self.logits.shape[:2]
        return covered(self.field, (rows, columns), height, width)

    def _repr_png_(self) -> bytes:
        """The image that Jupyter shows: the map of the `outstanding` class, drawn by `preview.draw`."""
        shown = self.outstanding()
        probabilities = np.exp(self.log_probability(shown))
        row, column = np.unravel_index(probabilities.argmax(), probabilities.shape)
        x, y = self.center(int(row), int(column))
        rows, columns, classes = self.logits.shape
        title = (
            f"class {shown}: {probabilities[row, column]:.2f} at (x, y) = ({x:.0f}, {y:.0f}); "
            f"{rows} x {columns} cells of {classes} classes"
        )
        png = io.BytesIO()
        preview.draw(probabilities.astype(np.float32), title).save(png, format="PNG")
        return png.getvalue()


def _log_probability(logits: np.ndarray, members: np.ndarray) -> np.ndarray:
    if members.size == 1:
        return log_softmax(logits)[..., members[0]]
    logits = logits.astype(np.float64)
    inside = np.logaddexp.reduce(logits[..., members], -1)
    outside = np.logaddexp.reduce(np.delete(logits, members, -1), -1)
    return -np.logaddexp(0, outside - inside)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis, float64; precise even where probabilities round to 1."""
    shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
    others = np.exp(shifted)
    np.put_along_axis(others, logits.argmax(-1)[..., None], 0, -1)
    return shifted - np.log1p(others.sum(-1, keepdims=True))
