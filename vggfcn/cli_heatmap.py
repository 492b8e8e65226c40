"""`vggfcn heatmap`: heatmaps of many pictures; one bad picture does not stop the rest."""

import dataclasses
import enum
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vggfcn.cli_options import (
    ClassName,
    Engine,
    EngineName,
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
from vggfcn.console import Reporter, Tick, complain, read_picture
from vggfcn.errors import TooManyPixelsError, VGGFCNError, one_line
from vggfcn.loading import silenced

if TYPE_CHECKING:
    from vggfcn.large_localization import LargeLocalization
    from vggfcn.localization import Localization

    Look = Callable[[pathlib.Path], Localization | LargeLocalization]

OPACITY = 0.75  # overlay.OPACITY, which would load NumPy


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
        from vggfcn import figure, raster

        values = found.covered_heatmap() if self.mask else found.heatmap()
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format is Format.PNG:
            drawn = figure.captioned(found.picture, values, found.title, opacity=self.opacity, contour=self.contour)
            figure.write_png(drawn, target)
            return
        write = raster.write_npy if self.format is Format.NPY else raster.write_tiff
        write(target, values, found.placement, label=found.group.name)


def heatmap(
    pictures: Annotated[list[str], typer.Argument(help="Pictures, folders, or patterns such as 'scans/*.jpg'.")],
    weights: Weights = "auto",
    labels: LabelFile = None,
    groups: GroupFile = None,
    label: ClassName = None,
    output_stride: OutputStride = None,
    scales: Annotated[
        str | None,
        evaluation_option(
            help="Evaluate at several scales and average: 0.75,1,1.5 times the picture's size.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        evaluation_option(help="The same by the shorter side, in pixels: 256,384,512."),
    ] = None,
    flip: Annotated[
        bool,
        evaluation_option("--flip", help="Evaluate the mirrored picture, too, and average."),
    ] = False,
    average: Annotated[Average, evaluation_option(help="What is averaged.")] = Average.PROBABILITIES,
    engine: Engine = EngineName.TENSORFLOW,
    max_side: Annotated[
        int,
        evaluation_option(
            min=1,
            help="Shrink the picture so that its longer side has at most this many pixels; with --max-memory, the "
            "heatmap alone: the network sees the picture at its own size.",
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
    """Draw where on pictures a class is found, or write it as numbers.

    A picture that cannot be read, or whose heatmap exists, is left out and named; the exit code is then 1.
    """
    drawing = _Drawing(file_format, mask, opacity, contour)
    if scales and sizes:
        raise typer.BadParameter("expected --scales or --sizes, got both")
    several: dict[str, Any] = {"scales": numbers(scales, float), "sizes": numbers(sizes, int), "flip": flip}
    if max_memory and any(several.values()):
        raise typer.BadParameter("--max-memory: expected one evaluation; leave out --scales, --sizes and --flip")
    memory = bytes_of(max_memory)

    from vggfcn import heatmap_files
    from vggfcn.cli_loading import classifier_of, described, running

    reporter = Reporter(as_json, quiet)
    targets = heatmap_files.targets(heatmap_files.picture_files(pictures, output.absolute()), output, file_format.value)
    classifier, reason = classifier_of(reporter, weights, labels, groups)
    group = None if label is None else classifier.labels.find(label)
    with reporter.loading_tensorflow() as now:
        from vggfcn.engines import engine_of
        from vggfcn.output_stride import with_output_stride

        now("building the network")
        model = classifier.build("conv")
        model = with_output_stride(model, output_stride) if output_stride else model
        now(f"preparing the network for {engine.value}")
        # In parts the network is another one for each size of part, made as it is met.
        parts = "openvino" if engine is EngineName.OPENVINO else "tensorflow"
        runner = None if memory else engine_of(model, engine.value)
    reporter.report(f"weights   {described(classifier, reason)}")
    reporter.report(f"engine    {running(runner) if runner else parts}")
    whole = (classifier, model, group, max_side)
    if memory:
        look = _in_parts(reporter, *whole, max_memory=memory, folder=output, engine=parts)
        written, failed = _all(reporter, targets, look, drawing, overwrite, lambda done, total: None)
    else:
        look = _at_once(*whole, engine=runner, average=average.value, **several)
        with reporter.progress("heatmaps", "pictures") as tick:
            written, failed = _all(reporter, targets, look, drawing, overwrite, tick)
    reporter.object(
        {
            "weights": classifier.weights,
            "engine": runner.name if runner else parts,
            "heatmaps": written,
            "failed": failed,
        }
    )
    if failed:
        left_out = ", ".join(one["image"] for one in failed)
        complain(f"{len(failed)} of {len(targets)} pictures left out: {left_out}")
        raise typer.Exit(1)


def _at_once(classifier: Any, model: Any, group: Any, max_side: int, **passes: Any) -> "Look":
    from vggfcn.localization import localize

    def look(path: pathlib.Path) -> "Localization":
        try:
            pixels = read_picture(path)
        except TooManyPixelsError as error:
            raise TooManyPixelsError(f"{error}, or have it read in parts: --max-memory 4GB") from None
        return localize(classifier, model, pixels, group, max_side, **passes)

    return look


def _in_parts(reporter: Reporter, classifier: Any, model: Any, group: Any, max_side: int, **limits: Any) -> "Look":
    from vggfcn.large_localization import localize_large

    def look(path: pathlib.Path) -> "LargeLocalization":
        with silenced(), reporter.progress(path.name, "rows") as tick:
            return localize_large(classifier, model, path, group, max_side, progress=tick, **limits)

    return look


def _all(
    reporter: Reporter,
    targets: list[tuple[pathlib.Path, pathlib.Path]],
    look: "Look",
    drawing: _Drawing,
    overwrite: bool,
    tick: Tick,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was written of which picture, and why others were left out."""
    from vggfcn.heatmap_files import check_target

    written: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for done, (path, target) in enumerate(targets):
        tick(done, len(targets))
        try:
            check_target(target, overwrite, [pathlib.Path(one["output"]) for one in written])
            found = look(path)
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
