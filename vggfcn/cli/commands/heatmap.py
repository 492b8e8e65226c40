"""`vggfcn heatmap`: write heatmaps of many images; one bad image does not stop the rest."""

import dataclasses
import enum
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vggfcn.cli.commands.localizing import Localizer, Options, images_in_parts, whole_images
from vggfcn.cli.console import Reporter, complain
from vggfcn.cli.options import (
    TENSORFLOW,
    ClassName,
    Engine,
    Json,
    MaxMemory,
    Network,
    OutputStride,
    Quiet,
    bytes_of,
    evaluation_option,
    numbers,
    output_option,
    with_network,
)
from vggfcn.errors import VGGFCNError, lacks_memory, one_line
from vggfcn.maps.overlay import OPACITY
from vggfcn.maps.scale import PROBABILITY

if TYPE_CHECKING:
    from vggfcn.evaluation.large_localization import LargeLocalization
    from vggfcn.evaluation.localization import Localization


class Format(str, enum.Enum):
    """The file format."""

    PNG = "png"
    NPY = "npy"
    TIFF = "tiff"


class Average(str, enum.Enum):
    """What is averaged over several scales or mirrored images."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"


class Mode(str, enum.Enum):
    """How a map is computed."""

    DENSE = "dense"
    WINDOWS = "windows"
    CAM = "cam"


@dataclasses.dataclass(frozen=True)
class _Writer:
    """How heatmaps are written: the options of the file, checked."""

    format: Format
    mask: bool
    opacity: float
    contour: float | None

    def __post_init__(self) -> None:
        if not 0 < self.opacity <= 1:
            raise typer.BadParameter(f"--opacity: expected more than 0 and at most 1, got {self.opacity}")
        if self.contour is not None and not 0 < self.contour < 1:
            raise typer.BadParameter(f"--contour: expected a probability between 0 and 1, got {self.contour}")

    def write(self, result: "Localization | LargeLocalization", target: pathlib.Path) -> None:
        """Write one heatmap; make its folder if there is none."""
        from vggfcn.maps import figure, raster

        values = result.covered_heatmap() if self.mask else result.heatmap()
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format is Format.PNG:
            drawing: dict[str, Any] = {"opacity": self.opacity, "contour": self.contour, "scale": result.scale}
            drawn = figure.captioned(result.image, values, result.title, **drawing)
            figure.write_png(drawn, target)
            return
        if self.format is Format.TIFF and result.scale != PROBABILITY:
            raise VGGFCNError(
                "--format tiff holds probabilities as 16-bit numbers, and this network's values are none; use npy"
            )
        if self.format is Format.NPY:
            raster.write_npy(target, values, result.placement, label=result.group.name, units=result.scale.name)
        else:
            raster.write_tiff(target, values, result.placement, label=result.group.name)


@with_network
def heatmap(
    images: Annotated[list[str], typer.Argument(help="Image files, folders, or patterns such as 'scans/*.jpg'.")],
    network: Network,
    label: ClassName = None,
    output_stride: OutputStride = None,
    scales: Annotated[
        str | None,
        evaluation_option(
            help="Evaluate at several scales and average: 0.75,1,1.5 are multiples of the image's size.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        evaluation_option(help="The same, but each scale is the shorter side in pixels: 256,384,512."),
    ] = None,
    flip: Annotated[
        bool,
        evaluation_option("--flip", help="Evaluate the mirrored image as well, and average."),
    ] = False,
    average: Annotated[Average, evaluation_option(help="What to average.")] = Average.PROBABILITIES,
    mode: Annotated[
        Mode,
        evaluation_option(
            help="dense: the whole image at once; windows: each window cut out and evaluated alone, as the original "
            "sees it; cam: class activation map, for networks that end in global average pooling.",
        ),
    ] = Mode.DENSE,
    engine: Engine = TENSORFLOW,
    max_side: Annotated[
        int,
        evaluation_option(
            min=1,
            help="Shrink the image until its longer side has at most this many pixels. With --max-memory, shrink only "
            "the heatmap; the network sees the full-size image.",
        ),
    ] = 1280,
    max_memory: MaxMemory = None,
    file_format: Annotated[
        Format, output_option("--format", help="png: a drawing; npy: float32 numbers; tiff: 16-bit numbers.")
    ] = Format.PNG,
    mask: Annotated[
        bool,
        output_option("--mask", help="Mask the pixels that no window covers: no colour, NaN, or no data."),
    ] = False,
    opacity: Annotated[float, output_option(help="Opacity of the colours where the probability is 1.")] = OPACITY,
    contour: Annotated[
        float | None,
        output_option(help="Draw a contour line at this probability, such as 0.5."),
    ] = None,
    output: Annotated[pathlib.Path, output_option(help="The folder to write to.")] = pathlib.Path("heatmaps"),
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace existing files.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw where a class is found in each image, or write the probabilities as numbers.

    Skips images that cannot be read and heatmaps that already exist, and names them; the exit code is then 1.
    """
    writer = _Writer(file_format, mask, opacity, contour)
    passes = _passes(scales, sizes, flip)
    if max_memory and (any(passes.values()) or mode is not Mode.DENSE):
        raise typer.BadParameter("--max-memory: cannot be combined with --scales, --sizes, --flip or --mode")
    memory = bytes_of(max_memory)

    from vggfcn.cli.commands import heatmap_files
    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier
    from vggfcn.cli.outputs import check_output_folder

    reporter = Reporter(as_json, quiet)
    check_output_folder(output, "choose another --output")
    files = heatmap_files.image_files(images, output.absolute())
    targets = heatmap_files.targets(files, output, file_format.value)
    classifier, reason = load_classifier(reporter, network, [file.path for file in files])
    quantity = "value" if mode is Mode.CAM else classifier.quantity
    if writer.contour is not None and quantity == "value":
        raise VGGFCNError("--contour is a probability, and this map has values that are none; leave it out")
    group = None if label is None else classifier.labels.find(label)
    options = Options(reporter, classifier, group, output_stride, mode.value, engine, max_side)
    if memory:
        localizer = images_in_parts(options, memory, output)
    else:
        localizer = whole_images(options, average=average.value, **passes)
    report_classifier(reporter, classifier, reason)
    own = classifier.conversion or not classifier.has_original
    if mode is Mode.DENSE and own and (seen := classifier.seen_beyond_window):
        advice = f"vggfcn inspect {classifier.source} measures what that changes, --mode windows avoids it"
        reporter.report(f"padding   {seen}: {advice}")
    reporter.report(f"engine    {localizer.engine_text}")
    written, failed = _write_all(reporter, targets, localizer, writer, overwrite)
    facts = {**classifier_json(classifier), "quantity": quantity, "engine": localizer.engine}
    reporter.json({**facts, "heatmaps": written, "failed": failed})
    if failed:
        skipped = ", ".join(failure["image"] for failure in failed)
        complain(f"Skipped {len(failed)} of {len(targets)} images: {skipped}")
        raise typer.Exit(1)


