"""`vggfcn compare`: the dense map of an image beside its windows evaluated one by one."""

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
    """Say how far the dense map of an image is from its windows one by one, and how much faster it was.

    A network with padding sees a window's surroundings on the dense map, and zeros around a window alone: the two
    differ, and this says by how much. Without padding they are the same to rounding.
    """
    from vggfcn.cli.loading import classifier_of, described
    from vggfcn.images import resizing

    reporter = Reporter(as_json, quiet)
    pixels = read_image_quietly(image)
    classifier, reason = classifier_of(reporter, weights)
    window = classifier.architecture.native_size
    fitted = resizing.fit(pixels, window, max_side)
    fitted = resizing.with_channels(fitted, classifier.architecture.channels)
    with reporter.loading_tensorflow() as now:
        from vggfcn.evaluation.dense_vs_windows import compare as run

        now("building the network")
        model = classifier.build("conv")
    with reporter.progress("the dense map, then windows", "windows") as tick:
        result = run(model, fitted, output_stride=output_stride, engine=engine.value, progress=tick)
    found = {"weights": classifier.weights, "image": str(image), **dataclasses.asdict(result)}
    reporter.object({**found, "speedup": result.speedup})
    reporter.report(f"{'weights':13}{described(classifier, reason)}")
    for name, text in _rows(image, fitted.shape, window, result).items():
        reporter.report(f"{name:13}{text}")


def _rows(image: pathlib.Path, shape: tuple[int, ...], window: int, result: "Comparison") -> dict[str, str]:
    rows, columns = result.cells
    return {
        "image": f"{escape(str(image))}, evaluated at {shape[1]} x {shape[0]} pixels",
        "engine": result.engine,
        "cells": f"{rows} x {columns}, each for a window of {window} x {window} pixels",
        "difference": f"of logits {result.mean_abs_error:.2g} on average, {result.max_abs_error:.2g} at most; "
        f"the largest logit is {result.largest:.1f}",
        "same class": f"in {result.same_class:.1%} of the cells",
        "time": f"{result.dense_seconds:.2f} s densely, {result.windows_seconds:.2f} s window by window: "
        f"{result.speedup:.1f} times as long",
    }
