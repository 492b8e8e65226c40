"""`vggfcn compare`: the dense map of an image against its windows evaluated one by one."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.options import TENSORFLOW, Engine, Json, MaxSide, Network, OutputStride, Quiet, with_network

if TYPE_CHECKING:
    from vggfcn.evaluation.dense_vs_windows import Comparison


@with_network
def compare(
    image: Annotated[pathlib.Path, typer.Argument(help="An image.")],
    network: Network,
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
    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier
    from vggfcn.images import resizing

    reporter = Reporter(as_json, quiet)
    pixels = read_image_quietly(image)
    classifier, reason = load_classifier(reporter, network, [image])
    fitted = resizing.fit(pixels, classifier.native_size, max_side)
    fitted = resizing.with_channels(fitted, classifier.channels)
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.dense_vs_windows import compare as run

        status("building the network")
        model = classifier.build("conv")
    with reporter.progress("dense map, then windows", "windows") as progress:
        result = run(
            model,
            fitted,
            output_stride=output_stride,
            native_size=classifier.native_size,
            engine=engine.value,
            progress=progress,
        )
    values = {**classifier_json(classifier), "image": str(image), **dataclasses.asdict(result)}
    reporter.json({**values, "speedup": result.speedup})
    report_classifier(reporter, classifier, reason)
    for name, text in _rows(image, fitted.shape, classifier.native_size, result).items():
        reporter.report(f"{name:13}{text}")


def _rows(image: pathlib.Path, shape: tuple[int, ...], window: tuple[int, int], result: "Comparison") -> dict[str, str]:
    rows, columns = result.cells
    return {
        "image": f"{image}, evaluated at {shape[1]} x {shape[0]} pixels",
        "engine": result.engine,
        "cells": f"{rows} x {columns}, each a window of {window[1]} x {window[0]} pixels",
        "difference": f"of the logits: mean {result.mean_abs_error:.2g}, largest {result.max_abs_error:.2g}; "
        f"the largest logit is {result.largest:.1f}",
        "same class": f"in {result.same_class:.1%} of the cells",
        "time": f"{result.dense_seconds:.2f} s for the dense map, {result.windows_seconds:.2f} s window by window "
        f"({result.speedup:.1f} times as long)",
    }
