"""`Classifier`: what every command, the page and Python users take: a network, its class names, and what they mean."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vggfcn.checkpoints.formats.keras_files import ConvertedFile, is_model_file, read_converted
from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing, published_for, unknown_preprocessing
from vggfcn.errors import VGGFCNError, WeightsError
from vggfcn.files import check_folder, digest, joint_digest, replacing_all
from vggfcn.labels.custom_groups import groups_from, read_groups
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, labels_for, names_from, read_labels
from vggfcn.maps.activations import ACTIVATIONS, SOFTMAX, log_probabilities
from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.networks import registry
from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import inspect

if TYPE_CHECKING:
    import keras

    from vggfcn.conversion.convert import Conversion
    from vggfcn.maps.score_map import ScoreMap
    from vggfcn.networks.builders.own import OwnNetwork

AUTO = "auto"
IMAGENET = 1000  # classes
LabelSource = str | os.PathLike[str] | Sequence[str] | Mapping[str, int] | Mapping[int, str]
GroupSource = str | os.PathLike[str] | Mapping[str, Sequence[str | int]]


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """A network's score for one class, and its logit.

    The score is the probability in [0, 1], or the network's value if its output is no probability.
    """

    index: int
    label: str
    score: float
    logit: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """A classifier, in its original form and fully convolutional; the result of `load`.

    Both networks take pixels in [0, 255], RGB or grey, and return logits, whatever they were trained with: what has to
    be done to the pixels is done by stock layers at their input, and a final softmax or sigmoid is taken off.

    - `source`: the name or path that was given, or the name of the Keras model.
    - `native_size`: (height, width) in pixels of the images that the original takes. `channels` is 3 for RGB, 1 for
      grey.
    - `labels`: the class names. `field`: where the cells of the converted network's map lie.
    - `preprocessing`: what is done to pixels in [0, 255]; `input_reason` says how this is known. None if it is not: the
      networks then take what the model takes, and images cannot be evaluated.
    - `activation`: what the logits mean, "softmax", "sigmoid" or "none"; `output_reason` says how this is known.
    - `no_original`: why there is no original network to compare with, "" if there is one.
    - `notes`: what was dropped, assumed or rewritten.
    """

    source: str
    native_size: tuple[int, int]
    channels: int
    labels: Labels
    field: Geometry | ReceptiveField
    preprocessing: Preprocessing | None
    input_reason: str
    activation: str
    output_reason: str
    no_original: str
    notes: tuple[str, ...]
    _network: "_Network"

    def __repr__(self) -> str:
        height, width = self.native_size
        how = "not known" if self.preprocessing is None else str(self.preprocessing)
        return (
            f"<Classifier {self.source}: {width} x {height}, {self.channels} channel(s), preprocessing {how}; "
            f"{self.classes} classes, {self.activation}>"
        )

    @property
    def has_original(self) -> bool:
        """Whether there is an original network to compare the converted one with."""
        return not self.no_original

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def output_stride(self) -> int:
        """The distance in pixels between neighbouring cells of a row."""
        return self.field.columns.stride

    @property
    def seen_beyond_window(self) -> str:
        """How much more a cell of a map sees than its window, in words; "" if no more, as without padding."""
        height, width = self.field.rows.size, self.field.columns.size
        if height <= self.native_size[0] and width <= self.native_size[1]:
            return ""
        window = f"{self.native_size[1]} x {self.native_size[0]}"
        return f"each cell sees {width} x {height} pixels, and its window has {window}"

    @property
    def quantity(self) -> str:
        """What the scores are: "probability" or "value"."""
        return "value" if self.activation == "none" else "probability"

    @property
    def conversion(self) -> "Conversion | None":
        """The report on the conversion; None for published networks, and for a file that was converted before."""
        return self._network.conversion

    def build(self, head: str) -> "keras.Model":
        """The original network (head "dense") or the converted one ("conv"), for pixels in [0, 255]; both give logits.

        Published networks are built anew at each call, so that a caller can free one before it builds the other. Raises
        `WeightsError` if there is no original.
        """
        return self._network.build(head)

    @functools.cached_property
    def converted(self) -> "keras.Model":
        """The fully convolutional network, from `build("conv")`; kept."""
        return self.build("conv")

    @functools.cached_property
    def original(self) -> "keras.Model":
        """The original network, from `build("dense")`; kept. Raises `WeightsError` if there is none."""
        return self.build("dense")

    def without_preprocessing(self) -> "keras.Model":
        """The converted network for images as it was trained on: nothing is done to pixels; it gives logits."""
        return self._network.without_preprocessing()

    def to_save(self) -> "keras.Model":
        """The converted network for pixels in [0, 255] with its softmax or sigmoid, as `vggfcn convert` writes it."""
        return self._network.to_save()

    def digest(self) -> str:
        """The SHA-256 of the weight file, or of a Keras model's configuration and weights, in hexadecimal digits."""
        return self._network.digest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the converted network to a `.keras` file that Keras loads, and `load` with all that is known of it.

        Raises `WeightsError` if the name does not end in `.keras` or the folder is missing.
        """
        path = pathlib.Path(path)
        if path.suffix != ".keras":
            raise WeightsError(f"{path}: expected a name that ends in .keras")
        check_folder(path, "choose another folder", WeightsError)
        default = self.labels.names == labels_for(self.classes).names
        record = ConvertedFile(
            native_size=self.native_size,
            labels=None if default else tuple(self.labels[index] for index in range(self.classes)),
            groups={group.name: group.members for group in self.labels.groups},
            activation=self._network.stored_activation,
            preprocessing=self.preprocessing,
            reason=self.input_reason,
        )
        with replacing_all([path]) as folder:  # Keras chooses the format by the suffix, so the name stays.
            self.to_save().save(folder / path.name)
            record.add_to(folder / path.name)

    def score_map(self, image: Any, **options: Any) -> "ScoreMap | list[ScoreMap]":
        """The map of an image, or a list of maps for several; see `vggfcn.score_map` for images and options.

        Images are pixels in [0, 255]. Raises what `vggfcn.score_map` raises, and `ValueError` for pixels of another
        range.
        """
        from vggfcn.evaluation.score_map import score_map
        from vggfcn.graph.prologue import takes_pixels
        from vggfcn.images.opening import open_source
        from vggfcn.images.pixels import check_range, check_source, is_batch, pixels_of

        self.check_input()
        if options.get("max_memory") is not None:
            if not takes_pixels(self.converted):  # If it shows that it does, `score_map` checks them.
                check_source(open_source(image))
        else:
            batch = is_batch(image)
            images = [pixels_of(one, self.channels) for one in (image if batch else [image])]
            for pixels in images:
                check_range(pixels)
            image = images if batch else images[0]
        return score_map(self.converted, image, **{**self.passes, **options})

    def check_input(self) -> None:
        """Raise `WeightsError` if it is not known what the network takes."""
        if self.preprocessing is None:
            raise WeightsError(f"{self.source}: {self.input_reason}; load it with preprocess=")

    @property
    def passes(self) -> dict[str, Any]:
        """The arguments of `score_map` that belong to the classifier."""
        return {"activation": self.activation, "native_size": self.native_size}

    def heatmap(self, image: Any, label: str | int | None = None, **options: Any) -> np.ndarray:
        """The score of a class at each pixel of an image: float32 (height, width).

        `label` is a class or group as `Labels.find` takes it, or an index; None stands for the class with the highest
        score in any cell. `options` are those of `score_map`. Raises `LabelError` for an unknown name, and
        `ValueError` for an index out of range.
        """
        from vggfcn.images.pixels import pixels_of

        pixels = pixels_of(image, self.channels)
        scores: Any = self.score_map(pixels, **options)
        if isinstance(label, str):
            members = self.labels.find(label).members
        elif label is not None:
            members = (label,)
        elif options.get("mode") == "cam":
            members = (scores.most_activated(),)
        else:
            members = (scores.best(self.labels.background),)
        heatmap: np.ndarray = scores.heatmap(members, *pixels.shape[:2])
        return heatmap

    def top(self, image: Any, count: int = 5) -> list[ClassScore]:
        """The classes with the highest scores for a whole image, in descending order.

        The largest part of native proportions in the middle of the image is scaled to native size.
        """
        from vggfcn.images import resizing
        from vggfcn.images.pixels import check_range, pixels_of

        pixels = pixels_of(image, self.channels)
        check_range(pixels)
        self.check_input()
        crop = resizing.center_crop(pixels, self.native_size)
        logits = np.asarray(self.converted.predict(crop[None], verbose=0))[0].reshape(-1)
        return self.scores(logits, self.ranking(logits)[:count])

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The scores, float64 (..., classes), for logits (..., classes): probabilities, or the values themselves."""
        if self.quantity == "value":
            return logits.astype(np.float64)
        return np.exp(log_probabilities(logits, self.activation))

    def ranking(self, logits: np.ndarray) -> np.ndarray:
        """The indices of the classes by descending logit."""
        return np.argsort(-logits, kind="stable")

    def scores(self, logits: np.ndarray, classes: Sequence[int] | np.ndarray) -> list[ClassScore]:
        """The scores of some classes, for logits (classes,)."""
        scores = self.probabilities(logits)
        return [ClassScore(int(i), self.labels[i], float(scores[i]), float(logits[i])) for i in classes]


