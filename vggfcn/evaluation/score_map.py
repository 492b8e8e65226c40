"""`score_map`: an image through a network, once or at several sizes and mirrored, to one map of logits."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence

import keras
import numpy as np

from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.engines.engine import Engine, engine_of
from vggfcn.engines.table import NAMES, streaming_engine
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.images import resizing
from vggfcn.images.opening import open_source
from vggfcn.maps.geometry import Field, Geometry, ReceptiveField, scaled
from vggfcn.maps.interpolation import bilinear
from vggfcn.maps.score_map import ScoreMap, log_softmax
from vggfcn.progress import Progress
from vggfcn.streaming.large_score_map import large_score_map

AVERAGES = ("probabilities", "logits")
# Windows that are evaluated at once.
BATCH = 32


class Dense:
    """The network is run on the whole image; windows share what they have in common."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.model = with_output_stride(model, output_stride) if output_stride else model
        self.engine = engine_of(self.model, engine)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where cells lie on an image of (height, width) pixels."""
        return receptive_field(self.model, size=size)

    def steps(self, size: tuple[int, int]) -> int:
        """How many steps an image of that size takes."""
        return 1

    def run(self, image: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is told how many steps have been made."""
        logits = self.engine(image[None])[0]
        tick(1)
        return logits


class Windows:
    """Each window is cut out and evaluated alone. At its native size the converted network is the original."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.engine = engine_of(model, engine)
        seen = receptive_field(model)
        strides = (output_stride, output_stride) if output_stride else seen.stride
        # A window alone sees nothing beyond itself: padding is part of the network.
        rows, columns = (
            ReceptiveField(axis.window, stride, padding=0)
            for axis, stride in zip((seen.rows, seen.columns), strides, strict=True)
        )
        self.geometry = Geometry(rows, columns)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where windows lie; the same on images of all sizes."""
        return self.geometry

    def steps(self, size: tuple[int, int]) -> int:
        """How many windows there are on an image of (height, width) pixels."""
        return self.geometry.rows.cells(size[0]) * self.geometry.columns.cells(size[1])

    def run(self, image: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is told how many windows are done."""
        rows, columns = self.geometry.rows, self.geometry.columns
        cells = rows.cells(image.shape[0]), columns.cells(image.shape[1])
        spans = [(rows.window_span(u), columns.window_span(v)) for u, v in np.ndindex(cells)]
        logits = []
        for start in range(0, len(spans), BATCH):
            some = spans[start : start + BATCH]
            batch = np.stack([image[top:bottom, left:right] for (top, bottom), (left, right) in some])
            logits.append(self.engine(batch)[:, 0, 0])
            tick(len(some))
        return np.concatenate(logits).reshape(*cells, -1)


EVALUATORS: dict[str, type[Dense | Windows]] = {"dense": Dense, "windows": Windows}


@dataclasses.dataclass(frozen=True)
class Map:
    """Logits (rows, columns, classes), and where on the image they stand: `rows` and `columns` are cells' middles."""

    logits: np.ndarray
    field: Field
    rows: np.ndarray
    columns: np.ndarray


def score_map(
    model: keras.Model,
    image: np.ndarray | str | os.PathLike[str],
    *,
    output_stride: int | None = None,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    flip: bool = False,
    average: str = "probabilities",
    mode: str = "dense",
    engine: str | Engine = "tensorflow",
    max_memory: int | str | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> ScoreMap:
    """Evaluate a fully convolutional model all over an image, (height, width, channels) in [0, 255].

    `model` is what `vggfcn.build` or `vggfcn.convert` give; the image is RGB, or grey where the model takes grey,
    uint8 or floating point, or the path of a file as `sources.open_source` reads it. The result holds logits, float32
    (rows, columns, classes), and knows where each cell lies on the image.

    - `output_stride`: pixels from cell to cell, see `with_output_stride`. A finer model is made for this one call; for
      many images make it once yourself and hand it in.
    - `scales`: the image is evaluated so many times as large, each side rounded to whole pixels; or `sizes`: so that
      its shorter side has so many pixels. `flip`: also mirrored left to right. The maps are brought to the grid of the
      largest image's, by where cells lie, interpolated bilinearly and constant beyond the outermost, and averaged:
      their probabilities (logits are then logarithms of the mean of softmaxes), or their logits as they are, as
      `average` says. One scale alone is taken as it is.
    - `mode="windows"` cuts out each window and evaluates it alone, at native size, where the converted network is the
      original: the reference for padded networks, whose cells see a window's surroundings on the dense map.
    - `engine`: one that `compile` made of this model, or the name of one, which is then compiled at the first call and
      kept with the model for the next. TensorFlow's takes no time and no memory to speak of; OpenVINO's pays where a
      network is run many times. The result says which one ran.
    - `max_memory`: bytes, or a text such as "2GB", that this process may take in all, with what it holds already. The
      image is read and computed in blocks of rows, and in strips of columns where whole rows are too much; the map is
      the same. With `output`, the path of a `.npy` or `.zarr`, the map grows there, and a call that was killed goes on
      where it was. One pass only; "auto" is TensorFlow then, which takes least.

    `progress` is called with how many passes, windows, or rows of the map are done, and how many there are.

    Raises `ValueError` if the image is smaller than a window at one of the sizes, and for wrong arguments;
    `GeometryError` as `receptive_field` and `with_output_stride` do; `ImageError` for a file that cannot be read;
    `MemoryLimitError` if `max_memory` is too little, `MapError` if `output` belongs to another run.

    >>> scores = score_map(model, image, output_stride=8, scales=(0.75, 1, 1.5), flip=True)
    """
    for name, value, known in (("average", average, AVERAGES), ("mode", mode, tuple(EVALUATORS))):
        if value not in known:
            raise ValueError(f"{name}: expected {' or '.join(map(repr, known))}, got {value!r}")
    if max_memory is not None:
        if scales is not None or sizes is not None or flip or mode != "dense":
            raise ValueError("max_memory: expected one dense pass; leave out scales, sizes, flip and mode")
        if not isinstance(engine, str) or engine not in NAMES:
            raise ValueError(f"engine: expected the name of one with max_memory, such as 'tensorflow', got {engine!r}")
        finer = with_output_stride(model, output_stride) if output_stride else model
        return large_score_map(finer, open_source(image), max_memory, output, progress, streaming_engine(engine))
    if output is not None:
        raise ValueError("output: expected max_memory with it; without, the map is in memory")
    if not isinstance(image, np.ndarray):
        image = resizing.with_channels(open_source(image).read(slice(None)), model.inputs[0].shape[-1])
    image = _checked(image)
    if not isinstance(engine, Engine) and engine not in NAMES:
        raise ValueError(f"engine: expected {', '.join(map(repr, NAMES))} or an Engine, got {engine!r}")
    evaluator = EVALUATORS[mode](model, output_stride, engine)
    fields = {size: evaluator.field(size) for size in _sizes(image, scales, sizes)}
    for size, field in fields.items():
        _check_size(image, size, field)
    mirrorings = (False, True) if flip else (False,)
    tick = _ticker(progress, len(mirrorings) * sum(map(evaluator.steps, fields)))
    maps = [
        _map(evaluator, image, size, field, mirrored, tick) for size, field in fields.items() for mirrored in mirrorings
    ]
    grid = max(maps[:: len(mirrorings)], key=lambda one: one.logits.size)
    logits = grid.logits if len(maps) == 1 else _average(maps, grid, average)
    return ScoreMap(logits, grid.field, evaluator.engine.name)


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise ValueError(f"image: expected (height, width, channels), got an array of shape {image.shape}")
    return image if image.dtype == np.uint8 else image.astype(np.float32)


def _sizes(image: np.ndarray, scales: Sequence[float] | None, sizes: Sequence[int] | None) -> list[tuple[int, int]]:
    """(height, width) of each evaluation."""
    if scales is not None and sizes is not None:
        raise ValueError("scales, sizes: expected one of them, got both")
    height, width = image.shape[:2]
    if sizes is not None:
        scales = [size / min(height, width) for size in sizes]
    elif scales is None:
        scales = [1.0]
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales, sizes: expected numbers greater than 0, got {list(sizes or scales)}")
    return [(max(1, round(height * scale)), max(1, round(width * scale))) for scale in scales]


def _check_size(image: np.ndarray, size: tuple[int, int], field: Geometry) -> None:
    least = field.rows.window, field.columns.window
    if size[0] < least[0] or size[1] < least[1]:
        scaled_from = "" if size == image.shape[:2] else f", scaled from {image.shape[0]} x {image.shape[1]}"
        raise ValueError(
            f"image: expected at least {least[0]} x {least[1]} pixels, got {size[0]} x {size[1]}{scaled_from}"
        )


def _ticker(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if progress:
            progress(done, total)

    return tick


def _map(
    evaluator: Dense | Windows,
    image: np.ndarray,
    size: tuple[int, int],
    seen: Geometry,
    mirrored: bool,
    tick: Callable[[int], None],
) -> Map:
    resized = resizing.resize_to(image, *size)
    logits = evaluator.run(resized[:, ::-1] if mirrored else resized, tick)
    field = scaled(seen, image.shape[:2], size)
    rows, columns = field.rows.centers(logits.shape[0]), field.columns.centers(logits.shape[1])
    if mirrored:
        logits, columns = logits[:, ::-1], image.shape[1] - 1 - columns[::-1]
    return Map(logits, field, rows, columns)


def _average(maps: list[Map], grid: Map, average: str) -> np.ndarray:
    """The mean of all maps where the grid's cells stand: float32 (rows, columns, classes)."""
    total = np.zeros(grid.logits.shape)
    for one in maps:
        values = one.logits.astype(np.float64) if average == "logits" else np.exp(log_softmax(one.logits))
        total += bilinear(values, (one.rows, one.columns), (grid.rows, grid.columns))
    mean = total / len(maps)
    if average == "probabilities":
        mean = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    return mean.astype(np.float32)
