"""Try every known preprocessing of a classifier on labelled images, to see which one it was trained with."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from vggfcn.checkpoints.preprocessing import CHOICES, Preprocessing, parse_preprocessing
from vggfcn.errors import EvaluationError, ImageError
from vggfcn.evaluation.accuracy.dataset import LabelledImage
from vggfcn.evaluation.classifier import Classifier
from vggfcn.images import reading, resizing
from vggfcn.progress import Progress

BATCH = 16
# How often chance may look like a difference between two trials.
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Trial:
    """How well a classifier does with one preprocessing.

    `preprocess` is its name; `right` of `images` images got their class, a share of `top1`. `mean_score` is the mean
    probability of the true class, None if the network's values are no probabilities: such values grow with the range of
    the input, so they say nothing. `worse` says whether the images show that another preprocessing is better.
    """

    preprocess: str
    right: int
    images: int
    top1: float
    mean_score: float | None
    worse: bool


def try_preprocessing(
    classifier: Classifier, images: Sequence[LabelledImage], progress: Progress = lambda done, total: None
) -> list[Trial]:
    """Classify the middle of each image with every preprocessing of `CHOICES`, and the one that the classifier has.

    The trial with the most images right comes first.

    - `classifier`: what it does to pixels is left out, unless layers of the network itself do it.
    - `images`: as `list_images` returns them. Those that cannot be read are left out.
    - `progress`: called with the number of images finished, and their total.

    A trial is worse than the first if a sign test on the images that only one of them gets right says so at 5 %.

    Raises `EvaluationError` if no image can be read.
    """
    network, choices = classifier.without_preprocessing(), _choices(classifier.channels, classifier.preprocessing)
    right: dict[str, list[np.ndarray]] = {name: [] for name in choices}
    score = dict.fromkeys(choices, 0.0)
    unreadable = ""
    for start in range(0, len(images), BATCH):
        crops, labels = [], []
        for image in images[start : start + BATCH]:
            try:
                pixels = reading.read_image(image.path)
            except ImageError as error:
                unreadable = unreadable or str(error)
                continue
            crops.append(classifier.window(resizing.with_channels(pixels, classifier.channels)))
            labels.append(image.label)
        for name, preprocessing in choices.items() if crops else ():
            batch = np.stack([_prepared(crop, preprocessing) for crop in crops])
            logits = np.asarray(network.predict(batch, verbose=0))[:, 0, 0]
            right[name].append(logits.argmax(-1) == labels)
            score[name] += float(classifier.probabilities(logits)[range(len(labels)), labels].sum())
        progress(min(start + BATCH, len(images)), len(images))
    if not any(right.values()):
        raise EvaluationError(f"none of {len(images)} images could be read; the first: {unreadable}")
    return _ranked({name: np.concatenate(parts) for name, parts in right.items()}, score, classifier.quantity)


def _ranked(right: dict[str, np.ndarray], score: dict[str, float], quantity: str) -> list[Trial]:
    """The trials in descending order, from which images each gets right and the sum of its scores."""
    probable = quantity == "probability"
    names = sorted(right, key=lambda name: (right[name].sum(), score[name] if probable else 0), reverse=True)
    best = right[names[0]]
    return [
        Trial(
            *(name, int(right[name].sum()), len(best), float(right[name].mean())),
            score[name] / len(best) if probable else None,
            _sign_test(int((best & ~right[name]).sum()), int((right[name] & ~best).sum())) < LEVEL,
        )
        for name in names
    ]


def _sign_test(wins: int, losses: int) -> float:
    """The probability of at least so many wins if wins and losses were equally likely."""
    trials = wins + losses
    return sum(math.comb(trials, count) for count in range(wins, trials + 1)) / 2**trials


def verdict(trials: Sequence[Trial]) -> str:
    """What the trials show: the one that fits best, or those between which the images do not decide."""
    *others, last = (trial.preprocess for trial in trials if not trial.worse)
    if not others:
        return f"{last} fits best"
    return (
        f"{trials[0].images} images do not decide between {', '.join(others)} and {last}; give more, or look where the "
        "network was trained"
    )


def _choices(channels: int, asked: Preprocessing | None) -> dict[str, Preprocessing]:
    """What to try, by name: what exists for this number of channels, and what the user asked for."""
    found = {}
    for name in CHOICES:
        try:
            found[name] = parse_preprocessing(name, channels)
        except ValueError:  # Not for this number of channels, or numbers that would have to be given.
            continue
    if asked is not None and asked not in found.values():
        found[str(asked)] = asked
    return found


def _prepared(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    mean, std = (np.array(numbers, np.float32) for numbers in (preprocessing.mean, preprocessing.std))
    values = (image.astype(np.float32) - mean) / std
    return values[..., ::-1] if preprocessing.color_order == "BGR" else values
