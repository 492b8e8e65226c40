"""`vggfcn heatmap`: heatmaps of many images; one bad image does not stop the rest."""

import dataclasses
import enum
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vggfcn.cli.commands.localizing import Localizer, Options, in_parts, whole
from vggfcn.cli.console import Reporter, complain
from vggfcn.cli.options import (
    TENSORFLOW,
    ClassName,
    Engine,
    GroupFile,
    Json,
    LabelFile,
    MaxMemory,
    OutputStride,
    Quiet,
    Weights,
    bytes_of,
    evaluation_option,
    numbers,
    output_option,
)
from vggfcn.errors import VGGFCNError, one_line
from vggfcn.maps.overlay import OPACITY
from vggfcn.progress import Progress

if TYPE_CHECKING:
    from vggfcn.evaluation.large_localization import LargeLocalization
    from vggfcn.evaluation.localization import Localization


class Format(str, enum.Enum):
    """What is written."""

    PNG = "png"
    NPY = "npy"
    TIFF = "tiff"


class Average(str, enum.Enum):
    """What of several evaluations is averaged."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """How heatmaps are written."""

    format: Format
    mask: bool
    opacity: float
    contour: float | None

    def __post_init__(self) -> None:
        if not 0 < self.opacity <= 1:
            raise typer.BadParameter(f"--opacity: expected more than 0 and at most 1, got {self.opacity}")
        if self.contour is not None and not 0 < self.contour < 1:
            raise typer.BadParameter(f"--contour: expected a probability between 0 and 1, got {self.contour}")

    def write(self, found: "Localization | LargeLocalization", target: pathlib.Path) -> None:
        from vggfcn.maps import figure, raster

        values = found.covered_heatmap() if self.mask else found.heatmap()
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format is Format.PNG:
            drawn = figure.captioned(found.image, values, found.title, opacity=self.opacity, contour=self.contour)
            figure.write_png(drawn, target)
            return
        write = raster.write_npy if self.format is Format.NPY else raster.write_tiff
        write(target, values, found.placement, label=found.group.name)


def heatmap(
    images: Annotated[list[str], typer.Argument(help="Images, folders, or patterns such as 'scans/*.jpg'.")],
    weights: Weights = "auto",
    labels: LabelFile = None,
    groups: GroupFile = None,
    label: ClassName = None,
    output_stride: OutputStride = None,
    scales: Annotated[
        str | None,
        evaluation_option(
            help="Evaluate at several scales and average: 0.75,1,1.5 times the image's size.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        evaluation_option(help="The same by the shorter side, in pixels: 256,384,512."),
    ] = None,
    flip: Annotated[
        bool,
        evaluation_option("--flip", help="Evaluate the mirrored image, too, and average."),
    ] = False,
    average: Annotated[Average, evaluation_option(help="What is averaged.")] = Average.PROBABILITIES,
    engine: Engine = TENSORFLOW,
    max_side: Annotated[
        int,
        evaluation_option(
            min=1,
            help="Shrink the image so that its longer side has at most this many pixels; with --max-memory, the "
            "heatmap alone: the network sees the image at its own size.",
        ),
    ] = 1280,
    max_memory: MaxMemory = None,
    file_format: Annotated[
        Format, output_option("--format", help="A drawing, or numbers: float32, or 16 bits.")
    ] = Format.PNG,
    mask: Annotated[
        bool,
        output_option("--mask", help="Leave out what no window covers: no colour, NaN, or no data."),
    ] = False,
    opacity: Annotated[float, output_option(help="Of the colours, where the probability is 1.")] = OPACITY,
    contour: Annotated[
        float | None,
        output_option(help="Draw a line where the probability is this, such as 0.5."),
    ] = None,
    output: Annotated[pathlib.Path, output_option(help="The folder to write to.")] = pathlib.Path("heatmaps"),
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw where on images a class is found, or write it as numbers.

    An image that cannot be read, or whose heatmap exists, is left out and named; the exit code is then 1.
    """
    drawing = _Drawing(file_format, mask, opacity, contour)
    passes = _passes(scales, sizes, flip)
    if max_memory and any(passes.values()):
        raise typer.BadParameter("--max-memory: expected one evaluation; leave out --scales, --sizes and --flip")
    memory = bytes_of(max_memory)

    from vggfcn.cli.commands import heatmap_files
    from vggfcn.cli.loading import classifier_of, described

    reporter = Reporter(as_json, quiet)
    targets = heatmap_files.targets(heatmap_files.image_files(images, output.absolute()), output, file_format.value)
    classifier, reason = classifier_of(reporter, weights, labels, groups)
    group = None if label is None else classifier.labels.find(label)
    options = Options(reporter, classifier, group, output_stride, engine, max_side)
    localizer = in_parts(options, memory, output) if memory else whole(options, average=average.value, **passes)
    reporter.report(f"weights   {described(classifier, reason)}")
    reporter.report(f"engine    {localizer.described}")
    with localizer.progress as tick:
        written, failed = _all(reporter, targets, localizer, drawing, overwrite, tick)
    reporter.object({"weights": classifier.weights, "engine": localizer.engine, "heatmaps": written, "failed": failed})
    if failed:
        left_out = ", ".join(one["image"] for one in failed)
        complain(f"{len(failed)} of {len(targets)} images left out: {left_out}")
        raise typer.Exit(1)


def _passes(scales: str | None, sizes: str | None, flip: bool) -> dict[str, Any]:
    """The evaluations of each image, as `score_map` takes them."""
    if scales and sizes:
        raise typer.BadParameter("expected --scales or --sizes, got both")
    return {"scales": numbers(scales, float), "sizes": numbers(sizes, int), "flip": flip}


def _all(
    reporter: Reporter,
    targets: list[tuple[pathlib.Path, pathlib.Path]],
    localizer: Localizer,
    drawing: _Drawing,
    overwrite: bool,
    tick: Progress,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was written of which image, and why others were left out."""
    from vggfcn.cli.commands.heatmap_files import check_target

    written: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for done, (path, target) in enumerate(targets):
        tick(done, len(targets))
        try:
            check_target(target, overwrite, [pathlib.Path(one["output"]) for one in written])
            found = localizer.localize(path)
            drawing.write(found, target)
        except (VGGFCNError, OSError, ValueError, MemoryError) as error:
            failed.append({"image": str(path), "reason": one_line(str(error)) or "not enough memory"})
            complain(failed[-1]["reason"])
            continue
        written.append(_as_json(path, target, found))
        x, y = found.peak
        reporter.report(f"{escape(str(target))}  {escape(found.group.name)} {found.score:.3f} at (x, y) = ({x}, {y})")
    return written, failed


def _as_json(path: pathlib.Path, target: pathlib.Path, found: "Localization | LargeLocalization") -> dict[str, Any]:
    return {
        "image": str(path),
        "output": str(target),
        "class": found.group.name,
        "score": found.score,
        "peak_xy": found.peak,
        "map_shape": found.map_shape,
        "evaluated_size": found.evaluated_size,
    }
