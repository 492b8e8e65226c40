"""`vggfcn export`: a network in another runtime's format, run there and compared before it is put in place."""

import dataclasses
import json
import pathlib
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vggfcn.cli_options import Json, Weights
from vggfcn.console import load_tensorflow, messages, results, silence
from vggfcn.export_formats import FORMATS, check, format_of
from vggfcn.pretrained import choose, load

if TYPE_CHECKING:
    from vggfcn.exports import Export


def export(
    out: Annotated[pathlib.Path, typer.Argument(help="What to write: .onnx, .xml, .tflite, .keras, or a folder.")],
    file_format: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; what OUT's ending says if not given.")
    ] = None,
    weights: Weights = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing unless something is refused.")] = False,
) -> None:
    """Write the fully convolutional network for another runtime, and prove there that it is still the same.

    The exit code is 1, and OUT is as it was, if it is not.
    """
    if file_format is not None and file_format not in FORMATS:
        raise typer.BadParameter(f"--format: expected {', '.join(FORMATS)}, got {file_format!r}")
    wanted = format_of(out, file_format)
    check(out, wanted, overwrite)
    name, reason = choose(weights)
    classifier = load(name)
    network = classifier.architecture
    start = time.perf_counter()
    with messages.status("loading TensorFlow") as status:
        load_tensorflow()
        from vggfcn.exports import export as run

        model = classifier.build("conv")
        status.update(f"exporting to {wanted.name}")
        shape = network.native_size, network.native_size, network.channels
        with silence():
            found = run(model, out, format=wanted.name, input_shape=shape, overwrite=overwrite)
    if as_json:
        print(json.dumps({"weights": name, **dataclasses.asdict(found)}, default=str))
    elif not quiet:
        results.print(f"weights   {escape(name)} ({escape(reason)})")
        _say(found)
        results.print(f"{time.perf_counter() - start:6.2f} s")


def _say(found: "Export") -> None:
    results.print(f"written   {escape(str(found.path))}, {found.format}, {found.size / 1e6:.1f} MB")
    for one in found.comparisons:
        batch, rows, columns, _ = one.shape
        results.print(
            f"compared  {batch} of {columns} x {rows} pixels: logits differ by at most {one.max_abs_error:.1e}, "
            f"{one.max_rel_error:.1e} of the largest"
        )
    results.print(f"rounding  explains {found.tolerance:.1e} of the largest")
