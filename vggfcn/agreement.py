"""Whether the original network and the converted one say the same of a picture's middle."""

import dataclasses

import numpy as np

from vggfcn import image_resizing
from vggfcn.labels import Labels
from vggfcn.pretrained import Classifier
from vggfcn.scoring import log_softmax

TOP = 5


@dataclasses.dataclass(frozen=True)
class Pair:
    """A class's two logits, and its probability as the original network has it."""

    label: str
    probability: float
    original: float
    converted: float

    @property
    def difference(self) -> float:
        """How far the logits are apart."""
        return abs(self.converted - self.original)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The logits of a picture's middle side by side: those of the five most probable classes, as the original has them.

    The differences are the largest over all classes, and that over the largest logit.
    """

    pairs: tuple[Pair, ...]
    max_abs_difference: float
    max_rel_difference: float


def middle(classifier: Classifier, image: np.ndarray) -> np.ndarray:
    """The middle of a picture, RGB uint8 (height, width, 3), as the original takes it: (size, size, channels)."""
    crop = image_resizing.center_crop(image, classifier.architecture.native_size)
    return image_resizing.with_channels(crop, classifier.architecture.channels)


def agreement(labels: Labels, original: np.ndarray, converted: np.ndarray) -> Agreement:
    """Compare two networks' logits of one picture, float (classes,) each."""
    probabilities = np.exp(log_softmax(original))
    difference = float(np.abs(converted - original).max())
    return Agreement(
        pairs=tuple(
            Pair(labels[i], float(probabilities[i]), float(original[i]), float(converted[i]))
            for i in np.argsort(-original)[:TOP]
        ),
        max_abs_difference=difference,
        max_rel_difference=difference / float(np.abs(original).max()),
    )
