"""`vggfcn compare`: the dense map of an image against its windows evaluated one by one."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.options import TENSORFLOW, Engine, Json, MaxSide, OutputStride, Quiet, Weights

if TYPE_CHECKING:
    from vggfcn.evaluation.dense_vs_windows import Comparison


def compare(
    image: Annotated[pathlib.Path, typer.Argument(help="An image.")],
    weights: Weights = "auto",
    output_stride: OutputStride = None,
    engine: Engine = TENSORFLOW,
    max_side: MaxSide = 1280,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare the dense map of an image with windows evaluated one by one: difference and speed.

    If a network has padding, a cell of the dense map sees the window's surroundings, whereas a window alone is
    surrounded by zeros, so the two differ. Without padding they are equal up to rounding.
    """
    from vggfcn.cli.loading import load_classifier, weights_text
    from vggfcn.images import resizing

    reporter = Reporter(as_json, quiet)
    pixels = read_image_quietly(image)
    classifier, reason = load_classifier(reporter, weights)
    window = classifier.architecture.native_size
    fitted = resizing.fit(pixels, window, max_side)
    fitted = resizing.with_channels(fitted, classifier.architecture.channels)
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.dense_vs_windows import compare as run

        status("building the network")
        model = classifier.build("conv")
    with reporter.progress("dense map, then windows", "windows") as progress:
        result = run(model, fitted, output_stride=output_stride, engine=engine.value, progress=progress)
    values = {"weights": classifier.weights, "image": str(image), **dataclasses.asdict(result)}
    reporter.json({**values, "speedup": result.speedup})
    reporter.report(f"{'weights':13}{weights_text(classifier, reason)}")
    for name, text in _rows(image, fitted.shape, window, result).items():
        reporter.report(f"{name:13}{text}")


def _rows(image: pathlib.Path, shape: tuple[int, ...], window: int, result: "Comparison") -> dict[str, str]:
    rows, columns = result.cells
    return {
        "image": f"{escape(str(image))}, evaluated at {shape[1]} x {shape[0]} pixels",
        "engine": result.engine,
        "cells": f"{rows} x {columns}, each a window of {window} x {window} pixels",
        "difference": f"of the logits: mean {result.mean_abs_error:.2g}, largest {result.max_abs_error:.2g}; "
        f"the largest logit is {result.largest:.1f}",
        "same class": f"in {result.same_class:.1%} of the cells",
        "time": f"{result.dense_seconds:.2f} s for the dense map, {result.windows_seconds:.2f} s window by window "
        f"({result.speedup:.1f} times as long)",
    }