def _passes(scales: str | None, sizes: str | None, flip: bool) -> dict[str, Any]:
    """The keyword arguments of `score_map` for several evaluations of each image."""
    if scales and sizes:
        raise typer.BadParameter("expected either --scales or --sizes, got both")
    return {"scales": numbers(scales, float), "sizes": numbers(sizes, int), "flip": flip}


def _write_all(
    reporter: Reporter,
    targets: list[tuple[pathlib.Path, pathlib.Path]],
    localizer: Localizer,
    writer: _Writer,
    overwrite: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the heatmap of each (image, target); return what was written, and which images failed and why."""
    from vggfcn.cli.commands.heatmap_files import check_target

    written: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    made: set[pathlib.Path] = set()
    with localizer.progress as progress:
        for done, (path, target) in enumerate(targets):
            progress(done, len(targets))
            try:
                check_target(target, overwrite, made)
                result = localizer.localize(path)
                writer.write(result, target)
            except Exception as error:
                if not (isinstance(error, VGGFCNError | OSError | ValueError) or lacks_memory(error)):
                    raise
                failed.append({"image": str(path), "reason": one_line(str(error)) or "not enough memory"})
                complain(failed[-1]["reason"])
                continue
            made.add(target)
            written.append(_as_json(path, target, result))
            name, (x, y) = result.group.name, result.peak
            score = f"{result.score:.3f}" if result.scale == PROBABILITY else f"{result.score:.4g}"
            reporter.report(f"{target}  {name} {score} at (x, y) = ({x}, {y})")
    return written, failed


def _as_json(path: pathlib.Path, target: pathlib.Path, result: "Localization | LargeLocalization") -> dict[str, Any]:
    return {
        "image": str(path),
        "output": str(target),
        "class": result.group.name,
        "score": result.score,
        "peak_xy": result.peak,
        "map_shape": result.map_shape,
        "evaluated_size": result.evaluated_size,
    }
