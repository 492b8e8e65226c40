"""`export`: a network in the format of another runtime, run there and compared before anybody sees it."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from vggfcn.conversion.verify import rounding
from vggfcn.difference import Difference
from vggfcn.engines.engine import check
from vggfcn.errors import ExportError, GeometryError, one_line
from vggfcn.exports import formats
from vggfcn.exports.formats import Format, format_of
from vggfcn.exports.runtimes import RUNTIMES
from vggfcn.exports.writers import WRITERS
from vggfcn.files import replacing_all
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.graph.walking import native_shape


@dataclasses.dataclass(frozen=True)
class BatchDifference(Difference):
    """How far the exported network is from the Keras model on one batch of random images of that `shape`.

    `max_abs_error` is the largest difference of any two values, `largest` the Keras model's largest, and
    `max_rel_error` the former as a share of it; the errors are infinite if `output_shape` is not the Keras model's.
    """

    shape: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Export:
    """What was exported: format, where it lies, how large it is in bytes, and how it compares with the Keras model.

    `tolerance` is what rounding explains of each `max_rel_error`: none is larger.
    """

    format: str
    path: pathlib.Path
    size: int
    tolerance: float
    comparisons: tuple[BatchDifference, ...]


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 It is what Keras calls it too.
    input_shape: tuple[int, ...] | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a model in another runtime's format, and prove there that it is still the same network.

    `model` is any built Keras model of one input and one output, such as `vggfcn.build`, `vggfcn.convert` and
    `vggfcn.with_output_stride` give. What is fed to the exported network and what comes out is the same as in Keras,
    as a rule float32 (batch, height, width, 3) in [0, 255], and (batch, rows, columns, classes); what the model
    leaves open, images' height and width, stays open.

    `format` is "saved_model" (a folder), "onnx" (.onnx), "openvino" (.xml, and .bin beside it), "litert" (.tflite) or
    "keras" (.keras); if it is None the path's ending says it.

    The network is run by its own runtime on random images, at native size and, if the model leaves sizes open, at a
    larger one that is no square. `input_shape` is the native size, (rows, columns, channels), by default the least
    image for which the network has a cell. Only then does the export appear at `path`, whole; with `overwrite`, in
    place of what was there.

    Raises `ExportError` if the format's library is not installed, the format is unknown or contradicts the path, the
    path is taken, the network cannot be written or run in that format, or is not the same network there;
    `ConversionError` if the native size is unknown or `input_shape` does not fit; `ValueError` for other models.

    >>> export(model, "digits.onnx").comparisons[0].max_abs_error < 1e-4
    True
    """
    path = pathlib.Path(path)
    wanted = format_of(path, format)
    formats.check(path, wanted, overwrite)
    check(model)
    batches = [_images(shape, model.inputs[0].dtype) for shape in _shapes(model, input_shape)]
    tolerance = rounding(model)[1]
    with replacing_all(wanted.beside(path)) as folder:
        outputs = _written_and_run(model, folder / path.name, wanted, batches)
        comparisons = tuple(_compare(model, *pair) for pair in zip(batches, outputs, strict=True))
        for found in comparisons:
            if not found.max_rel_error <= tolerance:
                raise ExportError(_not_the_same(path, wanted, found, tolerance))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Export(wanted.name, path, size, tolerance, comparisons)


def _shapes(model: keras.Model, input_shape: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """Of two batches: one at native size, two at another size, as far as the model leaves that open."""
    (given,) = model.inputs
    batch, *own = given.shape
    if input_shape is None and None in own:
        input_shape = _least(model)
    native = native_shape(given, input_shape)
    # Neither a square, nor whole strides larger.
    larger = (native[0] + native[0] // 6 + 1, *(size + size // 2 + 2 for size in native[1:]))
    other = (size if fixed else more for fixed, size, more in zip(own, native, larger, strict=True))
    return [(batch or 1, *native), (batch or 2, *other)]


def _least(model: keras.Model) -> tuple[int, ...] | None:
    """The least image for which the network has a cell, if that can be known."""
    try:
        field = receptive_field(model)
    except GeometryError:
        return None
    return field.rows.window, field.columns.window, model.inputs[0].shape[-1]


def _images(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def _written_and_run(
    model: keras.Model, path: pathlib.Path, wanted: Format, batches: list[np.ndarray]
) -> list[np.ndarray]:
    """The outputs of the exported network; it is open no more."""
    doing = "written as"
    try:
        WRITERS[wanted.name](model, path)
        doing = "run as"
        run = RUNTIMES[wanted.name](path)
        return [run(batch) for batch in batches]
    except MemoryError:
        raise
    except Exception as error:  # Each library raises what it likes.
        said = one_line(error, 300)
        raise ExportError(f"{model.name} cannot be {doing} {wanted.name}: {said}") from error


def _compare(model: keras.Model, batch: np.ndarray, found: np.ndarray) -> BatchDifference:
    output = keras.tree.flatten(model(batch, training=False))[0]
    expected = np.asarray(keras.ops.convert_to_numpy(output), np.float64)
    if found.shape != expected.shape:
        difference = Difference(np.inf, np.inf, float(np.abs(expected).max()))
    else:
        difference = Difference.between(expected, found)
    return BatchDifference(**dataclasses.asdict(difference), shape=batch.shape, output_shape=found.shape)


def _not_the_same(path: pathlib.Path, wanted: Format, found: BatchDifference, tolerance: float) -> str:
    if found.max_abs_error == np.inf:
        how = f"its output has the shape {found.output_shape}"
    else:
        how = f"it differs by {found.max_abs_error:.1e}, {found.max_rel_error:.1e} of the largest value"
    return (
        f"{path}: not written, since as {wanted.name} it is not the same network: on images of {found.shape} {how}, "
        f"and rounding explains {tolerance:.1e}"
    )
