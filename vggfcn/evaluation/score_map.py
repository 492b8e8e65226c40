"""`score_map`: one map of logits for an image, evaluated once, or at several sizes and mirrored."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, overload

import keras
import numpy as np

from vggfcn.conversion.logits import AUTO, Ending, ending
from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.engines.engine import Engine, check
from vggfcn.engines.table import NAMES, streaming_engine
from vggfcn.evaluation.evaluators import EVALUATORS, Dense, Windows
from vggfcn.graph.prologue import takes_pixels
from vggfcn.images import pixels, resizing
from vggfcn.images.opening import open_source
from vggfcn.maps.activations import NONE, log_probabilities, logits_of
from vggfcn.maps.geometry import Field, Geometry, scaled
from vggfcn.maps.interpolation import bilinear
from vggfcn.maps.score_map import ScoreMap
from vggfcn.progress import Progress
from vggfcn.streaming.large_score_map import large_score_map

if TYPE_CHECKING:
    from typing_extensions import Unpack

AVERAGES = ("probabilities", "logits")


@dataclasses.dataclass(frozen=True)
class Pass:
    """The maps of one evaluation of images of one size.

    `logits` is (images, rows, columns, classes); `rows` and `columns` are the cells' centres in pixels of the image.
    """

    logits: np.ndarray
    field: Field
    rows: np.ndarray
    columns: np.ndarray


class _Options(TypedDict, total=False):
    """The options of `score_map`, for type checkers."""

    output_stride: int | None
    scales: Sequence[float] | None
    sizes: Sequence[int] | None
    flip: bool
    average: str
    activation: str
    mode: str
    native_size: tuple[int, int] | None
    engine: str | Engine
    max_memory: int | str | None
    output: str | os.PathLike[str] | None
    progress: Progress | None


@overload
def score_map(
    model: keras.Model, image: list[Any] | tuple[Any, ...], **options: "Unpack[_Options]"
) -> list[ScoreMap]: ...


@overload
def score_map(model: keras.Model, image: Any, **options: "Unpack[_Options]") -> ScoreMap: ...


def score_map(
    model: keras.Model,
    image: Any,
    *,
    output_stride: int | None = None,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    flip: bool = False,
    average: str = "probabilities",
    activation: str = AUTO,
    mode: str = "dense",
    native_size: tuple[int, int] | None = None,
    engine: str | Engine = "tensorflow",
    max_memory: int | str | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> ScoreMap | list[ScoreMap]:
    """Evaluate a fully convolutional model over a whole image.

    Returns logits, float32 (rows, columns, classes), with the place of each cell on the image. If the model ends in a
    softmax, log-softmax or sigmoid, the map holds the logits before it, and `ScoreMap.activation` says which it was: so
    the map's probabilities are the network's own.

    - `model`: the result of `vggfcn.build`, `convert` or `with_output_stride`.
    - `image`: the path of a file that `open_source` reads, an image of Pillow, or an array or tensor (height, width) or
      (height, width, channels), RGB or grey. RGB becomes grey for a model with one channel, and grey is repeated for
      three. The range is the one that the model takes. Models of `vggfcn.build` and others that prepare their input
      themselves take [0, 255]; for them, values of another range are refused. Or a list of images, or an array
      (images, height, width, channels): the result is then a list of maps. Images of one size run in batches.
    - `output_stride`: pixels from cell to cell, see `with_output_stride`. Each call makes a finer model; for many
      images, make it once yourself and pass it as `model`.
    - `scales`: evaluate the image at these multiples of its size, each side rounded to whole pixels. The maps are
      interpolated to the cells of the largest one (bilinearly, and constant beyond the outermost cells) and averaged.
      The map of a single pass is not changed.
    - `sizes`: the same, but with the pixels that the shorter side gets at each scale.
    - `flip`: also evaluate the image mirrored left to right, at each scale.
    - `average`: what to average, "logits" or "probabilities"; with the latter, the result holds logarithms of means.
    - `activation`: what the output means. By default the model's last layers tell: a final softmax or sigmoid does, and
      so does a last layer without activation called "predictions", "logits" or "fc8" (logits of a softmax). Any other
      output is taken for values that are no probabilities. "softmax" or "sigmoid" says that the model returns logits,
      "none" that its output is no probability.
    - `mode`: "dense"; "cam" for the class activation map of a network that ends in global average pooling (see `cam`),
      which has a cell for each of its trunk's, so that an image of native size has a map too. Its values are parts of
      logits, no probabilities; or "windows" to cut out each window and evaluate it alone. At its native size the
      converted network is the original, so this is the reference for padded networks, whose cells also see a window's
      surroundings on the dense map.
    - `native_size`: (height, width) in pixels of the windows of mode "windows". By default it is that of the network
      that was converted, or of the smallest image with a cell.
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
    check(model)
    end = ending(model, activation)
    if max_memory is not None:
        if scales is not None or sizes is not None or flip or mode != "dense":
            raise ValueError("max_memory: expected one dense pass; leave out scales, sizes, flip and mode")
        if not isinstance(engine, str) or engine not in NAMES:
            raise ValueError(f"engine: expected a name with max_memory, such as 'tensorflow', got {engine!r}")
        finer = with_output_stride(end.model, output_stride) if output_stride else end.model
        if isinstance(image, np.ndarray) and image.dtype == np.uint16:
            raise ValueError("image: uint16 does not say whether white is 255 or 65535; make it uint8 or float32 first")
        source = open_source(image)
        if takes_pixels(end.model):
            pixels.check_source(source)
        scores = large_score_map(finer, source, max_memory, output, progress, streaming_engine(engine))
        return dataclasses.replace(scores, activation=end.activation)
    if output is not None:
        raise ValueError("output: expected max_memory with it; without a limit the map stays in memory")
    if not isinstance(engine, Engine) and engine not in NAMES:
        raise ValueError(f"engine: expected {', '.join(map(repr, NAMES))} or an Engine, got {engine!r}")
    images = [_checked(model, one) for one in (image if pixels.is_batch(image) else [image])]
    evaluator = EVALUATORS[mode](
        end.model, output_stride, _engine(model, end, engine), native_size or _native_size(model)
    )
    # The cells of a class activation map add up to logits, but none of them is the network's answer to anything.
    activation = NONE if mode == "cam" else end.activation
    mirrorings = (False, True) if flip else (False,)
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(images):
        by_size.setdefault(one.shape, []).append(number)
    plans = {shape: _plan(evaluator, shape[:2], scales, sizes) for shape in by_size}
    steps = (len(by_size[shape]) * sum(map(evaluator.steps, plan)) for shape, plan in plans.items())
    tick = _ticker(progress, len(mirrorings) * sum(steps))
    maps: dict[int, ScoreMap] = {}
    for shape, numbers in by_size.items():
        batch = np.stack([images[number] for number in numbers])
        passes = [
            _run(evaluator, batch, size, field, mirrored, tick)
            for size, field in plans[shape].items()
            for mirrored in mirrorings
        ]
        grid = max(passes[:: len(mirrorings)], key=lambda run: run.logits.size)
        logits = grid.logits if len(passes) == 1 else _average(passes, grid, average, activation)
        for number, own in zip(numbers, logits, strict=True):
            maps[number] = ScoreMap(own, grid.field, evaluator.engine.name, activation)
    if pixels.is_batch(image):
        return [maps[number] for number in range(len(images))]
    return maps[0]


