"""`export`: write a network in another runtime's format, and compare its outputs there before it appears."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from vggfcn.conversion.logits import ending
from vggfcn.conversion.verify import rounding
from vggfcn.difference import Difference
from vggfcn.engines.engine import check
from vggfcn.errors import ExportError, GeometryError, one_line
from vggfcn.exports import formats
from vggfcn.exports.formats import Format, format_of
from vggfcn.exports.runtimes import RUNTIMES
from vggfcn.exports.writers import WRITERS
from vggfcn.files import check_room, replacing_all
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.graph.walking import native_shape
from vggfcn.temporary import libraries_tidied, temporary_folder


@dataclasses.dataclass(frozen=True)
class BatchDifference(Difference):
    """How much the exported network's output differs from the Keras model's, on one batch of random images.

    - `max_abs_error`: the largest difference between two corresponding values.
    - `max_rel_error`: the same, divided by the Keras model's largest value.
    - `largest`: the Keras model's largest absolute value.
    - `shape`: of the batch.
    - `output_shape`: of the exported network's output. If the Keras model's differs, both errors are infinite.
    """

    shape: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Export:
    """The result of `export`.

    - `format`: the name of the format.
    - `path`: where the export was written.
    - `size`: in bytes, all its files together.
    - `tolerance`: the largest `max_rel_error` that rounding can explain; no comparison exceeds it.
    - `comparisons`: the comparisons with the Keras model, one per batch of images. If the model ends in a softmax or
      sigmoid, they are of the logits before it, from a second file that is written for this alone.
    """

    format: str
    path: pathlib.Path
    size: int
    tolerance: float
    comparisons: tuple[BatchDifference, ...]


@libraries_tidied()
def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 Keras calls it that, too.
    input_shape: tuple[int, ...] | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a model in another runtime's format, and check there that it is still the same network.

    The exported network has the same input and output as the Keras model, as a rule float32 (batch, height, width, 3)
    in [0, 255] and (batch, rows, columns, classes). Axes of any size, such as height and width, stay so.

    Before the export appears at `path`, its own runtime runs it on random images: at the native size and, if the model
    takes any size, at a larger size that is not square. If the model ends in a softmax or sigmoid, it is run without
    that, too, since probabilities near 0 and 1 hide differences.

    - `model`: a built Keras model with one input and one output, for example from `vggfcn.build`, `vggfcn.convert` or
      `vggfcn.with_output_stride`.
    - `path`: the file or folder to write.
    - `format`: "saved_model" (a folder), "onnx" (.onnx), "openvino" (.xml, with a .bin beside it), "litert" (.tflite)
      or "keras" (.keras). If it is None, the path's ending decides.
    - `input_shape`: the native size, (rows, columns, channels). By default it is the smallest image for which the
      network's map has a cell.
    - `overwrite`: whether to replace an earlier export at `path`.

    Raises `ExportError` if the format's library is not installed, the format is unknown or contradicts the path, the
    path exists, the network cannot be written or run in that format, or its outputs differ. Raises `ConversionError` if
    the native size is unknown or `input_shape` does not fit, and `ValueError` if `model` is no such model.

    >>> export(model, "digits.onnx").comparisons[0].max_abs_error < 1e-4
    True
    """
    path = pathlib.Path(path)
    target = format_of(path, format)
    formats.check(path, target, overwrite)
    check(model)
    check_room(path.parent, model.count_params() * 4)
    batches = [_images(shape, model.inputs[0].dtype) for shape in _shapes(model, input_shape)]
    tolerance = rounding(model)[1]
    logits = ending(model).model
    comparisons: tuple[BatchDifference, ...] = ()
    if logits is not model:
        # A softmax or sigmoid that is sure of its answer hides differences, so what it gets is compared too.
        with temporary_folder(path.parent) as other:
            comparisons = _compared(logits, other / path.name, path, target, batches, tolerance)
    with replacing_all(target.paths(path)) as folder:
        of_outputs = _compared(model, folder / path.name, path, target, batches, tolerance)
        comparisons = comparisons or of_outputs
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Export(target.name, path, size, tolerance, comparisons)


