"""`score_map`: one map of logits for an image, evaluated once, or at several sizes and mirrored."""

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
BATCH = 32  # windows that are evaluated at once


class Dense:
    """Runs the network on the whole image, so that overlapping windows share their computation."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.model = with_output_stride(model, output_stride) if output_stride else model
        self.engine = engine_of(self.model, engine)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where the cells lie on an image of `size`, (height, width) in pixels."""
        return receptive_field(self.model, size=size)

    def steps(self, size: tuple[int, int]) -> int:
        """The number of steps for an image of this size."""
        return 1

    def run(self, image: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is called with the number of steps just finished."""
        logits = self.engine(image[None])[0]
        tick(1)
        return logits


class Windows:
    """Cuts out each window and evaluates it alone: at native size the converted network is the original."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.engine = engine_of(model, engine)
        field = receptive_field(model)
        strides = (output_stride, output_stride) if output_stride else field.stride
        # A single window has no surroundings: the network pads it instead.
        rows, columns = (
            ReceptiveField(axis.window, stride, padding=0)
            for axis, stride in zip((field.rows, field.columns), strides, strict=True)
        )
        self.geometry = Geometry(rows, columns)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where the windows lie, which does not depend on the image's size."""
        return self.geometry

    def steps(self, size: tuple[int, int]) -> int:
        """The number of windows on an image of `size`, (height, width) in pixels."""
        return self.geometry.rows.cells(size[0]) * self.geometry.columns.cells(size[1])

    def run(self, image: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is called with the number of windows just finished."""
        rows, columns = self.geometry.rows, self.geometry.columns
        cells = rows.cells(image.shape[0]), columns.cells(image.shape[1])
        spans = [(rows.window_span(u), columns.window_span(v)) for u, v in np.ndindex(cells)]
        logits = []
        for start in range(0, len(spans), BATCH):
            batch = spans[start : start + BATCH]
            crops = np.stack([image[top:bottom, left:right] for (top, bottom), (left, right) in batch])
            logits.append(self.engine(crops)[:, 0, 0])
            tick(len(batch))
        return np.concatenate(logits).reshape(*cells, -1)


EVALUATORS: dict[str, type[Dense | Windows]] = {"dense": Dense, "windows": Windows}


@dataclasses.dataclass(frozen=True)
class Pass:
    """The map of one evaluation: logits (rows, columns, classes), and the cells' centres in pixels of the image."""

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
    """Evaluate a fully convolutional model over a whole image.

    Returns logits, float32 (rows, columns, classes), with the place of each cell on the image.

    - `model`: the result of `vggfcn.build`, `convert` or `with_output_stride`.
    - `image`: uint8 or floating point (height, width, channels) in [0, 255], RGB, or grey if the model takes grey; or
      the path of a file that `open_source` reads.
    - `output_stride`: pixels from cell to cell, see `with_output_stride`. Each call makes a finer model; for many
      images, make it once yourself and pass it as `model`.
    - `scales`: evaluate the image at these multiples of its size, each side rounded to whole pixels. The maps are
      interpolated to the cells of the largest one (bilinearly, and constant beyond the outermost cells) and averaged.
      The map of a single pass is not changed.
    - `sizes`: the same, but with the pixels that the shorter side gets at each scale.
    - `flip`: also evaluate the image mirrored left to right, at each scale.
    - `average`: what to average, "logits" or "probabilities"; with the latter, the result holds logarithms of means.
    - `mode`: "dense", or "windows" to cut out each window and evaluate it alone. At its native size the converted
      network is the original, so this is the reference for padded networks, whose cells also see a window's
      surroundings on the dense map.
    - `engine`: an engine that `compile` made from this model, or a name. A named engine is compiled at the first call
      and kept with the model. TensorFlow's takes hardly any time or memory; OpenVINO's pays off if a network runs many
      times. The result says which engine ran.
    - `max_memory`: bytes, or a text such as "2GB", for the whole process, including what it holds already. The image
      is read and computed in blocks of rows, and in strips of columns if whole rows take too much; the map stays the
      same. It allows one pass only, and "auto" then picks TensorFlow, which takes the least memory.
    - `output`: with `max_memory`, the path of a `.npy` or `.zarr` to write the map to. A call that was killed resumes
      from it.
    - `progress`: called with the number of passes, windows or rows that are finished, and their total.

    Raises `ValueError` if the image is smaller than a window at any of the sizes, and for invalid arguments;
    `GeometryError` as `receptive_field` and `with_output_stride` do; `ImageError` for a file that cannot be read;
    `MemoryLimitError` if `max_memory` is too small; `MapError` if `output` belongs to another run.

    >>> scores = score_map(model, image, output_stride=8, scales=(0.75, 1, 1.5), flip=True)
    """
    _check_choice("average", average, AVERAGES)
    _check_choice("mode", mode, tuple(EVALUATORS))
    if max_memory is not None:
        if scales is not None or sizes is not None or flip or mode != "dense":
            raise ValueError("max_memory: expected one dense pass; leave out scales, sizes, flip and mode")
        if not isinstance(engine, str) or engine not in NAMES:
            raise ValueError(f"engine: expected a name with max_memory, such as 'tensorflow', got {engine!r}")
        finer = with_output_stride(model, output_stride) if output_stride else model
        return large_score_map(finer, open_source(image), max_memory, output, progress, streaming_engine(engine))
    if output is not None:
        raise ValueError("output: expected max_memory with it; without a limit the map stays in memory")
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
    passes = [
        _run(evaluator, image, size, field, mirrored, tick) for size, field in fields.items() for mirrored in mirrorings
    ]
    grid = max(passes[:: len(mirrorings)], key=lambda run: run.logits.size)
    logits = grid.logits if len(passes) == 1 else _average(passes, grid, average)
    return ScoreMap(logits, grid.field, evaluator.engine.name)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise ValueError(f"image: expected (height, width, channels), got an array of shape {image.shape}")
    return image if image.dtype == np.uint8 else image.astype(np.float32)


def _sizes(image: np.ndarray, scales: Sequence[float] | None, sizes: Sequence[int] | None) -> list[tuple[int, int]]:
    """The (height, width) of the image in each evaluation."""
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


def _run(
    evaluator: Dense | Windows,
    image: np.ndarray,
    size: tuple[int, int],
    geometry: Geometry,
    mirrored: bool,
    tick: Callable[[int], None],
) -> Pass:
    resized = resizing.resize_to(image, *size)
    logits = evaluator.run(resized[:, ::-1] if mirrored else resized, tick)
    field = scaled(geometry, image.shape[:2], size)
    rows, columns = field.rows.centers(logits.shape[0]), field.columns.centers(logits.shape[1])
    if mirrored:
        logits, columns = logits[:, ::-1], image.shape[1] - 1 - columns[::-1]
    return Pass(logits, field, rows, columns)


def _average(passes: list[Pass], grid: Pass, average: str) -> np.ndarray:
    """The mean of all passes at the cells of `grid`: float32 (rows, columns, classes)."""
    total = np.zeros(grid.logits.shape)
    for run in passes:
        values = run.logits.astype(np.float64) if average == "logits" else np.exp(log_softmax(run.logits))
        total += bilinear(values, (run.rows, run.columns), (grid.rows, grid.columns))
    mean = total / len(passes)
    if average == "probabilities":
        mean = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    return mean.astype(np.float32)