def _native_size(model: keras.Model) -> tuple[int, int] | None:
    """(height, width) of the windows of a network that `convert` made, None for any other."""
    conversion = getattr(model, "conversion", None)
    if conversion is None or len(conversion.native_shapes[0]) != 3:
        return None
    height, width, _ = conversion.native_shapes[0]
    return height, width


def _engine(model: keras.Model, end: Ending, engine: str | Engine) -> str | Engine:
    """The engine for the network without its activation; one that was compiled with it has it undone."""
    if not isinstance(engine, Engine) or end.model is model or not engine.runs(model):
        return engine
    return Engine(end.model, engine.name, lambda batch: end.logits(engine(batch)), engine.note)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")


def _checked(model: keras.Model, image: Any) -> np.ndarray:
    """The image as an array (height, width, channels), in the range that the model takes as far as that is known."""
    shape = model.inputs[0].shape
    if len(shape) != 4:
        raise ValueError(f"model: expected one that takes images, got an input of shape {tuple(shape[1:])}")
    array = pixels.pixels_of(image, shape[-1])
    if takes_pixels(model):
        pixels.check_range(array)
    return array


def _plan(
    evaluator: "Dense | Windows",
    shape: tuple[int, ...],
    scales: Sequence[float] | None,
    sizes: Sequence[int] | None,
) -> dict[tuple[int, int], Geometry]:
    """The (height, width) of each evaluation of an image of this shape, and where the cells lie."""
    plan = {size: evaluator.field(size) for size in _sizes(shape, scales, sizes)}
    for size, field in plan.items():
        _check_size(shape, size, field)
    return plan


