"""The main job: one picture, two networks, the same logits; then a larger picture and a class heatmap."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from vggfcn import figure
from vggfcn.agreement import TOP, agreement, middle
from vggfcn.groups import Group
from vggfcn.localization import localize
from vggfcn.pretrained import Classifier
from vggfcn.scoring import log_softmax


@dataclasses.dataclass(frozen=True)
class Guess:
    """A class among the most probable ones of a picture."""

    index: int
    label: str
    probability: float
    logit: float


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """What came out.

    The differences are between the two networks' logits: the largest, and the largest over the largest logit.
    `peak_xy` is in pixels of the picture as read, `score` the probability there; `evaluated_size` is (width, height)
    of the picture that the map was computed on. `seconds` tells how long each part took.
    """

    max_abs_difference: float
    max_rel_difference: float
    top5_original: list[Guess]
    top5_converted: list[Guess]
    label: str
    score: float
    map_shape: tuple[int, int, int]
    peak_xy: tuple[int, int]
    evaluated_size: tuple[int, int]
    figure: Image.Image
    seconds: dict[str, float]


def demonstrate(
    classifier: Classifier,
    image: np.ndarray,
    group: Group | None,
    max_side: int,
    report: Callable[[str], None] = lambda part: None,
) -> Demonstration:
    """Compare the original and the converted network on a picture's middle, then map a class over all of it.

    `image` is RGB uint8 (height, width, 3); a network of one input channel sees it in grey. `group` None stands for
    the class that is most certain somewhere, background excepted. `report` is told each part as it begins.
    """
    clock = _Clock(report)
    crop = middle(classifier, image)
    with clock("building the original network"):
        original = classifier.build("dense")
    with clock("running the original network"):
        logits = original.predict(crop[None], verbose=0)[0]
    del original  # Of the full-size network one copy at a time is enough.
    with clock("building the converted network"):
        converted = classifier.build("conv")
    with clock("running the converted network"):
        converted_logits = converted.predict(crop[None], verbose=0)[0, 0, 0]
    with clock("computing the map"):
        found = localize(classifier, converted, image, group, max_side)
    with clock("drawing the heatmap"):
        picture = figure.figure(found.picture, found.heatmap(), found.title, found.scores.window(*found.cell))
    agreed = agreement(classifier.labels, logits, converted_logits)
    return Demonstration(
        max_abs_difference=agreed.max_abs_difference,
        max_rel_difference=agreed.max_rel_difference,
        top5_original=_top(logits, classifier),
        top5_converted=_top(converted_logits, classifier),
        label=found.group.name,
        score=found.score,
        map_shape=found.scores.logits.shape,
        peak_xy=found.peak,
        evaluated_size=found.picture.shape[1::-1],
        figure=picture,
        seconds=clock.seconds,
    )


def _top(logits: np.ndarray, classifier: Classifier) -> list[Guess]:
    probabilities = np.exp(log_softmax(logits))
    order = np.argsort(-logits)[:TOP]
    return [Guess(int(i), classifier.labels[i], float(probabilities[i]), float(logits[i])) for i in order]


class _Clock:
    """Tells and times the parts of a job."""

    def __init__(self, report: Callable[[str], None]):
        self.report = report
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Any:
        self.report(part)
        start = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - start