class _Network:
    """What builds a classifier's networks."""

    conversion: "Conversion | None" = None
    stored_activation = SOFTMAX

    def build(self, head: str) -> "keras.Model":
        raise NotImplementedError

    def without_preprocessing(self) -> "keras.Model":
        raise NotImplementedError

    def to_save(self) -> "keras.Model":
        return self.build("conv")

    def digest(self) -> str:
        raise NotImplementedError


@dataclasses.dataclass
class _Published(_Network):
    """A published network: its spec, and its open weight file, so that this is recognised only once."""

    name: str
    spec: NetworkSpec
    weights: NetworkWeights
    preprocess: bool | Preprocessing

    def build(self, head: str) -> "keras.Model":
        # Imported here so that bad weights are refused before TensorFlow loads.
        from vggfcn.networks.builders.build import build_network

        return build_network(self.spec, self.weights, BuildOptions(head, preprocess=self.preprocess))

    def without_preprocessing(self) -> "keras.Model":
        return dataclasses.replace(self, preprocess=False).build("conv")

    def digest(self) -> str:
        return digest(registry.fetch(self.name), "sha256")


@dataclasses.dataclass
class _Own(_Network):
    """A Keras model of the user's own."""

    network: "OwnNetwork"

    def __post_init__(self) -> None:
        self.conversion = self.network.conversion
        self.stored_activation = self.network.activation

    def build(self, head: str) -> "keras.Model":
        return self.network.build(head)

    def without_preprocessing(self) -> "keras.Model":
        return dataclasses.replace(self.network, preprocessing=None).build("conv")

    def to_save(self) -> "keras.Model":
        return self.network.to_save()

    def digest(self) -> str:
        model = self.network.converted
        return joint_digest([model.to_json().encode(), *map(np.asarray, model.get_weights())])


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
        _network=_Published(name, spec, opened, options),
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
    wishes: dict[str, Any],
) -> Classifier:
    """A classifier from a Keras model, or from the path of its file."""
    from vggfcn.conversion.logits import ending
    from vggfcn.graph.receptive_fields import receptive_field
    from vggfcn.networks.builders.model_files import load_model, refuse_foreign
    from vggfcn.networks.builders.own import Wishes, own_network

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
        network = own_network(model, Wishes(preprocess, **wishes), stored, notes, path)
    except (VGGFCNError, ValueError) as error:
        reason = str(error).removeprefix(f"{name}: ").removeprefix(f"{model.name}: ")
        raise type(error)(f"{name}: {reason}") from error
    end = ending(network.converted, network.activation)
    known = stored.labels if stored else None
    stated = stored is not None and wishes["activation"] == AUTO
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
        _network=_Own(network),
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
