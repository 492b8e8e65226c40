"""`vggfcn export`: write a network for another runtime, and run it there to compare."""

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Annotated

import typer

from vggfcn.cli.console import Reporter
from vggfcn.cli.options import Json, Network, Quiet, output_option, with_network
from vggfcn.exports.formats import FORMATS, check, format_of
from vggfcn.loading import silenced

if TYPE_CHECKING:
    from vggfcn.exports.export import Export


@with_network
def export(
    out: Annotated[
        pathlib.Path, typer.Argument(help="The file or folder to write: .onnx, .xml, .tflite, .keras, or a folder.")
    ],
    network: Network,
    file_format: Annotated[
        str | None, output_option("--format", help=f"{', '.join(FORMATS)}. Default: from OUT's suffix.")
    ] = None,
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the fully convolutional network for another runtime, and prove there that its output is the same.

    If it is not, the exit code is 1 and OUT stays unchanged.
    """
    if file_format is not None and file_format not in FORMATS:
        raise typer.BadParameter(f"--format: expected {', '.join(FORMATS)}, got {file_format!r}")
    target = format_of(out, file_format)
    check(out, target, overwrite)

    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier

    reporter = Reporter(as_json, quiet)
    classifier, reason = load_classifier(reporter, network, needs_input=False)
    start = time.perf_counter()
    with reporter.loading_tensorflow() as status:
        from vggfcn.exports.export import export as run

        status("building the network")
        model = classifier.to_save()
        status(f"exporting to {target.name}, and running it there")
        shape = *classifier.native_size, classifier.channels
        with silenced():
            result = run(model, out, format=target.name, input_shape=shape, overwrite=overwrite)
    values = dataclasses.asdict(result)
    reporter.json({**classifier_json(classifier), **values, "path": str(result.path)})
    report_classifier(reporter, classifier, reason)
    _report(reporter, result)
    reporter.report(f"{time.perf_counter() - start:6.2f} s")


def _report(reporter: Reporter, result: "Export") -> None:
    reporter.report(f"written   {result.path}, {result.format}, {result.size / 1e6:.1f} MB")
    for comparison in result.comparisons:
        batch, rows, columns, _ = comparison.shape
        reporter.report(
            f"compared  {batch} of {columns} x {rows} pixels: logits differ by at most "
            f"{comparison.max_abs_error:.1e}, {comparison.max_rel_error:.1e} of the largest logit"
        )
    reporter.report(f"rounding  explains {result.tolerance:.1e} of the largest logit")
