"""Find where on an image larger than memory a class is: evaluated in blocks at full size, shown on a small copy."""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator

import keras
import numpy as np
from PIL import Image

from vggfcn.errors import MemoryLimitError
from vggfcn.evaluation.classifier import Classifier
from vggfcn.images.opening import open_source
from vggfcn.images.pixels import check_source
from vggfcn.images.source import ImageSource
from vggfcn.labels.groups import Group
from vggfcn.maps.interpolation import bilinear, covered_along
from vggfcn.maps.raster import Placement
from vggfcn.maps.scale import Scale
from vggfcn.maps.score_map import ScoreMap
from vggfcn.progress import Progress
from vggfcn.streaming.large_score_map import large_score_map
from vggfcn.temporary import temporary_folder

# Values of the image, pixels times channels, that are shrunk at once.
PART = 1 << 23


@dataclasses.dataclass(frozen=True)
class LargeLocalization:
    """Where on an image that was never in memory whole a group of classes is.

    `image` is a small copy, RGB uint8 (height, width, 3), whose pixels are the means of `step` x `step` pixels of the
    original; the heatmaps are for this copy. `evaluated_size` is the original's (width, height), `map_shape` (rows,
    columns, classes). `score` is the highest score of a cell, and `peak` that cell's centre, (x, y) in pixels of the
    original.
    """

    image: np.ndarray
    step: int
    evaluated_size: tuple[int, int]
    map_shape: tuple[int, ...]
    group: Group
    scale: Scale
    score: float
    peak: tuple[int, int]
    _values: np.ndarray
    _covered: np.ndarray

    @property
    def title(self) -> str:
        """The title of the heatmap: the group and its highest score."""
        return f"{self.group.name}: {self.score:.2f}"

    @property
    def placement(self) -> Placement:
        """Where the pixels of `image` lie on the original."""
        return Placement((self.step, self.step), ((self.step - 1) / 2, (self.step - 1) / 2))

    def heatmap(self) -> np.ndarray:
        """The score at each pixel of `image`, float32 (height, width)."""
        return self._values

    def covered_heatmap(self) -> np.ndarray:
        """`heatmap` with NaN at pixels that no window covers."""
        return np.where(self._covered, self._values, np.float32(np.nan))


def localize_large(
    classifier: Classifier,
    model: keras.Model,
    path: pathlib.Path,
    group: Group | None,
    max_side: int,
    *,
    max_memory: int | str,
    folder: pathlib.Path,
    engine: str = "tensorflow",
    progress: Progress | None = None,
) -> LargeLocalization:
    """Find a group of classes on an image file, within a memory limit; the network gets the image at full size.

    - `classifier`, `model`, `group`: as for `localization.localize`.
    - `path`: the image, any file that `open_source` reads.
    - `max_side`: the most pixels of the longer side of the small copy.
    - `max_memory`: bytes, or a text such as "2GB", for the whole process while the map is computed.
    - `folder`: where the logits are kept, in a temporary file, if they do not fit into memory.
    - `engine`: "tensorflow" or "openvino".
    - `progress`: as for `large_score_map`.

    Raises `MemoryLimitError` if `max_memory` is too small, and whatever `score_map` and `open_source` raise.
    """
    source = open_source(path)
    check_source(source)
    with _scores(model, source, max_memory, folder, engine, progress) as scores:
        scores = dataclasses.replace(scores, activation=classifier.activation)
        group = group or classifier.labels.single(scores.best(classifier.labels.background))
        values, scale = scores.score(group.members), scores.scale(group.members)
        shape, field = scores.logits.shape, scores.field
        row, column = scores.peak(group.members)
    step = math.ceil(max(source.shape[:2]) / max_side)
    image = small_copy(source, step)
    rows, columns = (step * np.arange(length) + (step - 1) / 2 for length in image.shape[:2])
    centers = field.rows.centers(shape[0]), field.columns.centers(shape[1])
    covered_rows = covered_along(field.rows, shape[0], source.shape[0])
    covered_columns = covered_along(field.columns, shape[1], source.shape[1])
    return LargeLocalization(
        image=image,
        step=step,
        evaluated_size=source.shape[1::-1],
        map_shape=shape,
        group=group,
        scale=scale,
        score=float(values[row, column]),
        peak=(round(float(centers[1][column])), round(float(centers[0][row]))),
        _values=bilinear(values.astype(np.float32), centers, (rows, columns)),
        _covered=_sample(covered_rows, rows)[:, None] & _sample(covered_columns, columns),
    )


def _sample(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values at the original's pixels that lie in the middle of the copy's pixels."""
    return values[np.minimum(places.astype(np.intp), len(values) - 1)]


@contextlib.contextmanager
def _scores(
    model: keras.Model,
    source: ImageSource,
    max_memory: int | str,
    folder: pathlib.Path,
    engine: str,
    progress: Progress | None,
) -> Iterator[ScoreMap]:
    """The map: in memory if it fits, otherwise in a file that is deleted when the `with` block ends."""
    try:
        scores = large_score_map(model, source, max_memory, None, progress, engine)
    except MemoryLimitError:
        with _temporary_folder(folder) as temporary:
            yield large_score_map(model, source, max_memory, temporary / "map.npy", progress, engine)
        return
    yield scores


@contextlib.contextmanager
def _temporary_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary folder in `folder`; parents that had to be made are removed afterwards if they are empty."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(folder) as made_last:
            yield made_last
    finally:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def small_copy(source: ImageSource, step: int) -> np.ndarray:
    """A copy whose pixels are means of `step` x `step` pixels, fewer at the right and lower borders: RGB uint8."""
    height, width, channels = source.shape
    rows = step * max(1, PART // (width * step * channels))
    parts = []
    for start in range(0, height, rows):
        pixels = source.read(slice(start, min(start + rows, height)))
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        parts.append(np.asarray(Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).reduce(step)))
    return np.concatenate(parts)
