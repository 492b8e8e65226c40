"""What there is to choose from on the page: weights, classes and groups, output strides, samples."""

import dataclasses
import pathlib

from vggfcn.labels.groups import normalized, wordnet_groups
from vggfcn.labels.labels import Labels
from vggfcn.networks.classifier import Classifier, choose
from vggfcn.networks.registry import EMBEDDED, EMBEDDED_FOLDER, REGISTRY

CLEAREST = ("the clearest class", "")
SCALES = (0.75, 1.0, 1.5)
FINER = (1, 2, 4)  # times that cells may be closer together than the network's own
Choice = tuple[str, str]  # what is shown, and what is meant


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image that comes with the package, and the weights that know what is on it."""

    path: pathlib.Path
    weights: str
    title: str


SAMPLES = tuple(
    Sample(EMBEDDED_FOLDER / "scenes" / file, weights, title)
    for file, weights, title in (
        ("rocket.jpg", EMBEDDED, "six digits"),
        ("chelsea.jpg", EMBEDDED, "five digits"),
        ("no-digits.jpg", EMBEDDED, "no digits"),
        ("ten-digits.png", "mnist-lenet5", "for LeNet-5"),
    )
)


def first_weights() -> str:
    """The weights that are chosen when the page is opened."""
    return choose("auto")[0]


def weight_choices() -> list[str]:
    """The weights known by name that are on this machine, whole networks only."""
    return [name for name, entry in REGISTRY.items() if entry.classes and entry.find()]


def class_choices(labels: Labels) -> list[Choice]:
    """Classes by their usual names, then groups of several; what is meant is what `Labels.find` finds that by."""
    classes = [(labels[index], _unmistakable(labels, index)) for index in range(len(labels))]
    groups = [
        (f"{group.name} ({len(group.members)} classes)", synset.wordnet_id)
        for synset, group in wordnet_groups(labels.names)
        if len(group.members) > 1
    ]
    return [CLEAREST, *classes, *sorted(groups)]


def _unmistakable(labels: Labels, index: int) -> str:
    names = (*labels.names[index], str(index))
    return next(name for name in names if labels.classes_called(normalized(name)) == [index])


def stride_choices(classifier: Classifier) -> list[int]:
    """Pixels from cell to cell, the network's own first."""
    own = classifier.architecture.receptive_field.stride
    return [own // times for times in FINER if not own % times]
