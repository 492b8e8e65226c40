"""`vggfcn convert` and `vggfcn verify`: convert Keras model files, and check that two give the same output.

Model files are loaded with `safe_mode=True`: no code in them runs.
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

InputShape = Annotated[str | None, typer.Option(help='Native size, such as "224,224,3", if the model leaves it open.')]


def convert(
    model: Annotated[pathlib.Path, typer.Argument(help="A Keras model file, .keras or .h5.")],
    out: Annotated[pathlib.Path, typer.Argument(help="The .keras file to write.")],
    keep_global: Annotated[
        bool, typer.Option("--keep-global", help="Keep layers that see the whole image instead of refusing them.")
    ] = False,
    input_shape: InputShape = None,
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a Keras classifier fully convolutional, prove that it is still the same network, and save it."""
    reporter = Reporter(as_json, quiet)
    shape = _shape(input_shape)
    _check_out(out, overwrite)
    with reporter.loading_tensorflow() as status:
        from vggfcn.conversion.convert import convert_and_report
        from vggfcn.files import replacing_all

        status(f"reading {model}")
        original = _load(model)
        status("converting, and proving that the network is the same")
        converted, conversion = convert_and_report(original, input_shape=shape, keep_global=keep_global)
        status(f"writing {out}")
        with replacing_all([out]) as folder:  # Keras chooses the format by the suffix, so the name stays.
            converted.save(folder / out.name)
    reporter.json(_as_json(conversion, out, converted is not original))
    reporter.report(_table(conversion))
    if converted is original:
        reporter.report("unchanged the model is already fully convolutional")
    else:
        reporter.report(f"proof     {conversion.equivalence}")
        reporter.report("strides   " + ", ".join(f"{rows} x {columns}" for rows, columns in conversion.strides))
    for note in conversion.notes:
        reporter.report(f"note      {escape(note)}")
    if not conversion.independent_windows:
        reporter.report("windows   not independent of each other: layers that see the whole image were kept")
    reporter.report(f"written   {escape(str(out))}")


def verify(
    original: Annotated[pathlib.Path, typer.Argument(help="A Keras model file, .keras or .h5.")],
    converted: Annotated[pathlib.Path, typer.Argument(help="The model file to compare with it.")],
    samples: Annotated[int, typer.Option(min=1, help="Number of random inputs to compare on.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed for the random inputs.")] = 0,
    input_shape: InputShape = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check whether two Keras models give the same output at native size; exit code 1 if they do not."""
    reporter = Reporter(as_json, quiet)
    shape = _shape(input_shape)
    with reporter.loading_tensorflow() as status:
        from vggfcn.conversion.verify import verify as compare

        status("reading the models")
        models = _load(original), _load(converted)
        status("comparing")
        equivalence = compare(*models, input_shape=shape, samples=samples, seed=seed)
    reporter.json(_proof(equivalence))
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
        raise typer.BadParameter(f'expected numbers separated by commas, such as "224,224,3", got {text!r}')
    return shape


def _load(path: pathlib.Path) -> Any:
    """The model in a file. Raises `ConversionError` if Keras cannot load it without running code from the file."""
    import keras

    if not path.is_file():
        raise ConversionError(f"{path}: no such file")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise errors of any kind on files that are not models.
        raise ConversionError(
            f"{path}: expected a Keras model, .keras or .h5, with stock layers and no code; "
            f"Keras says: {str(error).strip().splitlines()[0]}"
        ) from error


def _check_out(out: pathlib.Path, overwrite: bool) -> None:
    """Refuse an unusable OUT before the work."""
    from vggfcn.files import check_folder

    if out.suffix != ".keras":
        raise ConversionError(f"{out}: expected a name that ends in .keras")
    check_folder(out, "choose another OUT", ConversionError)
    if out.exists() and not overwrite:
        raise ConversionError(f"{out}: already exists; pass --overwrite to replace it")


def _table(conversion: "Conversion") -> Table:
    table = Table(title="What each layer became", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "kind", "became", "shape before", "shape after"):
        table.add_column(heading, overflow="fold")
    table.add_column("parameters", justify="right")
    for row in conversion.layers:
        cells = (row.path, row.before, row.after, _shape_text(row.shape_before), _shape_text(row.shape_after))
        table.add_row(*map(escape, cells), f"{row.parameters:,}" if row.parameters else "")
    return table


def _shape_text(shape: tuple[Any, ...]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape[1:])
