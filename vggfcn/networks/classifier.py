"""`Classifier`: the weights, class names and networks that belong to a weight file, given by name or path."""

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
    """A weight file's network and class names, and the two Keras models that can be built from it.

    `weights` is the name or path that was given. `opened` is the open file, so that it is recognised only once.
    """

    weights: str
    architecture: NetworkSpec
    labels: Labels
    opened: NetworkWeights

    def build(self, head: str) -> "keras.Model":
        """The original network (head "dense") or the converted one (head "conv"); both give logits."""
        # Imported here so that bad weights are refused before TensorFlow loads.
        from vggfcn.networks.builders.build import build_network

        return build_network(self.architecture, self.opened, BuildOptions(head))


def load(
    weights: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    groups: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Open a weight file, given by its path or by a name of `list_weights`, without building a network yet.

    `labels` is the path of a file with class names (see `read_labels`); by default the names come with the weights.
    `groups` is the path of a JSON file with groups of classes (see `read_groups`).

    Raises `WeightsError` if the weights are missing, damaged, without a head or of an unknown architecture, and
    `LabelError` if the names or groups cannot be read, or if there is not one name per class.
    """
    architecture, opened = inspect(weights)
    names = opened.labels if labels is None else read_labels(labels)
    class_labels = labels_for(architecture.classes, names)
    if groups is not None:
        class_labels = dataclasses.replace(class_labels, groups=read_groups(groups, class_labels))
    return Classifier(os.fspath(weights), architecture, class_labels, opened)


def choose(weights: str) -> tuple[str, str]:
    """The weights to use, and why. "auto" means ImageNet's if they are on this machine, else the bundled ones."""
    if weights != "auto":
        return weights, "as asked"
    path = registry.REGISTRY["imagenet"].find()
    if path:
        return "imagenet", f"found at {path}"
    return (
        registry.EMBEDDED,
        "bundled; ImageNet's are not on this machine, and large files are downloaded only if you ask",
    )
