"""The demo: the original and the converted network give the same logits on one image, and then a class heatmap."""

import contextlib
import dataclasses
import time
from typing import Any

import numpy as np
from PIL import Image

from vggfcn.difference import Difference
from vggfcn.evaluation.classifier import Classifier, ClassScore
from vggfcn.evaluation.localization import localize
from vggfcn.images import resizing
from vggfcn.labels.groups import Group
from vggfcn.maps import figure
from vggfcn.progress import Status

TOP = 5


@dataclasses.dataclass(frozen=True)
class Agreement(Difference):
    """How far apart two networks' logits for one crop are, over all classes.

    `original` holds the original network's scores for its five best classes, `converted` the converted
    network's scores for the same classes in the same order.
    """

    original: list[ClassScore]
    converted: list[ClassScore]


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """The results of `demonstrate`.

    `agreement` compares the two networks, and is None if there is no original; `top5_converted` are the converted
    network's own five best classes. `label` names the class of the heatmap, `score` is its highest score, and `peak_xy`
    that cell's centre in pixels of the original image. `map_shape` is (rows, columns, classes), `evaluated_size` the
    (width, height) of the image that the map was computed on. `seconds` is the time of each part by its name.
    """

    agreement: Agreement | None
    top5_converted: list[ClassScore]
    label: str
    score: float
    map_shape: tuple[int, ...]
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
    """Compare the original and the converted network on the middle of an image, then map a class over all of it.

    - `classifier`: the weights; both networks are built from them.
    - `image`: RGB uint8 (height, width, 3); a network with one input channel gets it in grey.
    - `group`: the classes to map; None picks the class with the highest score in any cell, background excluded.
    - `max_side`: the most pixels of the longer side of the image that the map is computed on.
    - `report`: called with the name of each part as it starts.
    """
    clock = _Clock(report)
    crop = middle(classifier, image)
    logits = None
    if classifier.has_original:
        with clock("building the original network"):
            original = classifier.build("dense")
        with clock("running the original network"):
            logits = run(original, crop)
        del original  # Keep one full-size network in memory at a time.
    with clock("building the converted network"):
        converted = classifier.build("conv")
    with clock("running the converted network"):
        converted_logits = run(converted, crop)
    with clock("computing the map"):
        localization = localize(classifier, converted, image, group, max_side)
    with clock("drawing the heatmap"):
        window = localization.scores.window(*localization.cell)
        drawn = figure.figure(
            localization.image, localization.heatmap(), localization.title, window, scale=localization.scale
        )
    return Demonstration(
        agreement=None if logits is None else agreement(classifier, logits, converted_logits),
        top5_converted=classifier.scores(converted_logits, classifier.ranking(converted_logits)[:TOP]),
        label=localization.group.name,
        score=localization.score,
        map_shape=localization.map_shape,
        peak_xy=localization.peak,
        evaluated_size=localization.evaluated_size,
        figure=drawn,
        seconds=clock.seconds,
    )


def middle(classifier: Classifier, image: np.ndarray) -> np.ndarray:
    """The middle of an image, RGB uint8 (height, width, 3), as the original's input: (height, width, channels)."""
    return classifier.window(resizing.with_channels(image, classifier.channels))


def run(network: Any, crop: np.ndarray) -> np.ndarray:
    """The logits, float32 (classes,), of the original or the converted network for one image of native size."""
    logits: np.ndarray = network.predict(crop[None], verbose=0)[0]
    return logits.reshape(-1, logits.shape[-1])[0]


def agreement(classifier: Classifier, original: np.ndarray, converted: np.ndarray) -> Agreement:
    """Compare two networks' logits for one image, each float (classes,)."""
    classes = classifier.ranking(original)[:TOP]
    return Agreement(
        **dataclasses.asdict(Difference.between(original, converted)),
        original=classifier.scores(original, classes),
        converted=classifier.scores(converted, classes),
    )


class _Clock:
    """Reports and times the parts of a job."""

    def __init__(self, report: Status):
        self.report = report
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Any:
        self.report(part)
        start = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - start
