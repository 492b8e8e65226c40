"""What the page offers to choose from: weights, classes and groups, output strides, sample images."""

import dataclasses
import pathlib

from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.loading import choose
from vggfcn.labels.groups import normalized, wordnet_groups
from vggfcn.labels.labels import Labels
from vggfcn.networks.registry import EMBEDDED, EMBEDDED_FOLDER, REGISTRY

MOST_PROBABLE = ("the most probable class", "")
SCALES = (0.75, 1.0, 1.5)
STRIDE_DIVISORS = (1, 2, 4)  # of the network's own stride
Choice = tuple[str, str]  # the text that is shown, and the value it stands for


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image that comes with the package, and the weights to use on it."""

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


def default_weights() -> str:
    """The weights that are selected when the page opens, for an image that somebody will drop."""
    return choose("auto", ["an image"])[0]


def weight_choices() -> list[str]:
    """The names of the known weights that are on this machine, without those that lack a head."""
    return [name for name, entry in REGISTRY.items() if entry.classes and entry.find()]


def class_choices(labels: Labels) -> list[Choice]:
    """The classes, then the groups of several classes. `Labels.find` takes each choice's value."""
    classes = [(labels[index], _unique_name(labels, index)) for index in range(len(labels))]
    groups = [
        (f"{group.name} ({len(group.members)} classes)", synset.wordnet_id)
        for synset, group in wordnet_groups(labels.names)
        if len(group.members) > 1
    ]
    return [MOST_PROBABLE, *classes, *sorted(groups)]


def _unique_name(labels: Labels, index: int) -> str:
    """The first name of a class that no other class shares; its index if it has none."""
    names = (*labels.names[index], str(index))
    return next(name for name in names if labels.classes_called(normalized(name)) == [index])


def stride_choices(classifier: Classifier) -> list[int]:
    """Output strides in pixels, the network's own first."""
    own = classifier.output_stride
    return [own // divisor for divisor in STRIDE_DIVISORS if not own % divisor]
