"""`vggfcn export`: a network in another runtime's format, run there and compared before it is put in place."""

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vggfcn.cli.console import Reporter
from vggfcn.cli.options import Json, Quiet, Weights, output_option
from vggfcn.exports.formats import FORMATS, check, format_of
from vggfcn.loading import silenced

if TYPE_CHECKING:
    from vggfcn.exports.export import Export


def export(
    out: Annotated[pathlib.Path, typer.Argument(help="What to write: .onnx, .xml, .tflite, .keras, or a folder.")],
    file_format: Annotated[
        str | None, output_option("--format", help=f"{', '.join(FORMATS)}; what OUT's ending says if not given.")
    ] = None,
    weights: Weights = "auto",
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the fully convolutional network for another runtime, and prove there that it is still the same.

    The exit code is 1, and OUT is as it was, if it is not.
    """
    if file_format is not None and file_format not in FORMATS:
        raise typer.BadParameter(f"--format: expected {', '.join(FORMATS)}, got {file_format!r}")
    wanted = format_of(out, file_format)
    check(out, wanted, overwrite)

    from vggfcn.cli.loading import classifier_of, described

    reporter = Reporter(as_json, quiet)
    classifier, reason = classifier_of(reporter, weights)
    network = classifier.architecture
    start = time.perf_counter()
    with reporter.loading_tensorflow() as now:
        from vggfcn.exports.export import export as run

        now("building the network")
        model = classifier.build("conv")
        now(f"exporting to {wanted.name}, and running it there")
        shape = network.native_size, network.native_size, network.channels
        with silenced():
            found = run(model, out, format=wanted.name, input_shape=shape, overwrite=overwrite)
    values = dataclasses.asdict(found)
    reporter.object({"weights": classifier.weights, **values, "path": str(found.path)})
    reporter.report(f"weights   {described(classifier, reason)}")
    _say(reporter, found)
    reporter.report(f"{time.perf_counter() - start:6.2f} s")


def _say(reporter: Reporter, found: "Export") -> None:
    reporter.report(f"written   {escape(str(found.path))}, {found.format}, {found.size / 1e6:.1f} MB")
    for one in found.comparisons:
        batch, rows, columns, _ = one.shape
        reporter.report(
            f"compared  {batch} of {columns} x {rows} pixels: logits differ by at most {one.max_abs_error:.1e}, "
            f"{one.max_rel_error:.1e} of the largest"
        )
    reporter.report(f"rounding  explains {found.tolerance:.1e} of the largest")
