"""Measure top-1 and top-5 error as in Simonyan & Zisserman 2014, sections 3.2 and 4: densely, and over crops.

Each image is scaled, without changing its proportions, until its shorter side has Q pixels, at each of three scales Q.
In the order of the computation:

1. Dense, one Q: the converted network computes a map of logits for the whole scaled image. "The class score map is
   spatially averaged": the logits are averaged over all cells. We read "class scores" as the values before the softmax,
   since the paper mentions "the soft-max class posteriors" separately, one step later.
2. "The soft-max class posteriors of the original and flipped images are averaged": the softmax of the image's mean
   logits, and that of its mirror image.
3. Dense, three Q: the results of step 2 are averaged over the scales.
4. Crops: native-size crops on a regular 5 x 5 grid from border to border, each also mirrored, at three Q: 150 crops.
   The softmax of each crop is taken, and all of them are averaged.
5. Both: the mean of the results of steps 3 and 4.

The converted network computes all of it: on a native-size crop its map is a single cell, which holds the original
network's logits, as `vggfcn.verify` proves.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vggfcn.engines.engine import engine_of
from vggfcn.errors import EvaluationError, ImageError
from vggfcn.evaluation.accuracy.dataset import LabelledImage
from vggfcn.evaluation.accuracy.results import Guesses, ResultsFile
from vggfcn.evaluation.classifier import Classifier
from vggfcn.images import reading, resizing
from vggfcn.maps.activations import NONE, SOFTMAX, log_probabilities
from vggfcn.progress import Progress

# A batch of images -> their maps of logits, (batch, rows, columns, classes).
Network = Callable[[np.ndarray], Any]
GRID = 5  # crops along each side
TOP = 5
SCALES = 3
# The protocols in the order of the paper's table, after the centre crop, which is there for reference.
CENTER_CROP = "center_crop"
PROTOCOLS = (CENTER_CROP, "dense_single_scale", "dense_multi_scale", "multi_crop", "multi_crop_and_dense")


@dataclasses.dataclass(frozen=True)
class Errors:
    """A row of the table: the number of images classified wrongly by a protocol, and their share in [0, 1].

    With five classes or fewer the top-5 fields are None, since five guesses cannot be wrong.
    """

    protocol: str
    top1_errors: int
    top1_error: float
    top5_errors: int | None
    top5_error: float | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The errors by protocol over `images` images, and the engine that ran the network.

    `unreadable` says why images were left out, by their names.
    """

    rows: list[Errors]
    images: int
    unreadable: dict[str, str]
    engine: str


def default_sizes(native_size: int) -> tuple[int, ...]:
    """The scales Q for a network: the paper's 256, 384 and 512 for a native size of 224, others in proportion."""
    return tuple(round(native_size * numerator / 7) for numerator in (8, 12, 16))


def evaluate(
    classifier: Classifier,
    images: Sequence[LabelledImage],
    sizes: Sequence[int],
    results: str | os.PathLike[str] | None = None,
    progress: Progress = lambda done, total: None,
    engine: str = "tensorflow",
) -> Evaluation:
    """Classify images by every protocol, and count the errors.

    - `classifier`: the weights and their class names.
    - `images`: as `list_images` returns them.
    - `sizes`: three ascending scales Q in pixels; the protocols of one scale use the middle one.
    - `results`: a file to which each image's guesses are appended; images that it holds already are not computed again.
    - `progress`: called at the start and after each image with the number of images finished, unreadable ones included,
      and their total.
    - `engine`: a name from `engines.table.NAMES`. Another engine may resume a results file, since they agree to
      rounding.

    Raises `EvaluationError` if `sizes` are not three ascending numbers from the native size up, if the results file
    belongs to another run, or if no image can be read.
    """
    native, width = classifier.native_size
    if native != width or classifier.activation == NONE:
        reason = f"images of {width} x {native} pixels" if native != width else "an output that is no probability"
        raise EvaluationError(
            f"{classifier.source}: expected a classifier of square images, got a network with {reason}"
        )
    if len(sizes) != SCALES or list(sizes) != sorted(set(sizes)) or min(sizes) < native:
        raise EvaluationError(
            f"expected {SCALES} ascending scales of at least {native} pixels, the network's native size, got "
            f"{', '.join(map(str, sizes))}"
        )
    if results is None:
        return _evaluate(classifier, images, sizes, {}, lambda guesses: None, progress, engine)
    with ResultsFile(results, _run(classifier, images, sizes)) as file:
        return _evaluate(classifier, images, sizes, file.done, file.add, progress, engine)