def _sizes(
    shape: tuple[int, ...], scales: Sequence[float] | None, sizes: Sequence[int] | None
) -> list[tuple[int, int]]:
    """The (height, width) of the image in each evaluation."""
    if scales is not None and sizes is not None:
        raise ValueError("scales, sizes: expected one of them, got both")
    height, width = shape
    chosen = [1.0] if scales is None and sizes is None else list(_numbers(scales if sizes is None else sizes))
    if sizes is not None:
        chosen = [size / min(height, width) for size in chosen]
    if not chosen or not all(0 < scale < math.inf for scale in chosen):
        raise ValueError(f"scales, sizes: expected numbers greater than 0, got {list(sizes or scales or [])}")
    return [(max(1, round(height * scale)), max(1, round(width * scale))) for scale in chosen]


def _numbers(values: Any) -> Sequence[float]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise ValueError(f"scales, sizes: expected a list of numbers, got {values!r}")
    return list(values)


def _check_size(shape: tuple[int, ...], size: tuple[int, int], field: Geometry) -> None:
    least = field.rows.window, field.columns.window
    if size[0] < least[0] or size[1] < least[1]:
        scaled_from = "" if size == shape else f", scaled from {shape[0]} x {shape[1]}"
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
    images: np.ndarray,
    size: tuple[int, int],
    geometry: Geometry,
    mirrored: bool,
    tick: Callable[[int], None],
) -> Pass:
    height, width = images.shape[1:3]
    resized = np.stack([resizing.resize_to(image, *size) for image in images])
    logits = evaluator.run(resized[:, :, ::-1] if mirrored else resized, tick)
    field = scaled(geometry, (height, width), size)
    rows, columns = field.rows.centers(logits.shape[1]), field.columns.centers(logits.shape[2])
    if mirrored:
        logits, columns = logits[:, :, ::-1], width - 1 - columns[::-1]
    return Pass(logits, field, rows, columns)


def _average(passes: list[Pass], grid: Pass, average: str, activation: str) -> np.ndarray:
    """The mean of all passes at the cells of `grid`: float32 (images, rows, columns, classes)."""
    total = np.zeros(grid.logits.shape)
    of_logits = average == "logits" or activation == NONE
    for run in passes:
        for index, logits in enumerate(run.logits):
            values = logits.astype(np.float64) if of_logits else np.exp(log_probabilities(logits, activation))
            total[index] += bilinear(values, (run.rows, run.columns), (grid.rows, grid.columns))
    total /= len(passes)
    return (total if of_logits else logits_of(total, activation)).astype(np.float32)
