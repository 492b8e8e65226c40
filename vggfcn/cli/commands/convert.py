"""`vggfcn convert` and `vggfcn verify`: Keras model files in and out, and a table of what became what.

Model files are loaded as data: with `safe_mode=True`, and no code in them is run.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from vggfcn.cli.console import Reporter
from vggfcn.cli.options import Json, Quiet, output_option
from vggfcn.errors import ConversionError

if TYPE_CHECKING:
    from vggfcn.conversion.convert import Conversion
    from vggfcn.conversion.verify import Equivalence

InputShape = Annotated[
    str | None, typer.Option(help='Native size, such as "224,224,3", where the model leaves it open.')
]


def convert(
    model: Annotated[pathlib.Path, typer.Argument(help="A Keras model, .keras or .h5.")],
    out: Annotated[pathlib.Path, typer.Argument(help="The .keras file to write.")],
    keep_global: Annotated[
        bool, typer.Option("--keep-global", help="Keep layers that look at the whole image, rather than refuse.")
    ] = False,
    input_shape: InputShape = None,
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a Keras classifier fully convolutional, prove that it is the same network, and save it."""
    reporter = Reporter(as_json, quiet)
    shape = _shape(input_shape)
    _check_out(out, overwrite)
    with reporter.loading_tensorflow() as now:
        from vggfcn.conversion.convert import convert_and_report
        from vggfcn.files import appearing

        now(f"reading {model}")
        original = _load(model)
        now("converting, and proving that it is the same network")
        converted, conversion = convert_and_report(original, input_shape=shape, keep_global=keep_global)
        now(f"writing {out}")
        with appearing([out]) as folder:  # Keras goes by the name's ending.
            converted.save(folder / out.name)
    reporter.object(_as_json(conversion, out, converted is not original))
    reporter.report(_table(conversion))
    if converted is original:
        reporter.report("it was fully convolutional already")
    else:
        reporter.report(f"proof     {conversion.equivalence}")
        reporter.report("strides   " + ", ".join(f"{rows} x {columns}" for rows, columns in conversion.strides))
    for note in conversion.notes:
        reporter.report(f"note      {escape(note)}")
    if not conversion.independent_windows:
        reporter.report("windows   not independent of each other: context of the whole image is kept")
    reporter.report(f"written   {escape(str(out))}")


def verify(
    original: Annotated[pathlib.Path, typer.Argument(help="A Keras model, .keras or .h5.")],
    converted: Annotated[pathlib.Path, typer.Argument(help="The model to compare with it.")],
    samples: Annotated[int, typer.Option(min=1, help="Random inputs to compare on.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the random inputs.")] = 0,
    input_shape: InputShape = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether two Keras models are the same network at native size; exit code 1 if they are not."""
    reporter = Reporter(as_json, quiet)
    shape = _shape(input_shape)
    with reporter.loading_tensorflow() as now:
        from vggfcn.conversion.verify import verify as compare

        now("reading the models")
        models = _load(original), _load(converted)
        now("comparing")
        equivalence = compare(*models, input_shape=shape, samples=samples, seed=seed)
    reporter.object(_proof(equivalence))
    reporter.report(str(equivalence))
    if not equivalence:
        raise typer.Exit(1)


def _as_json(conversion: "Conversion", out: pathlib.Path, changed: bool) -> dict[str, Any]:
    return {
        "output": str(out),
        "changed": changed,
        "layers": [dataclasses.asdict(row) for row in conversion.layers],
        "strides": [[float(length) for length in strides] for strides in conversion.strides],
        "independent_windows": conversion.independent_windows,
        "notes": conversion.notes,
        "proof": conversion.equivalence and _proof(conversion.equivalence),
    }


def _proof(equivalence: "Equivalence") -> dict[str, Any]:
    return {"ok": equivalence.ok, **dataclasses.asdict(equivalence)}


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise typer.BadParameter(f'expected numbers with commas, such as "224,224,3", got {text!r}')
    return shape


def _load(path: pathlib.Path) -> Any:
    """The model in a file; its code, if there is any, is not run."""
    import keras

    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise what they like on files that are no models.
        raise ConversionError(
            f"{path}: expected a Keras model, .keras or .h5, of stock layers and without code; "
            f"Keras says: {str(error).strip().splitlines()[0]}"
        ) from error


def _check_out(out: pathlib.Path, overwrite: bool) -> None:
    """Refuse before the work rather than after it."""
    from vggfcn.files import check_folder

    if out.suffix != ".keras":
        raise ConversionError(f"{out}: OUT is a Keras model, so it must end in .keras")
    check_folder(out, "choose another OUT", ConversionError)
    if out.exists() and not overwrite:
        raise ConversionError(f"{out}: exists; --overwrite replaces it")


def _table(conversion: "Conversion") -> Table:
    table = Table(title="What became of which layer", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "kind", "became", "shape before", "shape after"):
        table.add_column(heading, overflow="fold")
    table.add_column("parameters", justify="right")
    for row in conversion.layers:
        cells = (row.path, row.before, row.after, _shape_text(row.shape_before), _shape_text(row.shape_after))
        table.add_row(*map(escape, cells), f"{row.parameters:,}" if row.parameters else "")
    return table


def _shape_text(shape: tuple[Any, ...]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape[1:])
