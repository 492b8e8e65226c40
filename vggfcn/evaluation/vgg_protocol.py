"""Top-1 and top-5 error as Simonyan & Zisserman 2014 measure them, sections 3.2 and 4: densely and over crops.

An image is scaled, both sides alike, until its shorter side has Q pixels, for each of three scales Q. What is averaged
where, in the order of the computation:

1. Dense, at one Q: the converted network gives a map of logits for the whole scaled image. "The class score map is
   spatially averaged": the logits are, over all cells. The paper's network ends in the soft-max and its class scores
   are what goes into it, as "the soft-max class posteriors" are named apart, one step later.
2. "The soft-max class posteriors of the original and flipped images are averaged": the soft-max of the mean logits of
   the image and that of its mirror image.
3. Dense, at several Q: the means of step 2 are averaged over the scales.
4. Crops: native-size crops on a regular 5 x 5 grid from border to border, each as it is and mirrored, at three Q: 150.
   The soft-max is taken of each crop and averaged over all.
5. Both: the mean of what 3 and 4 give.

One network serves for all of it: on a native-size crop the converted one's map is a single cell, the original
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
from vggfcn.evaluation.dataset import LabelledImage
from vggfcn.evaluation.results import Guesses, ResultsFile
from vggfcn.files import digest
from vggfcn.images import reading, resizing
from vggfcn.maps.score_map import log_softmax
from vggfcn.networks import registry
from vggfcn.networks.classifier import Classifier
from vggfcn.progress import Progress

# A batch of images -> their maps of logits, (batch, rows, columns, classes).
Network = Callable[[np.ndarray], Any]
GRID = 5  # rows and columns of crops
TOP = 5
SCALES = 3
# What is evaluated, in the order of the paper's table; the middle crop is beside it, for reference.
CENTER_CROP = "center_crop"
PROTOCOLS = (CENTER_CROP, "dense_single_scale", "dense_multi_scale", "multi_crop", "multi_crop_and_dense")


@dataclasses.dataclass(frozen=True)
class Errors:
    """A row of the table: how many images were wrong, and their share in [0, 1].

    Top-5 is None where there are no more than five classes, among which five guesses are never wrong.
    """

    protocol: str
    top1_errors: int
    top1_error: float
    top5_errors: int | None
    top5_error: float | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came out: a row for each protocol over `images` images; why others could not be read, by their names.

    `engine` is what ran the network.
    """

    rows: list[Errors]
    images: int
    unreadable: dict[str, str]
    engine: str


def default_sizes(native_size: int) -> tuple[int, ...]:
    """The scales Q for a network: the paper's 256, 384 and 512 for 224 pixels, and in proportion for others."""
    return tuple(round(native_size * numerator / 7) for numerator in (8, 12, 16))


def evaluate(
    classifier: Classifier,
    images: Sequence[LabelledImage],
    sizes: Sequence[int],
    results: str | os.PathLike[str] | None = None,
    progress: Progress = lambda done, total: None,
    engine: str = "tensorflow",
) -> Evaluation:
    """Classify images by every protocol and count the errors.

    `sizes` are three scales Q in pixels, rising; the middle one is the single scale. With `results`, each image's
    guesses are added to that file as it is done, and images that are in it already are not computed again.
    `progress` is told how many images of how many are done, at the start and after each; ones that cannot be read
    count. `engine` is one of `engine_table.NAMES`; a results file may be gone on with by another, as all give the same
    to rounding.

    Raises `EvaluationError` if the scales are not three, rising, from the native size on, if the results file is of
    another run, or if no image can be read.
    """
    native = classifier.architecture.native_size
    if len(sizes) != SCALES or list(sizes) != sorted(set(sizes)) or min(sizes) < native:
        raise EvaluationError(
            f"expected {SCALES} rising scales of at least {native} pixels, the network's native size, got "
            f"{', '.join(map(str, sizes))}"
        )
    if results is None:
        return _evaluate(classifier, images, sizes, {}, lambda guesses: None, progress, engine)
    with ResultsFile(results, _run(classifier, images, sizes)) as file:
        return _evaluate(classifier, images, sizes, file.done, file.add, progress, engine)


def _run(classifier: Classifier, images: Sequence[LabelledImage], sizes: Sequence[int]) -> dict[str, Any]:
    """What results belong to: whoever changes any of it begins anew."""
    return {
        "weights_sha256": digest(registry.fetch(classifier.weights), "sha256"),
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
        raise EvaluationError(f"no image could be read; the first of {len(unreadable)}: {unreadable.popitem()[1]}")
    return Evaluation(_rows(done.values(), classifier.architecture.classes), len(done), unreadable, network.name)


def _guesses(network: Network, classifier: Classifier, labelled: LabelledImage, sizes: Sequence[int]) -> Guesses:
    image, architecture = reading.read_image(labelled.path), classifier.architecture
    try:
        found = posteriors(network, image, architecture.native_size, sizes, architecture.channels)
    except ImageError as error:
        raise ImageError(f"{labelled.path}: {error}") from None
    top = {protocol: np.argsort(-values, kind="stable")[:TOP].tolist() for protocol, values in found.items()}
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
    network: Network, image: np.ndarray, native_size: int, sizes: Sequence[int], channels: int = 3
) -> dict[str, np.ndarray]:
    """Probabilities of the classes by protocol, each float64 (classes,), sum 1; `PROTOCOLS` are the keys, in order.

    `image` is RGB uint8 (height, width, 3), `network` a fully convolutional one that gives logits and takes so many
    `channels`: a Keras model or what `engines.compile` makes of it. Raises `ImageError` if the image is so narrow
    that it would have to grow beyond all measure.
    """
    scaled = [resizing.with_channels(resizing.fit(image, size, size), channels) for size in sizes]
    dense = np.stack([dense_posteriors(network, one) for one in scaled])
    cropped = np.stack([crop_posteriors(network, one, native_size) for one in scaled])
    single = len(sizes) // 2
    multi_scale, multi_crop = dense.mean(0), cropped.mean((0, 1))
    values = (cropped[single, GRID**2 // 2], dense[single], multi_scale, multi_crop, (multi_scale + multi_crop) / 2)
    return dict(zip(PROTOCOLS, values, strict=True))


def dense_posteriors(network: Network, image: np.ndarray) -> np.ndarray:
    """Steps 1 and 2 for a scaled image, uint8 (height, width, channels): float64 (classes,)."""
    # One after the other: together they would take twice the memory, and no less time.
    maps = [np.asarray(network(side[None]))[0] for side in (image, image[:, ::-1])]
    return np.mean([_softmax(logits.mean((0, 1), dtype=np.float64)) for logits in maps], axis=0)


def crop_posteriors(network: Network, image: np.ndarray, size: int) -> np.ndarray:
    """The soft-max of each crop of a scaled image, float64 (crops, classes): row by row, then all mirrored."""
    rows, columns = (_starts(length, size) for length in image.shape[:2])
    crops = np.stack([image[top : top + size, left : left + size] for top in rows for left in columns])
    return np.concatenate([_softmax(np.asarray(network(side))[:, 0, 0]) for side in (crops, crops[:, :, ::-1])])


def _starts(length: int, size: int) -> list[int]:
    """Where the crops begin along one side: evenly from border to border, at the nearest pixel or the later of two."""
    return [((length - size) * step + (GRID - 1) // 2) // (GRID - 1) for step in range(GRID)]


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(logits))
