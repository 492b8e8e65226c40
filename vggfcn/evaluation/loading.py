"""`load` makes a `Classifier` of a name, a file or a Keras model; `choose` picks the weights that "auto" stands for."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vggfcn.checkpoints.formats.keras_files import is_model_file, read_converted
from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing, published_for, unknown_preprocessing
from vggfcn.errors import VGGFCNError, WeightsError
from vggfcn.evaluation.classifier import Classifier
from vggfcn.files import digest
from vggfcn.images import resizing
from vggfcn.labels.custom_groups import groups_from, read_groups
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, labels_for, names_from, read_labels
from vggfcn.maps.activations import ACTIVATIONS, SOFTMAX
from vggfcn.networks import registry
from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import inspect

if TYPE_CHECKING:
    import keras

AUTO = "auto"
IMAGENET = 1000  # classes
LabelSource = str | os.PathLike[str] | Sequence[str] | Mapping[str, int] | Mapping[int, str]
GroupSource = str | os.PathLike[str] | Mapping[str, Sequence[str | int]]


def load(
    source: "str | os.PathLike[str] | keras.Model",
    *,
    labels: LabelSource | None = None,
    groups: GroupSource | None = None,
    preprocess: str | Preprocessing | None = AUTO,
    activation: str = AUTO,
    input_shape: int | Sequence[int] | None = None,
    keep_global: bool = False,
    architecture: str | os.PathLike[str] | None = None,
    output: str | None = None,
) -> Classifier:
    """Load a classifier: the one thing that every command and the page take.

    - `source`: a name of `list_weights`; the path of a weight file of a published network; of a Keras model, `.keras`
      or `.h5`, original or converted by `vggfcn convert`; or a Keras model.
    - `labels`: class names, as a list, a mapping of names to indices such as Keras's `class_indices` or of indices to
      names, or the path of a file (see `read_labels`). By default they come with the file.
      One name X for a network with a single sigmoid unit stands for "not X" and X.
    - `groups`: groups of classes, as a mapping or the path of a JSON file (see `read_groups`).
    - `preprocess`: what the network was trained on: "raw", "0..1", "-1..1" or "tf", "caffe", "torch",
      "mean=..,std=..", or a `Preprocessing`. It is only needed if neither the network's own layers nor the weights
      tell: nothing is assumed. None is for uses that need no image, such as `Classifier.save`: what is not known stays
      so, and the networks' input stays as it is.
    - `activation`: what the output means: see `vggfcn.score_map`. If the last layers do not tell, a loss with
      `from_logits=True` does, in the file or of the compiled model.
    - `input_shape`: the native size, such as 224 or (224, 224, 3), if the model leaves it open.
    - `keep_global`: keep layers that depend on the whole image; see `convert`.
    - `architecture`: for a file that holds only weights: the path of a model's configuration (`model.to_json()`), or a
      name of keras.applications.
    - `output`: the name of the output to map, if the model has several.

    Published networks are opened without loading TensorFlow. Other models are converted, with a proof that they are
    still the same.

    Raises `WeightsError` if the file is missing, damaged or not understood, or if nothing tells how the network's input
    is prepared; `ConversionError` if a layer cannot be converted exactly; `LabelError` if names or groups do not fit;
    `ValueError` for options that do not fit the network.

    >>> classifier = load("classifier.keras", labels=["cat", "dog"], preprocess="0..1")
    >>> classifier.top("photo.jpg")[0].label
    'dog'
    """
    own = {"activation": activation, "input_shape": input_shape, "keep_global": keep_global, "output": output}
    if not isinstance(source, str | os.PathLike):
        return _own(source, architecture, labels, groups, preprocess, own)
    name = os.fspath(source)
    if not name:
        raise WeightsError("expected the name or path of weights, got an empty text")
    path = pathlib.Path(name)
    if name in registry.REGISTRY and architecture is not None:
        raise ValueError(f"architecture: expected none for {name}, whose network is known, got {architecture!s}")
    if name not in registry.REGISTRY and (architecture is not None or path.is_dir() or is_model_file(path)):
        return _own(path, architecture, labels, groups, preprocess, own)
    return _published(name, labels, groups, preprocess, own)


@dataclasses.dataclass
class Published:
    """A published network: its spec, and its open weight file, so that this is recognised only once.

    It builds what a `Classifier` needs; see the methods of that class.
    """

    name: str
    spec: NetworkSpec
    weights: NetworkWeights
    preprocess: bool | Preprocessing
    conversion = None
    stored_activation = SOFTMAX

    def build(self, head: str) -> "keras.Model":
        # Imported here so that bad weights are refused before TensorFlow loads.
        from vggfcn.networks.builders.build import build_network

        return build_network(self.spec, self.weights, BuildOptions(head, preprocess=self.preprocess))

    def without_preprocessing(self) -> "keras.Model":
        return dataclasses.replace(self, preprocess=False).build("conv")

    def to_save(self) -> "keras.Model":
        return self.build("conv")

    def window(self, pixels: np.ndarray) -> np.ndarray:
        return resizing.center_crop(pixels, (self.spec.native_size, self.spec.native_size))

    def digest(self) -> str:
        return digest(registry.fetch(self.name), "sha256")


def _published(
    name: str, labels: LabelSource | None, groups: GroupSource | None, preprocess: str | Preprocessing | None, own: Any
) -> Classifier:
    spec, opened = inspect(name)
    native = spec.native_size, spec.native_size
    _check_published(name, spec, own)
    chosen, reason = opened.preprocessing, opened.preprocessing_reason
    options: bool | Preprocessing = chosen is not None
    if preprocess not in (AUTO, None):
        chosen = parse_preprocessing(preprocess, spec.channels) if isinstance(preprocess, str) else preprocess
        reason, options = "as asked", chosen
    elif chosen is None and preprocess == AUTO:
        raise unknown_preprocessing(name, published_for(getattr(opened, "likely_preprocessing", None)))
    return Classifier(
        source=name,
        native_size=native,
        channels=spec.channels,
        labels=_labels(spec.classes, labels, groups, opened.labels),
        field=spec.receptive_field,
        preprocessing=chosen,
        input_reason=reason,
        activation=SOFTMAX if own["activation"] == AUTO else own["activation"],
        output_reason=f"{spec.name} returns logits" if own["activation"] == AUTO else "as asked",
        no_original="",
        notes=(),
        _network=Published(name, spec, opened, options),
    )


def _check_published(name: str, spec: NetworkSpec, own: dict[str, Any]) -> None:
    """Refuse options that mean nothing for a published network."""
    shape = own["input_shape"]
    sides = {shape} if isinstance(shape, int) else set(shape or ())
    if not sides <= {spec.native_size, spec.channels}:
        raise ValueError(f"input_shape: got {shape}, but the native size of {name} is {spec.native_size}")
    if own["activation"] not in (AUTO, *ACTIVATIONS):
        raise ValueError(f"activation: expected {', '.join((AUTO, *ACTIVATIONS))}, got {own['activation']!r}")
    if own["output"] is not None:
        raise ValueError(f"output: expected none, because {name} has a single output; got {own['output']!r}")


def _own(
    source: Any,
    architecture: str | os.PathLike[str] | None,
    labels: LabelSource | None,
    groups: GroupSource | None,
    preprocess: str | Preprocessing | None,
    options: dict[str, Any],
) -> Classifier:
    """A classifier from a Keras model, or from the path of its file."""
    from vggfcn.conversion.logits import ending
    from vggfcn.graph.receptive_fields import receptive_field
    from vggfcn.networks.builders.model_files import load_model, refuse_foreign
    from vggfcn.networks.builders.own import LoadOptions, own_network

    stored, notes = None, tuple[str, ...]()
    if isinstance(source, pathlib.Path):
        model, notes = load_model(source, architecture=architecture)
        stored = read_converted(source) if architecture is None and source.is_file() else None
        name = str(source)
    else:
        refuse_foreign(source)
        if not hasattr(source, "name"):
            raise TypeError(f"expected the name or path of weights, or a Keras model, got {type(source).__name__}")
        if architecture is not None:
            raise ValueError("architecture: expected a weight file with it, got a model")
        model, name = source, source.name
    try:
        path = name if isinstance(source, pathlib.Path) else ""
        network = own_network(model, LoadOptions(preprocess, **options), stored, notes, path)
    except (VGGFCNError, ValueError) as error:
        reason = str(error).removeprefix(f"{name}: ").removeprefix(f"{model.name}: ")
        raise type(error)(f"{name}: {reason}") from error
    end = ending(network.converted, network.activation)
    known = stored.labels if stored else None
    stated = stored is not None and options["activation"] == AUTO
    class_labels = _labels(int(end.model.outputs[0].shape[-1]), labels, groups, known, end.single_unit)
    if stored and groups is None:
        if any(not 0 <= member < len(class_labels) for members in stored.groups.values() for member in members):
            raise WeightsError(f"{name}: its groups have classes that the network does not have")
        own_groups = tuple(Group(title, members) for title, members in stored.groups.items())
        class_labels = dataclasses.replace(class_labels, groups=own_groups)
    return Classifier(
        source=name,
        native_size=network.native_size,
        channels=network.channels,
        labels=class_labels,
        field=receptive_field(network.converted, keep_global=True),
        preprocessing=network.preprocessing,
        input_reason=network.input_reason,
        activation=end.activation,
        output_reason="stated in the file" if stated and end.reason == "as asked" else network.loss or end.reason,
        no_original=network.no_original,
        notes=(*network.notes, *_notes_on_labels(class_labels, labels, known)),
        _network=network,
    )


def _notes_on_labels(used: Labels, *given: object) -> tuple[str, ...]:
    if len(used) == IMAGENET and all(names is None for names in given):
        return (
            "it has 1000 classes, so they are called by ImageNet's names; if they are others, give --labels (labels=)",
        )
    return ()


def _labels(
    classes: int,
    given: LabelSource | None,
    groups: GroupSource | None,
    known: tuple[str, ...] | None,
    single_unit: bool = False,
) -> Labels:
    """The class names that were given, or those that came with the network."""
    if given is None:
        names = known
    else:
        names = read_labels(given) if isinstance(given, str | os.PathLike) else names_from(given)
        if single_unit and len(names) == 1:
            names = (f"not {names[0]}", names[0])
    labels = labels_for(classes, names)
    if groups is None:
        return labels
    own = groups_from(groups, labels) if isinstance(groups, Mapping) else read_groups(groups, labels)
    return dataclasses.replace(labels, groups=own)


def choose(weights: str, images: Sequence[str | os.PathLike[str]] = ()) -> tuple[str, str]:
    """The weights to use, and why.

    "auto" means ImageNet's VGG16 if it is on this machine. Otherwise it depends on the images: the bundled digits for
    the sample scenes and where there is no image, and for other photographs ImageNet's EfficientNet-Lite0 if its
    package is installed.
    """
    if weights != AUTO:
        return weights, "as asked"
    if path := registry.REGISTRY["imagenet"].find():
        return "imagenet", f"found at {path}"
    scenes = (registry.EMBEDDED_FOLDER / "scenes").resolve()
    if all(scenes in pathlib.Path(image).resolve().parents for image in images):
        return registry.EMBEDDED, "bundled" + (", made for the sample scenes" if images else "")
    if registry.REGISTRY[registry.PACKAGED].find():
        return registry.PACKAGED, "ImageNet's classes, for photographs; its package is installed"
    return (
        registry.EMBEDDED,
        "bundled; ImageNet's are not on this machine, and large files are downloaded only if you ask",
    )
