"""`vggfcn evaluate`: the errors of a network on labelled images, as a table or as JSON, with a bar while it runs."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from vggfcn.cli.console import Reporter, complain
from vggfcn.cli.options import (
    TENSORFLOW,
    Engine,
    Json,
    LabelFile,
    Quiet,
    Weights,
    evaluation_option,
    numbers,
    output_option,
)
from vggfcn.loading import silenced

if TYPE_CHECKING:
    from vggfcn.evaluation.vgg_protocol import Evaluation

SHOWN = 20  # of images that cannot be read; JSON has them all


def evaluate(
    images: Annotated[
        pathlib.Path, typer.Argument(metavar="DIR_OR_LIST", help="A folder of class folders, or a list: path, class.")
    ],
    weights: Weights = "auto",
    labels: LabelFile = None,
    results_file: Annotated[
        pathlib.Path | None,
        output_option("--results", help="JSON lines to add to; a stopped run goes on there."),
    ] = None,
    sizes: Annotated[
        str | None,
        evaluation_option(help="Three scales: the shorter side in pixels; 256,384,512 for a native size of 224."),
    ] = None,
    engine: Engine = TENSORFLOW,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Top-1 and top-5 error as the VGG paper measures them: densely, on 150 crops, and both; at one scale and three.

    Exits with 1 if an image cannot be read; the others are evaluated all the same.
    """
    from vggfcn.cli.loading import classifier_of
    from vggfcn.evaluation.dataset import list_images

    reporter = Reporter(as_json, quiet)
    scales = numbers(sizes, int)
    classifier, _ = classifier_of(reporter, weights, labels)
    found = list_images(images, classifier.labels)
    with reporter.loading_tensorflow():
        from vggfcn.evaluation.vgg_protocol import default_sizes, evaluate

    scales = scales or default_sizes(classifier.architecture.native_size)
    with silenced(), reporter.progress("evaluating", "images") as tick:
        evaluation = evaluate(classifier, found, scales, results_file, tick, engine.value)
    reporter.object({"weights": classifier.weights, "sizes": scales, **dataclasses.asdict(evaluation)})
    reporter.report(_table(classifier.weights, scales, evaluation))
    if evaluation.unreadable:
        _name_unreadable(evaluation.unreadable)
        raise typer.Exit(1)


def _table(weights: str, scales: tuple[int, ...], evaluation: "Evaluation") -> Table:
    every = ", ".join(map(str, scales))
    shown = {
        "center_crop": ("the middle crop alone", str(scales[1])),
        "dense_single_scale": ("dense", str(scales[1])),
        "dense_multi_scale": ("dense", every),
        "multi_crop": ("multi-crop, 150", every),
        "multi_crop_and_dense": ("multi-crop and dense", every),
    }
    title = f"{weights}, {evaluation.images:,} images, on {evaluation.engine}"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("evaluation", no_wrap=True)
    table.add_column("scales")
    for heading in ("top-1 error, %", "wrong", "top-5 error, %", "wrong"):
        table.add_column(heading, justify="right")
    for row in evaluation.rows:
        top1, top5 = _cells(row.top1_error, row.top1_errors), _cells(row.top5_error, row.top5_errors)
        table.add_row(*shown[row.protocol], *top1, *top5)
    return table


def _cells(share: float | None, count: int | None) -> tuple[str, str]:
    return ("-", "-") if share is None else (f"{100 * share:.2f}", f"{count:,}")


def _name_unreadable(unreadable: dict[str, str]) -> None:
    details = list(unreadable.values())[:SHOWN]
    if len(unreadable) > SHOWN:
        details.append(f"and {len(unreadable) - SHOWN} more")
    complain(f"{len(unreadable)} could not be read and are not counted:", *details)