def _compared(
    model: keras.Model,
    file: pathlib.Path,
    path: pathlib.Path,
    target: Format,
    batches: list[np.ndarray],
    tolerance: float,
) -> tuple[BatchDifference, ...]:
    """Write a network to a file, run it there and compare; `path` is what messages name.

    Raises `ExportError` if an output differs by more than rounding explains. Probabilities differ relative to 1.
    """
    outputs = _write_and_run(model, file, target, batches)
    least = 1.0 if ending(model).function in ("softmax", "sigmoid") else 0.0
    comparisons = tuple(_compare(model, *pair, least) for pair in zip(batches, outputs, strict=True))
    for comparison in comparisons:
        if not comparison.max_rel_error <= tolerance:
            raise ExportError(_difference_message(path, target, comparison, tolerance))
    return comparisons


def _shapes(model: keras.Model, input_shape: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """The shapes of two batches: one image of native size, and two larger ones as far as the model takes any size."""
    (model_input,) = model.inputs
    batch, *axes = model_input.shape
    if input_shape is None and None in axes:
        input_shape = _smallest_image(model)
    native = native_shape(model_input, input_shape)
    # Not square, and not larger by a multiple of the stride.
    larger = (native[0] + native[0] // 6 + 1, *(size + size // 2 + 2 for size in native[1:]))
    second = (size if fixed else more for fixed, size, more in zip(axes, native, larger, strict=True))
    return [(batch or 1, *native), (batch or 2, *second)]


def _smallest_image(model: keras.Model) -> tuple[int, ...] | None:
    """The shape of the smallest image for which the network's map has a cell; None if the window is unknown."""
    try:
        field = receptive_field(model)
    except GeometryError:
        return None
    return field.rows.window, field.columns.window, model.inputs[0].shape[-1]


def _images(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def _write_and_run(
    model: keras.Model, path: pathlib.Path, target: Format, batches: list[np.ndarray]
) -> list[np.ndarray]:
    """Write the network and return its outputs; its files are closed afterwards."""
    step = "written as"
    try:
        WRITERS[target.name](model, path)
        step = "run as"
        run = RUNTIMES[target.name](path)
        return [run(batch) for batch in batches]
    except MemoryError:
        raise
    except Exception as error:  # The libraries raise exceptions of all kinds.
        reason = one_line(error, 300)
        raise ExportError(f"{model.name} cannot be {step} {target.name}: {reason}") from error


def _compare(model: keras.Model, batch: np.ndarray, actual: np.ndarray, least: float = 0.0) -> BatchDifference:
    """The difference on one batch; relative to the largest value, or to `least` if that is larger."""
    output = keras.tree.flatten(model(batch, training=False))[0]
    expected = np.asarray(keras.ops.convert_to_numpy(output), np.float64)
    if actual.shape != expected.shape:
        difference = Difference(np.inf, np.inf, float(np.abs(expected).max()))
    else:
        difference = Difference.between(expected, actual)
        if difference.largest < least:
            error = difference.max_abs_error
            difference = Difference(error, error / least, difference.largest)
    return BatchDifference(**dataclasses.asdict(difference), shape=batch.shape, output_shape=actual.shape)


def _difference_message(path: pathlib.Path, target: Format, comparison: BatchDifference, tolerance: float) -> str:
    if comparison.max_abs_error == np.inf:
        difference = f"its output has the shape {comparison.output_shape}"
    else:
        error, share = comparison.max_abs_error, comparison.max_rel_error
        difference = f"its output differs by {error:.1e}, {share:.1e} of the largest value"
    return (
        f"{path}: not written, because the {target.name} network is not the same: on images of {comparison.shape} "
        f"{difference}, and rounding explains {tolerance:.1e}"
    )
