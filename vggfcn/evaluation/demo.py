"""The main job: one image, two networks, the same logits; then a larger image and a class heatmap."""

import contextlib
import dataclasses
import time
from typing import Any

import numpy as np
from PIL import Image

from vggfcn.difference import Difference
from vggfcn.evaluation.localization import localize
from vggfcn.images import resizing
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels
from vggfcn.maps import figure
from vggfcn.maps.score_map import log_softmax
from vggfcn.networks.classifier import Classifier
from vggfcn.progress import Status

TOP = 5


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """What a network says of one class of an image: its probability in [0, 1], and its logit."""

    index: int
    label: str
    probability: float
    logit: float


@dataclasses.dataclass(frozen=True)
class Agreement(Difference):
    """How far two networks' logits of an image's middle are apart, over all classes.

    `original` are the five most probable classes as the original network has them, `converted` the same ones, in the
    same order, as the converted network has them.
    """

    original: list[ClassScore]
    converted: list[ClassScore]


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """What came out.

    `agreement` is that of the two networks; in `top5_converted` are the converted one's own most probable classes.
    `peak_xy` is in pixels of the image as read, `score` the probability there; `evaluated_size` is (width, height)
    of the image that the map was computed on. `seconds` tells how long each part took.
    """

    agreement: Agreement
    top5_converted: list[ClassScore]
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
    report: Status = lambda part: None,
) -> Demonstration:
    """Compare the original and the converted network on an image's middle, then map a class over all of it.

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
        drawn = figure.figure(found.image, found.heatmap(), found.title, found.scores.window(*found.cell))
    return Demonstration(
        agreement=agreement(classifier.labels, logits, converted_logits),
        top5_converted=_scores(classifier.labels, converted_logits, _top(converted_logits)),
        label=found.group.name,
        score=found.score,
        map_shape=found.scores.logits.shape,
        peak_xy=found.peak,
        evaluated_size=found.image.shape[1::-1],
        figure=drawn,
        seconds=clock.seconds,
    )


def middle(classifier: Classifier, image: np.ndarray) -> np.ndarray:
    """The middle of an image, RGB uint8 (height, width, 3), as the original takes it: (size, size, channels)."""
    crop = resizing.center_crop(image, classifier.architecture.native_size)
    return resizing.with_channels(crop, classifier.architecture.channels)


def agreement(labels: Labels, original: np.ndarray, converted: np.ndarray) -> Agreement:
    """Compare two networks' logits of one image, float (classes,) each."""
    classes = _top(original)
    return Agreement(
        **dataclasses.asdict(Difference.between(original, converted)),
        original=_scores(labels, original, classes),
        converted=_scores(labels, converted, classes),
    )


def _top(logits: np.ndarray) -> np.ndarray:
    """The most probable classes' indices."""
    return np.argsort(-logits)[:TOP]


def _scores(labels: Labels, logits: np.ndarray, classes: np.ndarray) -> list[ClassScore]:
    probabilities = np.exp(log_softmax(logits))
    return [ClassScore(int(i), labels[i], float(probabilities[i]), float(logits[i])) for i in classes]


class _Clock:
    """Tells and times the parts of a job."""

    def __init__(self, report: Status):
        self.report = report
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Any:
        self.report(part)
        start = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - start
