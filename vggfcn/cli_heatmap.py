"""`vggfcn heatmap`: heatmaps of many pictures; one bad picture does not stop the rest."""

import collections
import enum
import json
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vggfcn import figures, rasters
from vggfcn.cli_options import ClassName, GroupFile, Json, LabelFile, MaxSide, OutputStride, Weights, numbers
from vggfcn.console import load_tensorflow, messages, progress, read_picture, results
from vggfcn.errors import VGGFCNError
from vggfcn.files import replacing
from vggfcn.heatmap import OPACITY
from vggfcn.picture_files import PictureFile, picture_files
from vggfcn.pretrained import choose, load

if TYPE_CHECKING:
    from vggfcn.finding import Finding


class Format(str, enum.Enum):
    """What is written."""

    PNG = "png"
    NPY = "npy"
    TIFF = "tiff"


class Average(str, enum.Enum):
    """What of several evaluations is averaged."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"


def heatmap(
    pictures: Annotated[list[str], typer.Argument(help="Pictures, folders, or patterns such as 'scans/*.jpg'.")],
    weights: Weights = "auto",
    labels: LabelFile = None,
    groups: GroupFile = None,
    label: ClassName = None,
    output_stride: OutputStride = None,
    scales: Annotated[
        str | None, typer.Option(help="Evaluate at several scales and average: 0.75,1,1.5 times the picture's size.")
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="The same by the shorter side, in pixels: 256,384,512.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Evaluate the mirrored picture, too, and average.")] = False,
    average: Annotated[Average, typer.Option(help="What is averaged.")] = Average.PROBABILITIES,
    max_side: MaxSide = 1280,
    file_format: Annotated[
        Format, typer.Option("--format", help="A drawing, or numbers: float32, or 16 bits.")
    ] = Format.PNG,
    mask: Annotated[
        bool, typer.Option("--mask", help="Leave out what no window covers: no colour, NaN, or no data.")
    ] = False,
    opacity: Annotated[float, typer.Option(help="Of the colours, where the probability is 1.")] = OPACITY,
    contour: Annotated[
        float | None, typer.Option(help="Draw a line where the probability is this, such as 0.5.")
    ] = None,
    output: Annotated[pathlib.Path, typer.Option(help="The folder to write to.")] = pathlib.Path("heatmaps"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Draw where on pictures a class is found, or write it as numbers.

    A picture that cannot be read, or whose heatmap exists, is left out and named; the exit code is then 1.
    """
    _check_drawing(opacity, contour)
    if scales and sizes:
        raise typer.BadParameter("expected --scales or --sizes, got both")
    passes = {"scales": numbers(scales, float), "sizes": numbers(sizes, int), "flip": flip, "average": average.value}
    targets = _targets(picture_files(pictures, output.absolute()), output, file_format.value)
    name, reason = choose(weights)
    classifier = load(name, labels, groups)
    group = None if label is None else classifier.labels.find(label)
    with messages.status("loading TensorFlow"):
        load_tensorflow()
        from vggfcn.finding import find
        from vggfcn.output_stride import with_output_stride

        model = classifier.build("conv")
        model = with_output_stride(model, output_stride) if output_stride else model
    if not as_json:
        results.print(f"weights   {escape(classifier.weights)} ({escape(reason)})")
    written: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with progress("pictures") as tick:
        for done, (path, target) in enumerate(targets):
            tick(done, len(targets))
            try:
                _check_target(target, overwrite, [pathlib.Path(one["output"]) for one in written])
                found = find(classifier, model, read_picture(path), group, max_side, **passes)
                _write(found, target, file_format, mask, opacity, contour)
            except (VGGFCNError, OSError, ValueError, MemoryError) as error:
                failed.append({"image": str(path), "reason": " ".join(str(error).split()) or "not enough memory"})
                messages.print(f"vggfcn: {failed[-1]['reason']}", markup=False)
                continue
            written.append(_as_json(path, target, found))
            if not as_json:
                _say(written[-1])
    if as_json:
        print(json.dumps({"weights": name, "heatmaps": written, "failed": failed}))
    if failed:
        left_out = ", ".join(one["image"] for one in failed)
        messages.print(f"vggfcn: {len(failed)} of {len(targets)} pictures left out: {left_out}", markup=False)
        raise typer.Exit(1)


def _check_drawing(opacity: float, contour: float | None) -> None:
    if not 0 < opacity <= 1:
        raise typer.BadParameter(f"--opacity: expected more than 0 and at most 1, got {opacity}")
    if contour is not None and not 0 < contour < 1:
        raise typer.BadParameter(f"--contour: expected a probability between 0 and 1, got {contour}")


def _targets(files: list[PictureFile], folder: pathlib.Path, ending: str) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Each picture and where its heatmap goes: named after it, with its own ending only where that tells two apart."""
    stems = collections.Counter(file.below.with_suffix("") for file in files)
    return [(file.path, folder / file.below.with_name(f"{_name(file, stems)}-heatmap.{ending}")) for file in files]


def _name(file: PictureFile, stems: collections.Counter[pathlib.Path]) -> str:
    return file.below.stem if stems[file.below.with_suffix("")] == 1 else file.below.name


def _check_target(target: pathlib.Path, overwrite: bool, written: list[pathlib.Path]) -> None:
    if target in written:
        raise VGGFCNError(f"{target}: two pictures of that name; write them to two folders, one after the other")
    if target.exists() and not overwrite:
        raise VGGFCNError(f"{target}: exists; --overwrite replaces it, --output names another folder")


def _write(
    found: "Finding",
    target: pathlib.Path,
    file_format: Format,
    mask: bool,
    opacity: float,
    contour: float | None,
) -> None:
    values = found.covered_heatmap() if mask else found.heatmap()
    target.parent.mkdir(parents=True, exist_ok=True)
    if file_format is Format.PNG:
        drawn = figures.captioned(found.picture, values, found.title, opacity=opacity, contour=contour)
        with replacing(target) as unfinished:
            drawn.save(unfinished, format="PNG")
        return
    write = rasters.write_npy if file_format is Format.NPY else rasters.write_tiff
    write(target, values, rasters.Placement.between(values.shape, found.original_size), label=found.group.name)


def _as_json(path: pathlib.Path, target: pathlib.Path, found: "Finding") -> dict[str, Any]:
    return {
        "image": str(path),
        "output": str(target),
        "class": found.group.name,
        "score": found.score,
        "peak_xy": found.peak,
        "map_shape": found.scores.logits.shape,
        "evaluated_size": found.picture.shape[1::-1],
    }


def _say(one: dict[str, Any]) -> None:
    x, y = one["peak_xy"]
    results.print(f"{escape(one['output'])}  {escape(one['class'])} {one['score']:.3f} at (x, y) = ({x}, {y})")
