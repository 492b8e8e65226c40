"""Find where on an image a class is: evaluated at a suitable size, reported in pixels of the original image."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.score_map import score_map
from vggfcn.images import resizing
from vggfcn.labels.groups import Group
from vggfcn.maps.activations import SOFTMAX
from vggfcn.maps.raster import Placement
from vggfcn.maps.scale import Scale
from vggfcn.maps.score_map import Box, ScoreMap


@dataclasses.dataclass(frozen=True)
class CellScore:
    """The score of one cell, (row, column), for a group of classes.

    `score` is the probability in [0, 1], or the network's value if its output is no probability. `logit` is the class's
    logit; of several classes, the log-sum-exp under a softmax, and the largest otherwise. `window` is the cell's
    native-size rectangle in pixels of the evaluated image, and `box` the same in pixels of the original image: (left,
    top, right, bottom), the last two exclusive.
    """

    cell: tuple[int, int]
    score: float
    logit: float
    window: Box
    box: Box


@dataclasses.dataclass(frozen=True)
class Localization:
    """Where on an image a group of classes is.

    `image` is the evaluated image, RGB uint8 (height, width, 3): the original, whose (height, width) is
    `original_size`, or a resized copy of it. `score` is the highest score of a cell, `cell` its (row, column) on the
    map, and `peak` that cell's centre, (x, y) in pixels of the original.
    """

    image: np.ndarray
    original_size: tuple[int, int]
    scores: ScoreMap
    group: Group
    score: float
    cell: tuple[int, int]
    peak: tuple[int, int]

    @property
    def title(self) -> str:
        """The title of the heatmap: the group and its highest score."""
        return f"{self.group.name}: {self.score:.2f}"

    @property
    def placement(self) -> Placement:
        """Where the pixels of `image` and of the heatmap lie on the original."""
        return Placement.between(self.image.shape, self.original_size)

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """(width, height) of the evaluated image."""
        return self.image.shape[1::-1]

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(rows, columns, classes) of the map of logits."""
        return self.scores.logits.shape

    def heatmap(self) -> np.ndarray:
        """The score at each pixel of `image`, float32 (height, width)."""
        return self.scores.heatmap(self.group.members, *self.image.shape[:2])

    @property
    def scale(self) -> Scale:
        """The scale of the heatmap."""
        return self.scores.scale(self.group.members)

    def covered_heatmap(self) -> np.ndarray:
        """`heatmap` with NaN at pixels that no window covers."""
        size = self.image.shape[:2]
        return np.where(self.scores.covered(*size), self.heatmap(), np.float32(np.nan))

    def about(self, group: Group) -> "Localization":
        """The localization of another group on the same map; nothing is evaluated again."""
        return _localization(self.image, self.original_size, self.scores, group)

    def cell_score(self, x: float, y: float) -> CellScore:
        """The score of the cell whose centre is nearest to the pixel (x, y) of `image`."""
        return self._cell_score(self.scores.cell_at(x, y))

    def best_cell_score(self) -> CellScore:
        """The score of the cell with the highest one."""
        return self._cell_score(self.cell)

    def _cell_score(self, cell: tuple[int, int]) -> CellScore:
        window = left, top, right, bottom = self.scores.window(*cell)
        logits = self.scores.logits[cell][list(self.group.members)].astype(np.float64)
        down, across = (side / seen for side, seen in zip(self.original_size, self.image.shape[:2], strict=True))
        return CellScore(
            cell=cell,
            score=float(self.scores.score(self.group.members)[cell]),
            logit=float(np.logaddexp.reduce(logits) if self.scores.activation == SOFTMAX else logits.max()),
            window=window,
            box=(left * across, top * down, right * across, bottom * down),
        )


def localize(
    classifier: Classifier, model: keras.Model, image: np.ndarray, group: Group | None, max_side: int, **passes: Any
) -> Localization:
    """Find a group of classes on an image.

    - `classifier`: the weights and their class names.
    - `model`: the classifier's fully convolutional model, at any output stride.
    - `image`: RGB uint8 (height, width, 3). It is shrunk until its longer side has at most `max_side` pixels, and
      enlarged if a side is shorter than a window.
    - `group`: the classes; None picks the class with the highest score in any cell, background excluded.
    - `max_side`: the most pixels of the longer side.
    - `passes`: further arguments of `score_map`, such as `scales` and `engine`.

    Raises `ImageError` if the image is so narrow that enlarging it would make it far too large, and whatever
    `score_map` raises.
    """
    fitted = resizing.fit(image, classifier.native_size, max_side)
    pixels = resizing.with_channels(fitted, classifier.channels)
    scores = score_map(model, pixels, **{**classifier.passes, **passes})
    if group is None and passes.get("mode") == "cam":
        group = classifier.labels.single(scores.most_activated())
    group = group or classifier.labels.single(scores.best(classifier.labels.background))
    return _localization(fitted, image.shape[:2], scores, group)


def _localization(image: np.ndarray, original_size: tuple[int, ...], scores: ScoreMap, group: Group) -> Localization:
    cell = scores.peak(group.members)
    return Localization(
        image=image,
        original_size=(original_size[0], original_size[1]),
        scores=scores,
        group=group,
        score=float(scores.score(group.members)[cell]),
        cell=cell,
        peak=resizing.rescale_between(scores.center(*cell), image.shape[:2], original_size),
    )


@dataclasses.dataclass(frozen=True)
class Demand:
    """What a localization needs: pixels of the image at the largest scale, and bytes of logits."""

    pixels: int
    bytes: int


def demand(
    classifier: Classifier,
    size: tuple[int, ...],
    max_side: int,
    output_stride: int | None = None,
    scales: Sequence[float] = (1.0,),
) -> Demand:
    """Compute what `localize` would need for an image of `size`, without building or evaluating anything.

    - `classifier`, `max_side`: as for `localize`.
    - `size`: (height, width) of the original image in pixels.
    - `output_stride`: the model's, in pixels; None stands for the network's own.
    - `scales`: `score_map`'s.

    Raises `ImageError` as `localize` does.
    """
    native = classifier.native_size
    sides = [round(side * max(scales)) for side in resizing.fitting_size(size, native, max_side)]
    stride = output_stride or classifier.output_stride
    rows, columns = (max(0, (side - window) // stride + 1) for side, window in zip(sides, native, strict=True))
    return Demand(sides[0] * sides[1], rows * columns * classifier.classes * np.dtype(np.float32).itemsize)
