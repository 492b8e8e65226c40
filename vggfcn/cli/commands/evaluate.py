"""`vggfcn evaluate`: top-1 and top-5 error of a network on labelled images."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter, complain
from vggfcn.cli.options import (
    TENSORFLOW,
    Engine,
    Json,
    Network,
    Quiet,
    evaluation_option,
    numbers,
    output_option,
    with_network,
)
from vggfcn.loading import silenced

if TYPE_CHECKING:
    from vggfcn.evaluation.accuracy.vgg_protocol import Evaluation

SHOWN = 20  # unreadable images at most; --json lists all


@with_network
def evaluate(
    images: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="DIR_OR_LIST",
            help="A folder with one folder per class, or a text file with a path, a space and a class on each line.",
        ),
    ],
    network: Network,
    results_file: Annotated[
        pathlib.Path | None,
        output_option("--results", help="A JSON lines file to append to; an interrupted run continues from it."),
    ] = None,
    sizes: Annotated[
        str | None,
        evaluation_option(
            help="Three scales, as the shorter side in pixels. Default: 256,384,512 for a native size of 224."
        ),
    ] = None,
    engine: Engine = TENSORFLOW,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure top-1 and top-5 error as in the VGG paper: dense, on 150 crops, and both; at one scale and three.

    The exit code is 1 if an image cannot be read; the others are still evaluated.
    """
    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier
    from vggfcn.cli.outputs import check_file
    from vggfcn.evaluation.accuracy.dataset import list_images

    reporter = Reporter(as_json, quiet)
    scales = numbers(sizes, int)
    if results_file is not None:
        check_file(results_file, [images], "choose another file for --results")
    classifier, reason = load_classifier(reporter, network, [images])
    dataset = list_images(images, classifier.labels)
    with reporter.loading_tensorflow():
        from vggfcn.evaluation.accuracy.vgg_protocol import default_sizes, evaluate

    scales = scales or default_sizes(classifier.native_size[0])
    with silenced(), reporter.progress("evaluating", "images") as progress:
        evaluation = evaluate(classifier, dataset, scales, results_file, progress, engine.value)
    reporter.json({**classifier_json(classifier), "sizes": scales, **dataclasses.asdict(evaluation)})
    report_classifier(reporter, classifier, reason)
    reporter.report(_table(classifier.source, scales, evaluation))
    if evaluation.unreadable:
        _report_unreadable(evaluation.unreadable)
        raise typer.Exit(1)


def _table(weights: str, scales: tuple[int, ...], evaluation: "Evaluation") -> Table:
    all_scales = ", ".join(map(str, scales))
    descriptions = {
        "center_crop": ("centre crop", str(scales[1])),
        "dense_single_scale": ("dense", str(scales[1])),
        "dense_multi_scale": ("dense", all_scales),
        "multi_crop": ("multi-crop, 150", all_scales),
        "multi_crop_and_dense": ("multi-crop and dense", all_scales),
    }
    title = f"{weights}, {evaluation.images:,} images, on {evaluation.engine}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("evaluation", no_wrap=True)
    table.add_column("scales")
    for heading in ("top-1 error, %", "wrong", "top-5 error, %", "wrong"):
        table.add_column(heading, justify="right")
    for row in evaluation.rows:
        top1, top5 = _cells(row.top1_error, row.top1_errors), _cells(row.top5_error, row.top5_errors)
        table.add_row(*descriptions[row.protocol], *top1, *top5)
    return table


def _cells(share: float | None, count: int | None) -> tuple[str, str]:
    return ("-", "-") if share is None else (f"{100 * share:.2f}", f"{count:,}")


def _report_unreadable(unreadable: dict[str, str]) -> None:
    details = list(unreadable.values())[:SHOWN]
    if len(unreadable) > SHOWN:
        details.append(f"and {len(unreadable) - SHOWN} more")
    complain(f"Skipped {len(unreadable)} images that could not be read:", *details)
