"""Where on a picture a class is found: evaluated at a sensible size, told in pixels of the picture as it was read."""

import dataclasses
from typing import Any

import keras
import numpy as np

from vggfcn import images
from vggfcn.dense_evaluation import score_map
from vggfcn.groups import Group
from vggfcn.pretrained import Classifier
from vggfcn.rasters import Placement
from vggfcn.scoring import ScoreMap


@dataclasses.dataclass(frozen=True)
class Finding:
    """A class, or several asked for together, on a picture.

    `picture` is what was evaluated, RGB uint8 (height, width, 3): the one that was given, of `original_size`, (height,
    width), or a smaller or larger copy. `score` is the highest probability, `cell` its (row, column) on the map, and
    `peak` that cell's middle, (x, y) in pixels of the original.
    """

    picture: np.ndarray
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
        """Where the pixels of `picture`, and of the heatmap, lie on the original."""
        return Placement.between(self.picture.shape, self.original_size)

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """(width, height) of the picture that the network saw."""
        return self.picture.shape[1::-1]

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(rows, columns, classes) of the map of logits."""
        return self.scores.logits.shape

    def heatmap(self) -> np.ndarray:
        """The probability all over `picture`, float32 (height, width) in [0, 1]."""
        return self.scores.heatmap(self.group.members, *self.picture.shape[:2])

    def covered_heatmap(self) -> np.ndarray:
        """`heatmap`, with NaN where no window covers the picture."""
        size = self.picture.shape[:2]
        return np.where(self.scores.covered(*size), self.heatmap(), np.float32(np.nan))


def find(
    classifier: Classifier, model: keras.Model, image: np.ndarray, group: Group | None, max_side: int, **passes: Any
) -> Finding:
    """Look for a class all over a picture, RGB uint8 (height, width, 3).

    `model` is the classifier's, fully convolutional, at any output stride. `group` None stands for the class that is
    most certain somewhere, background excepted. The picture is shrunk until its longer side has at most `max_side`
    pixels, and enlarged where a side is shorter than a window; `passes` are `score_map`'s scales and the like.

    Raises `ImageError` if the picture would have to be enlarged beyond all measure, and what `score_map` raises.
    """
    picture = images.fit(image, classifier.architecture.native_size, max_side)
    scores = score_map(model, images.with_channels(picture, classifier.architecture.channels), **passes)
    group = group or classifier.labels.single(scores.best(classifier.labels.background))
    cell = scores.peak(group.members)
    return Finding(
        picture=picture,
        original_size=image.shape[:2],
        scores=scores,
        group=group,
        score=float(np.exp(scores.log_probability(group.members)[cell])),
        cell=cell,
        peak=images.rescale_point(scores.center(*cell), picture, image),
    )
