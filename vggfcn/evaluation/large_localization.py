"""Where on an image larger than memory a class is found: evaluated in blocks at its own size, shown on a copy."""

import contextlib
import dataclasses
import math
import pathlib
import tempfile
from collections.abc import Iterator

import keras
import numpy as np
from PIL import Image

from vggfcn.errors import MemoryLimitError
from vggfcn.images.opening import open_source
from vggfcn.images.source import ImageSource
from vggfcn.labels.groups import Group
from vggfcn.maps.interpolation import bilinear, covered_along
from vggfcn.maps.raster import Placement
from vggfcn.maps.score_map import ScoreMap
from vggfcn.networks.classifier import Classifier
from vggfcn.progress import Progress
from vggfcn.streaming.large_score_map import large_score_map

# Numbers of an image that are worked on at once.
PART = 1 << 23


@dataclasses.dataclass(frozen=True)
class LargeLocalization:
    """A class, or several asked for together, on an image that was never in memory whole.

    `image` is a small copy of it, RGB uint8 (height, width, 3), of which each pixel is the mean of `step` x `step` of
    the image's own; heatmaps are for its pixels. `evaluated_size` is the image's own (width, height), `map_shape`
    (rows, columns, classes). `score` is the highest probability and `peak` its cell's middle, (x, y), as in
    `Localization`.
    """

    image: np.ndarray
    step: int
    evaluated_size: tuple[int, int]
    map_shape: tuple[int, ...]
    group: Group
    score: float
    peak: tuple[int, int]
    _values: np.ndarray
    _covered: np.ndarray

    @property
    def title(self) -> str:
        """What to write above the heatmap."""
        return f"{self.group.name}: {self.score:.2f}"

    @property
    def placement(self) -> Placement:
        """Where the pixels of `image` lie on the image itself."""
        return Placement((self.step, self.step), ((self.step - 1) / 2, (self.step - 1) / 2))

    def heatmap(self) -> np.ndarray:
        """The probability all over `image`, float32 (height, width) in [0, 1]."""
        return self._values

    def covered_heatmap(self) -> np.ndarray:
        """`heatmap`, with NaN where no window covers the image."""
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
    """Look for a class all over an image file as `open_source` reads it, with at most so much memory for the map.

    `model` and `group` are those of `localization.localize`. The network sees the image at its own size; `max_side`
    is what the small copy's longer side may have. `engine` is "tensorflow" or "openvino". If there is no room for the
    logits, they are in `folder` meanwhile.

    Raises `MemoryLimitError` if `max_memory` is too little, and what `score_map` and `open_source` raise.
    """
    source = open_source(path)
    with _scores(model, source, max_memory, folder, engine, progress) as scores:
        group = group or classifier.labels.single(scores.best(classifier.labels.background))
        values = scores.log_probability(group.members)
        shape, field = scores.logits.shape, scores.field
    row, column = map(int, np.unravel_index(values.argmax(), values.shape))
    step = math.ceil(max(source.shape[:2]) / max_side)
    image = small_copy(source, step)
    rows, columns = (step * np.arange(length) + (step - 1) / 2 for length in image.shape[:2])
    centers = field.rows.centers(shape[0]), field.columns.centers(shape[1])
    seen = covered_along(field.rows, shape[0], source.shape[0]), covered_along(field.columns, shape[1], source.shape[1])
    return LargeLocalization(
        image=image,
        step=step,
        evaluated_size=source.shape[1::-1],
        map_shape=shape,
        group=group,
        score=float(np.exp(values[row, column])),
        peak=(round(float(centers[1][column])), round(float(centers[0][row]))),
        _values=bilinear(np.exp(values).astype(np.float32), centers, (rows, columns)),
        _covered=_middles(seen[0], rows)[:, None] & _middles(seen[1], columns),
    )


def _middles(along: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What holds at the pixel in the middle of those that a pixel of the copy stands for."""
    return along[np.minimum(places.astype(np.intp), len(along) - 1)]


@contextlib.contextmanager
def _scores(
    model: keras.Model,
    source: ImageSource,
    max_memory: int | str,
    folder: pathlib.Path,
    engine: str,
    progress: Progress | None,
) -> Iterator[ScoreMap]:
    """The map, in memory if there is room for it, else in a file that goes when the block ends."""
    try:
        scores = large_score_map(model, source, max_memory, None, progress, engine)
    except MemoryLimitError:
        with _folder_in(folder) as beside:
            yield large_score_map(model, source, max_memory, beside / "map.npy", progress, engine)
        return
    yield scores


@contextlib.contextmanager
def _folder_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder for a while; folders that are made for it go again unless something else has come into them."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".map-") as name:
            yield pathlib.Path(name)
    finally:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def small_copy(source: ImageSource, step: int) -> np.ndarray:
    """Each pixel the mean of `step` x `step` of the image's, or of what is left at the borders: RGB uint8."""
    height, width, channels = source.shape
    rows = step * max(1, PART // (width * step * channels))
    parts = []
    for start in range(0, height, rows):
        pixels = source.read(slice(start, min(start + rows, height)))
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        parts.append(np.asarray(Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).reduce(step)))
    return np.concatenate(parts)
