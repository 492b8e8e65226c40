"""`vggfcn compare`: the dense map of a picture beside its windows evaluated one by one."""

import dataclasses
import json
import pathlib
from typing import Annotated

import typer
from rich.markup import escape

from vggfcn import images
from vggfcn.cli_options import Json, MaxSide, OutputStride, Weights
from vggfcn.console import load_tensorflow, messages, progress, read_picture, results
from vggfcn.pretrained import choose, load


def compare(
    image: Annotated[pathlib.Path, typer.Argument(help="A picture.")],
    weights: Weights = "auto",
    output_stride: OutputStride = None,
    max_side: MaxSide = 1280,
    as_json: Json = False,
) -> None:
    """Say how far the dense map of a picture is from its windows one by one, and how much faster it was.

    A network with padding sees a window's surroundings on the dense map, and zeros around a window alone: the two
    differ, and this says by how much. Without padding they are the same to rounding.
    """
    pixels = read_picture(image)
    name, reason = choose(weights)
    classifier = load(name)
    with messages.status("loading TensorFlow"):
        load_tensorflow()
        from vggfcn.comparison import compare as run

        model = classifier.build("conv")
    picture = images.fit(pixels, classifier.architecture.native_size, max_side)
    picture = images.with_channels(picture, classifier.architecture.channels)
    with progress("windows") as tick:
        result = run(model, picture, output_stride=output_stride, progress=tick)
    if as_json:
        found = {"weights": name, "image": str(image), **dataclasses.asdict(result), "speedup": result.speedup}
        print(json.dumps(found))
        return
    rows, columns = result.cells
    results.print(f"weights      {escape(classifier.weights)} ({escape(reason)})")
    results.print(f"picture      {escape(str(image))}, evaluated at {picture.shape[1]} x {picture.shape[0]} pixels")
    window = classifier.architecture.native_size
    results.print(f"cells        {rows} x {columns}, each for a window of {window} x {window} pixels")
    results.print(
        f"difference   of logits {result.mean_difference:.2g} on average, {result.max_difference:.2g} at most; "
        f"the largest logit is {result.largest_logit:.1f}"
    )
    results.print(f"same class   in {result.same_class:.1%} of the cells")
    results.print(
        f"time         {result.dense_seconds:.2f} s densely, {result.windows_seconds:.2f} s window by window: "
        f"{result.speedup:.1f} times as long"
    )
