"""`vggfcn inspect`: what a classifier takes, what it returns, and which preprocessing it was trained with."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier
from vggfcn.cli.options import Json, Network, Quiet, with_network
from vggfcn.errors import ImageError

if TYPE_CHECKING:
    import numpy as np

    from vggfcn.checkpoints.preprocessing import Preprocessing
    from vggfcn.evaluation.accuracy.dataset import LabelledImage
    from vggfcn.evaluation.classifier import Classifier
    from vggfcn.evaluation.preprocessing_trial import Trial

SHOWN = 12  # class names
IMAGES = 4  # that padding is measured on


@with_network
def inspect(
    weights: Annotated[
        str, typer.Argument(metavar="MODEL", help="A Keras model file, .keras or .h5, or anything --weights takes.")
    ],
    network: Network,
    images: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR_OR_LIST",
            help="A few labelled images: a folder with one folder per class, or a text file with a path, a space and a "
            "class on each line. Every known preprocessing is tried on them.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a classifier takes and returns; with --images, also which preprocessing it was trained with."""
    reporter = Reporter(as_json, quiet)
    classifier, reason = load_classifier(reporter, network, needs_input=False)
    dataset = None
    if images is not None:
        from vggfcn.evaluation.accuracy.dataset import list_images

        dataset = list_images(images, classifier.labels)
    trials: list[Trial] = []
    with reporter.loading_tensorflow():
        from vggfcn.evaluation.padding import padding_of
        from vggfcn.evaluation.preprocessing_trial import try_preprocessing
    if dataset is not None:
        with reporter.progress("trying each preprocessing", "images") as progress:
            trials = try_preprocessing(classifier, dataset, progress)
    with reporter.status("measuring what padding does"):
        effect = padding_of(classifier, _some(dataset or ()), _best(trials, classifier.channels))
    reporter.json(_as_json(classifier, trials) | {"padding": dataclasses.asdict(effect)})
    report_classifier(reporter, classifier, reason)
    for name, text in _facts(classifier).items():
        reporter.report(f"{name:10}{text}")
    reporter.report(f"padding   {effect}")
    if trials:
        reporter.report(_table(trials))


def _best(trials: "list[Trial]", channels: int) -> "Preprocessing | None":
    """The preprocessing that the trials show to be best; None if they do not decide."""
    from vggfcn.checkpoints.preprocessing import parse_preprocessing

    good = [trial.preprocess for trial in trials if not trial.worse]
    return parse_preprocessing(good[0], channels) if len(good) == 1 else None


def _some(dataset: "Sequence[LabelledImage]") -> "list[np.ndarray]":
    """A few images from all over the set, which lists one class after the other; not those that cannot be read."""
    images = []
    for labelled in dataset[:: max(1, len(dataset) // IMAGES)]:
        with contextlib.suppress(ImageError):
            images.append(read_image_quietly(labelled.path))
        if len(images) == IMAGES:
            break
    return images


def _facts(classifier: "Classifier") -> dict[str, str]:
    names = [classifier.labels[index] for index in range(min(SHOWN, classifier.classes))]
    more = f", ... ({classifier.classes})" if classifier.classes > SHOWN else ""
    rows, columns = classifier.field.rows, classifier.field.columns
    return {
        "classes": ", ".join(names) + more,
        "cells": f"{columns.stride} x {rows.stride} pixels apart, each reads {columns.size} x {rows.size} pixels",
    }


def _as_json(classifier: "Classifier", trials: "list[Trial]") -> dict[str, Any]:
    height, width = classifier.native_size
    rows, columns = classifier.field.rows, classifier.field.columns
    return {
        **classifier_json(classifier),
        "native_size": [height, width],
        "channels": classifier.channels,
        "classes": [classifier.labels[index] for index in range(classifier.classes)],
        "stride": [rows.stride, columns.stride],
        "receptive_field": [rows.size, columns.size],
        "trials": [dataclasses.asdict(trial) for trial in trials],
    }


def _table(trials: "list[Trial]") -> Table:
    from vggfcn.evaluation.preprocessing_trial import verdict

    table = Table(title=f"Top-1 by preprocessing: {verdict(trials)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("--preprocess", no_wrap=True)
    headings = ["right", "of", "top-1, %"]
    if trials[0].mean_score is not None:
        headings.append("mean probability of the true class")
    for heading in headings:
        table.add_column(heading, justify="right")
    for trial in trials:
        row = [trial.preprocess, str(trial.right), str(trial.images), f"{100 * trial.top1:.1f}"]
        table.add_row(*row, *([] if trial.mean_score is None else [f"{trial.mean_score:.3f}"]))
    return table
