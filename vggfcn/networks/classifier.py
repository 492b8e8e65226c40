"""From the name or path of weights to a classifier that is ready to use."""

import dataclasses
import os
from typing import TYPE_CHECKING

from vggfcn.labels.custom_groups import read_groups
from vggfcn.labels.labels import Labels, labels_for, read_labels
from vggfcn.networks import registry
from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import inspect

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """What is known of a weight file, and the two networks that can be built from it.

    `opened` is the file itself, so that it need not be opened and recognised again for each network.
    """

    weights: str
    architecture: NetworkSpec
    labels: Labels
    opened: NetworkWeights

    def build(self, head: str) -> "keras.Model":
        """The network with head "dense" (the original) or "conv" (the converted one); logits out."""
        from vggfcn.networks.builders.build import (
            build_network,  # Here: bad weights are refused before TensorFlow has loaded.
        )

        return build_network(self.architecture, self.opened, BuildOptions(head))


def load(
    weights: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    groups: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Look into a weight file, given by a name in the registry or by its path, without building anything yet.

    `labels` is a file of class names (see `labels.read_labels`); by default they come with the weights. `groups` is a
    JSON file of groups of them (see `custom_groups.read_groups`).

    Raises `WeightsError` if the weights are missing, damaged, headless or of an unknown architecture, `LabelError` if
    the names cannot be read or are not as many as the classes, or if the groups are wrong.
    """
    architecture, opened = inspect(weights)
    names = opened.labels if labels is None else read_labels(labels)
    known = labels_for(architecture.classes, names)
    if groups is not None:
        known = dataclasses.replace(known, groups=read_groups(groups, known))
    return Classifier(os.fspath(weights), architecture, known, opened)


def choose(weights: str) -> tuple[str, str]:
    """The weights that "auto" stands for, and why: ImageNet's if they are on this machine, else the embedded ones."""
    if weights != "auto":
        return weights, "as asked"
    path = registry.REGISTRY["imagenet"].find()
    if path:
        return "imagenet", f"found at {path}"
    return registry.EMBEDDED, "embedded; ImageNet's are not on this machine and nothing large is downloaded unasked"
