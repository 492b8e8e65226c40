"""Where on an image a class is found: evaluated at a sensible size, told in pixels of the image as it was read."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from vggfcn.evaluation.score_map import score_map
from vggfcn.images import resizing
from vggfcn.labels.groups import Group
from vggfcn.maps.raster import Placement
from vggfcn.maps.score_map import Box, ScoreMap
from vggfcn.networks.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class CellScore:
    """One cell of a map, (row, column), and what it says of a class, or of several asked for together.

    `logit` is the class's; of several it is the log-sum-exp of theirs. `window` is the native-size square that the cell
    stands for, in pixels of the image that was evaluated, and `box` the same in pixels of the image as it was read:
    (left, top, right, bottom), the last two excluded.
    """

    cell: tuple[int, int]
    probability: float
    logit: float
    window: Box
    box: Box


@dataclasses.dataclass(frozen=True)
class Localization:
    """A class, or several asked for together, on an image.

    `image` is what was evaluated, RGB uint8 (height, width, 3): the one that was given, of `original_size`, (height,
    width), or a smaller or larger copy. `score` is the highest probability, `cell` its (row, column) on the map, and
    `peak` that cell's middle, (x, y) in pixels of the original.
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
        """What to write above the heatmap."""
        return f"{self.group.name}: {self.score:.2f}"

    @property
    def placement(self) -> Placement:
        """Where the pixels of `image`, and of the heatmap, lie on the original."""
        return Placement.between(self.image.shape, self.original_size)

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """(width, height) of the image that the network saw."""
        return self.image.shape[1::-1]

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(rows, columns, classes) of the map of logits."""
        return self.scores.logits.shape

    def heatmap(self) -> np.ndarray:
        """The probability all over `image`, float32 (height, width) in [0, 1]."""
        return self.scores.heatmap(self.group.members, *self.image.shape[:2])

    def covered_heatmap(self) -> np.ndarray:
        """`heatmap`, with NaN where no window covers the image."""
        size = self.image.shape[:2]
        return np.where(self.scores.covered(*size), self.heatmap(), np.float32(np.nan))

    def about(self, group: Group) -> "Localization":
        """The same map asked for another class, or several; nothing is evaluated again."""
        return _localization(self.image, self.original_size, self.scores, group)

    def cell_score(self, x: float, y: float) -> CellScore:
        """What the cell says whose middle is nearest to a pixel of `image`."""
        return self._cell_score(self.scores.cell_at(x, y))

    def best_cell_score(self) -> CellScore:
        """What the cell says where the class is most probable."""
        return self._cell_score(self.cell)

    def _cell_score(self, cell: tuple[int, int]) -> CellScore:
        window = left, top, right, bottom = self.scores.window(*cell)
        down, across = (read / seen for read, seen in zip(self.original_size, self.image.shape[:2], strict=True))
        return CellScore(
            cell=cell,
            probability=float(np.exp(self.scores.log_probability(self.group.members)[cell])),
            logit=float(np.logaddexp.reduce(self.scores.logits[cell][list(self.group.members)].astype(np.float64))),
            window=window,
            box=(left * across, top * down, right * across, bottom * down),
        )


def localize(
    classifier: Classifier, model: keras.Model, image: np.ndarray, group: Group | None, max_side: int, **passes: Any
) -> Localization:
    """Look for a class all over an image, RGB uint8 (height, width, 3).

    `model` is the classifier's, fully convolutional, at any output stride. `group` None stands for the class that is
    most certain somewhere, background excepted. The image is shrunk until its longer side has at most `max_side`
    pixels, and enlarged where a side is shorter than a window; `passes` are `score_map`'s scales and the like.

    Raises `ImageError` if the image would have to be enlarged beyond all measure, and what `score_map` raises.
    """
    fitted = resizing.fit(image, classifier.architecture.native_size, max_side)
    scores = score_map(model, resizing.with_channels(fitted, classifier.architecture.channels), **passes)
    group = group or classifier.labels.single(scores.best(classifier.labels.background))
    return _localization(fitted, image.shape[:2], scores, group)


def _localization(image: np.ndarray, original_size: tuple[int, ...], scores: ScoreMap, group: Group) -> Localization:
    cell = scores.peak(group.members)
    return Localization(
        image=image,
        original_size=(original_size[0], original_size[1]),
        scores=scores,
        group=group,
        score=float(np.exp(scores.log_probability(group.members)[cell])),
        cell=cell,
        peak=resizing.rescale_between(scores.center(*cell), image.shape[:2], original_size),
    )


@dataclasses.dataclass(frozen=True)
class Demand:
    """What localization takes: pixels of the image at the largest scale, and bytes of the logits that are kept."""

    pixels: int
    bytes: int


def demand(
    classifier: Classifier,
    size: tuple[int, ...],
    max_side: int,
    output_stride: int | None = None,
    scales: Sequence[float] = (1.0,),
) -> Demand:
    """What `localize` takes for an image of such a size, (height, width), before anything is built or evaluated.

    Raises `ImageError` if the image would have to be enlarged beyond all measure.
    """
    network = classifier.architecture
    sides = [round(side * max(scales)) for side in resizing.fitting_size(size, network.native_size, max_side)]
    stride = output_stride or network.receptive_field.stride
    rows, columns = (max(0, (side - network.native_size) // stride + 1) for side in sides)
    return Demand(sides[0] * sides[1], rows * columns * network.classes * np.dtype(np.float32).itemsize)
