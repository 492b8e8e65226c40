"""`Classifier`: what every command, the page and Python users take: a network, its class names, and what they mean."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vggfcn.checkpoints.formats.keras_files import ConvertedFile
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError
from vggfcn.files import check_folder, check_room, replacing_all
from vggfcn.labels.labels import Labels, labels_for
from vggfcn.maps.activations import log_probabilities
from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.temporary import libraries_tidied

if TYPE_CHECKING:
    import keras

    from vggfcn.conversion.convert import Conversion
    from vggfcn.maps.score_map import ScoreMap


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """A network's score for one class, and its logit.

    The score is the probability in [0, 1], or the network's value if its output is no probability.
    """

    index: int
    label: str
    score: float
    logit: float


class Networks(Protocol):
    """What makes a classifier's Keras models; see the methods of `Classifier`.

    `stored_activation` is what `save` notes of the output, "auto" if the last layers tell.
    """

    @property
    def conversion(self) -> "Conversion | None": ...

    @property
    def stored_activation(self) -> str: ...

    def build(self, head: str) -> "keras.Model": ...

    def without_preprocessing(self) -> "keras.Model": ...

    def to_save(self) -> "keras.Model": ...

    def window(self, pixels: np.ndarray) -> np.ndarray: ...

    def digest(self) -> str: ...


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
    _network: Networks

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
        model = self.to_save()
        check_room(path.parent, model.count_params() * 4)
        default = self.labels.names == labels_for(self.classes).names
        record = ConvertedFile(
            native_size=self.native_size,
            labels=None if default else tuple(self.labels[index] for index in range(self.classes)),
            groups={group.name: group.members for group in self.labels.groups},
            activation=self._network.stored_activation,
            preprocessing=self.preprocessing,
            reason=self.input_reason,
        )
        # Keras chooses the format by the suffix, so the name stays.
        with libraries_tidied(), replacing_all([path]) as folder:
            model.save(folder / path.name)
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
        """The classes with the highest scores for the `window` of an image, in descending order.

        Raises `ValueError` and `ImageError` as `score_map` does.
        """
        from vggfcn.images.pixels import check_range, pixels_of

        pixels = pixels_of(image, self.channels)
        check_range(pixels)
        self.check_input()
        window = self.window(pixels)
        logits = np.asarray(self.converted.predict(window[None], verbose=0))[0].reshape(-1)
        return self.scores(logits, self.ranking(logits)[:count])

    def window(self, pixels: np.ndarray) -> np.ndarray:
        """The window in the middle of an image: (height, width, channels) of native size.

        `pixels` are uint8 or float32 (height, width, channels) in [0, 255]. The largest part of the proportions that
        the original takes is scaled to its size. If the original resizes or crops its images itself, its own layers do
        that here.
        """
        return self._network.window(pixels)

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
