"""From a picture to a map of logits, and from cells to places on the picture."""

import dataclasses

import keras
import numpy as np

from vggfcn.geometry import Geometry, ReceptiveField
from vggfcn.interpolation import covered, interpolate
from vggfcn.receptive_fields import receptive_field


@dataclasses.dataclass(frozen=True)
class ScoreMap:
    """Logits float32 (rows, columns, classes), and where each cell lies on the picture."""

    logits: np.ndarray
    field: ReceptiveField | Geometry

    @property
    def log_probabilities(self) -> np.ndarray:
        """Logarithm of the softmax over classes, float64 (rows, columns, classes)."""
        return log_softmax(self.logits)

    def peak(self, label: int) -> tuple[int, int]:
        """(row, column) of the cell where the class is most probable."""
        scores = self.log_probabilities[..., label]
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        return int(row), int(column)

    def best(self, background: int | None = None) -> int:
        """The class that is more probable in some cell than any other class is anywhere.

        The background class is the answer only where it wins in every cell.
        """
        highest = self.log_probabilities.max((0, 1))
        if background is not None and (self.logits.argmax(-1) != background).any():
            highest[background] = -np.inf
        return int(highest.argmax())

    def center(self, row: int, column: int) -> tuple[float, float]:
        """(x, y) of the middle of what a cell sees, in pixels of the picture; pixel i's own middle is at i."""
        rows, columns = self.logits.shape[:2]
        return float(self.field.columns.centers(columns)[column]), float(self.field.rows.centers(rows)[row])

    def cell_at(self, x: float, y: float) -> tuple[int, int]:
        """(row, column) of the cell whose middle is nearest to a pixel of the picture; the outermost beyond them."""
        rows, columns = self.logits.shape[:2]
        return self.field.rows.cell_at(y, rows), self.field.columns.cell_at(x, columns)

    def window(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The native-size square that a cell stands for: (left, top, right, bottom), the last two excluded."""
        (top, bottom), (left, right) = self.field.rows.window_span(row), self.field.columns.window_span(column)
        return left, top, right, bottom

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The pixels that a cell sees: (left, top, right, bottom), the last two excluded; beyond the picture too."""
        (top, bottom), (left, right) = self.field.rows.span(row), self.field.columns.span(column)
        return left, top, right, bottom

    def heatmap(self, label: int, height: int, width: int) -> np.ndarray:
        """The class's probability brought to a picture of that size: float32 (height, width) in [0, 1]."""
        return interpolate(np.exp(self.log_probabilities[..., label]), self.field, height, width)

    def covered(self, height: int, width: int) -> np.ndarray:
        """Whether a pixel of a picture of that size lies in some cell's window: bool (height, width)."""
        rows, columns = self.logits.shape[:2]
        return covered(self.field, (rows, columns), height, width)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis, float64; keeps apart probabilities that all round to 1."""
    shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
    others = np.exp(shifted)
    np.put_along_axis(others, logits.argmax(-1)[..., None], 0, -1)
    return shifted - np.log1p(others.sum(-1, keepdims=True))


def score_map(model: keras.Model, image: np.ndarray, field: ReceptiveField | Geometry | None = None) -> ScoreMap:
    """Run a fully convolutional model on a picture, (height, width, channels) in [0, 255]: RGB, or grey as it takes.

    `field` says what each cell sees; it is read from the model's graph if it is not given.
    Raises `ValueError` if the picture is smaller than one window.
    """
    height, width = image.shape[:2]
    field = field or receptive_field(model, size=(height, width))
    least = field.rows.window, field.columns.window
    if height < least[0] or width < least[1]:
        raise ValueError(f"image: expected at least {least[0]} x {least[1]} pixels, got {height} x {width}")
    return ScoreMap(np.asarray(model.predict(image[None], verbose=0)[0]), field)