def _run(classifier: Classifier, images: Sequence[LabelledImage], sizes: Sequence[int]) -> dict[str, Any]:
    """What identifies a run: if any of it changes, the results file does not match."""
    return {
        "weights_sha256": classifier.digest(),
        "preprocessing": str(classifier.preprocessing),
        "activation": classifier.activation,
        "protocols": list(PROTOCOLS),
        "sizes": list(sizes),
        "labels_sha256": _sha256(classifier.labels.names),
        "images_sha256": _sha256([(image.name, image.label) for image in images]),
    }


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _evaluate(
    classifier: Classifier,
    images: Sequence[LabelledImage],
    sizes: Sequence[int],
    done: dict[str, Guesses],
    add: Callable[[Guesses], None],
    progress: Progress,
    engine: str,
) -> Evaluation:
    network = engine_of(classifier.build("conv"), engine)
    done, unreadable = dict(done), {}
    remaining = [image for image in images if image.name not in done]
    progress(len(done), len(images))
    for image in remaining:
        try:
            done[image.name] = _guesses(network, classifier, image, sizes)
            add(done[image.name])
        except ImageError as error:
            unreadable[image.name] = str(error)
        progress(len(done) + len(unreadable), len(images))
    if not done:
        raise EvaluationError(f"none of {len(unreadable)} images could be read; for example: {unreadable.popitem()[1]}")
    return Evaluation(_rows(done.values(), classifier.classes), len(done), unreadable, network.name)


def _guesses(network: Network, classifier: Classifier, labelled: LabelledImage, sizes: Sequence[int]) -> Guesses:
    image = reading.read_image(labelled.path)
    try:
        values = posteriors(
            network, image, classifier.native_size[0], sizes, classifier.channels, classifier.activation
        )
    except ImageError as error:
        raise ImageError(f"{labelled.path}: {error}") from None
    top = {protocol: np.argsort(-likely, kind="stable")[:TOP].tolist() for protocol, likely in values.items()}
    return Guesses(labelled.name, labelled.label, top)


def _rows(results: Iterable[Guesses], classes: int) -> list[Errors]:
    results = list(results)
    rows = []
    for protocol in PROTOCOLS:
        first = sum(guesses.label != guesses.top[protocol][0] for guesses in results)
        fifth = sum(guesses.label not in guesses.top[protocol] for guesses in results) if classes > TOP else None
        share = None if fifth is None else fifth / len(results)
        rows.append(Errors(protocol, first, first / len(results), fifth, share))
    return rows


def posteriors(
    network: Network,
    image: np.ndarray,
    native_size: int,
    sizes: Sequence[int],
    channels: int = 3,
    activation: str = SOFTMAX,
) -> dict[str, np.ndarray]:
    """The class probabilities by protocol, each float64 (classes,); the keys are `PROTOCOLS`, in order.

    - `network`: a fully convolutional network that returns logits, a Keras model or an engine.
    - `image`: RGB uint8 (height, width, 3).
    - `native_size`: the network's, in pixels: the side of a crop.
    - `sizes`: the scales Q in pixels.
    - `channels`: the network's input channels.
    - `activation`: what the logits mean, "softmax" or "sigmoid".

    Raises `ImageError` if the image is so narrow that scaling it would make it far too large.
    """
    scaled = [resizing.with_channels(resizing.fit(image, (size, size), size), channels) for size in sizes]
    dense = np.stack([dense_posteriors(network, copy, activation) for copy in scaled])
    cropped = np.stack([crop_posteriors(network, copy, native_size, activation) for copy in scaled])
    single = len(sizes) // 2
    multi_scale, multi_crop = dense.mean(0), cropped.mean((0, 1))
    values = (cropped[single, GRID**2 // 2], dense[single], multi_scale, multi_crop, (multi_scale + multi_crop) / 2)
    return dict(zip(PROTOCOLS, values, strict=True))


def dense_posteriors(network: Network, image: np.ndarray, activation: str = SOFTMAX) -> np.ndarray:
    """Steps 1 and 2 for a scaled image, uint8 (height, width, channels): float64 (classes,)."""
    # Not as one batch: that would take twice the memory, and no less time.
    maps = [np.asarray(network(side[None]))[0] for side in (image, image[:, ::-1])]
    return np.mean([_posteriors(logits.mean((0, 1), dtype=np.float64), activation) for logits in maps], axis=0)


def crop_posteriors(network: Network, image: np.ndarray, size: int, activation: str = SOFTMAX) -> np.ndarray:
    """The posteriors of each crop of a scaled image, float64 (crops, classes): row by row, then all mirrored."""
    rows, columns = (_starts(length, size) for length in image.shape[:2])
    crops = np.stack([image[top : top + size, left : left + size] for top in rows for left in columns])
    both = (np.asarray(network(side))[:, 0, 0] for side in (crops, crops[:, :, ::-1]))
    return np.concatenate([_posteriors(logits, activation) for logits in both])


def _starts(length: int, size: int) -> list[int]:
    """Where crops start along one side: evenly from border to border, at the nearest pixel, rounding halves up."""
    return [((length - size) * step + (GRID - 1) // 2) // (GRID - 1) for step in range(GRID)]


def _posteriors(logits: np.ndarray, activation: str) -> np.ndarray:
    return np.exp(log_probabilities(logits, activation))
