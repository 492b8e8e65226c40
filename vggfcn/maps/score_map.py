"""Score maps: logits, what they mean, and where their cells lie on the image."""

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np

from vggfcn.maps import preview
from vggfcn.maps.activations import NONE, SOFTMAX, log_probabilities, log_probability
from vggfcn.maps.geometry import Field
from vggfcn.maps.interpolation import covered, interpolate
from vggfcn.maps.scale import PROBABILITY, Scale

# Whole pixels, except on an image that was scaled for the network.
Box = tuple[float, float, float, float]
# How many logits are processed at once, since a map may be a file larger than memory.
PART = 1 << 22


@dataclasses.dataclass(frozen=True, repr=False)
class ScoreMap:
    """The output of a fully convolutional network for one image.

    - `logits`: float32 (rows, columns, classes), the network's output before its softmax or sigmoid.
    - `field`: where the cells lie on the image.
    - `engine`: the name of the engine that computed the logits, if known.
    - `activation`: "softmax" if the softmax of the logits over all classes gives the probabilities, "sigmoid" if each
      class's sigmoid gives a probability of its own, and "none" if the network's output is no probability.

    A network that ends in one sigmoid unit has two classes here: 0 is "not", and its logit is 0; 1 is what the unit
    stands for. Their softmax is the sigmoid.

    A notebook shows a score map as an image of one class, with a square for each cell.
    """

    logits: np.ndarray
    field: Field
    engine: str | None = None
    activation: str = SOFTMAX

    def __repr__(self) -> str:
        rows, columns, classes = self.logits.shape
        engine = f", by {self.engine}" if self.engine else ""
        return f"<ScoreMap of {rows} x {columns} cells, {classes} classes, {self.activation}{engine}>"

    def parts(self) -> Iterator[np.ndarray]:
        """The logits in parts of a few rows, float32 (rows, columns, classes), each small."""
        rows, columns, classes = self.logits.shape
        step = max(1, PART // max(1, columns * classes))
        for first in range(0, max(1, rows), step):
            yield np.asarray(self.logits[first : first + step])

    @property
    def log_probabilities(self) -> np.ndarray:
        """The logarithm of each class's probability, float64 (rows, columns, classes).

        Raises `ValueError` if `activation` is "none".
        """
        return log_probabilities(self.logits, self.activation)

    def log_probability(self, classes: int | Sequence[int]) -> np.ndarray:
        """The logarithm of the probability of a class, or of any of several classes: float64 (rows, columns).

        With a softmax, several classes exclude each other, and it is the log-sum-exp of their log-probabilities. It is
        computed from their odds against all other classes, so cells differ even where their probabilities all round to
        1. With sigmoids, it is the largest of the classes' log-probabilities. A class given twice counts once.

        Raises `ValueError` if no class is given, or one that the map does not have, or if `activation` is "none".
        """
        members = self._members(classes)
        return np.concatenate([log_probability(part, members, self.activation) for part in self.parts()])

    def score(self, classes: int | Sequence[int]) -> np.ndarray:
        """The probability of a class, or of any of several: float64 (rows, columns) in [0, 1].

        If `activation` is "none", it is the network's value, and of several classes the largest.
        """
        if self.activation != NONE:
            return np.exp(self.log_probability(classes))
        members = self._members(classes)
        return np.concatenate([part[..., members].max(-1) for part in self.parts()]).astype(np.float64)

    def peak(self, classes: int | Sequence[int]) -> tuple[int, int]:
        """The (row, column) of the cell where a class, or any of several classes, has the highest score."""
        scores = self.score(classes) if self.activation == NONE else self.log_probability(classes)
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        return int(row), int(column)

    def best(self, background: int | None = None) -> int:
        """The class with the highest score in any cell; `background` only if it wins in every cell."""
        highest, foreground = np.full(self.logits.shape[-1], -np.inf), False
        for part in self.parts():
            highest = np.maximum(highest, self._comparable(part).max((0, 1)))
            foreground = foreground or bool((part.argmax(-1) != background).any())
        if background is not None and foreground:
            highest[background] = -np.inf
        return int(highest.argmax())

    def most_activated(self) -> int:
        """The class with the largest mean over the map, which for a class activation map is the network's answer.

        The class of zeros of a network with a single sigmoid unit does not count.
        """
        means = self.logits.mean((0, 1), dtype=np.float64)
        means[~self.logits.any((0, 1))] = -np.inf
        return int(means.argmax())

    def outstanding(self) -> int:
        """The class whose highest score exceeds its mean over the map the most.

        Such a class is in some places and not in others, unlike a background class, which wins in most cells. If no
        class varies, as in a map of one cell, it is the class with the highest score.
        """
        highest, total = np.full(self.logits.shape[-1], -np.inf), np.zeros(self.logits.shape[-1])
        for part in self.parts():
            scores = self._comparable(part) if self.activation == NONE else np.exp(self._comparable(part))
            highest = np.maximum(highest, scores.max((0, 1)))
            total += scores.sum((0, 1))
        rows, columns = self.logits.shape[:2]
        above = highest - total / (rows * columns)
        # The tolerance ignores rounding errors of the sum.
        return int((above if above.max() > 1e-9 else highest).argmax())

    def _members(self, classes: int | Sequence[int]) -> np.ndarray:
        members, count = np.unique(classes), self.logits.shape[-1]
        if not members.size or members.dtype.kind not in "iu" or members[0] < 0 or members[-1] >= count:
            raise ValueError(f"classes: expected at least one, each from 0 to {count - 1}, got {classes}")
        return members

    def _comparable(self, part: np.ndarray) -> np.ndarray:
        """Log-probabilities, or the values themselves if they are no probabilities."""
        return part.astype(np.float64) if self.activation == NONE else log_probabilities(part, self.activation)

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
        """The score of a class, or of any of several, at each pixel: float32 (height, width).

        It is a probability in [0, 1], or a value in the network's own range if `activation` is "none".
        """
        return interpolate(self.score(classes), self.field, height, width)

    def scale(self, classes: int | Sequence[int]) -> Scale:
        """The scale to draw a heatmap with: from 0 to 1, or the range of the map's values."""
        return PROBABILITY if self.activation != NONE else Scale.of(self.score(classes))

    def covered(self, height: int, width: int) -> np.ndarray:
        """Whether each pixel of an image of a given size lies in the window of a cell: bool (height, width)."""
        rows, columns = self.logits.shape[:2]
        return covered(self.field, (rows, columns), height, width)

    def _repr_png_(self) -> bytes:
        """The image that Jupyter shows: the map of the `outstanding` class, drawn by `preview.draw`."""
        shown = self.outstanding()
        values = self.score(shown)
        row, column = np.unravel_index(values.argmax(), values.shape)
        x, y = self.center(int(row), int(column))
        rows, columns, classes = self.logits.shape
        title = (
            f"class {shown}: {values[row, column]:.2f} at (x, y) = ({x:.0f}, {y:.0f}); "
            f"{rows} x {columns} cells of {classes} classes"
        )
        png = io.BytesIO()
        preview.draw(values.astype(np.float32), title, self.scale(shown)).save(png, format="PNG")
        return png.getvalue()
