"""`vggfcn convert` and `vggfcn verify`: convert Keras model files, and check that two give the same output.

Model files are loaded with `safe_mode=True`: no code in them runs.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter
from vggfcn.cli.loading import classifier_json, input_text, load_classifier, output_text, report_classifier
from vggfcn.cli.options import Json, Network, Quiet, output_option, with_network
from vggfcn.errors import ConversionError

if TYPE_CHECKING:
    import keras

    from vggfcn.checkpoints.formats.keras_files import ConvertedFile
    from vggfcn.checkpoints.preprocessing import Preprocessing
    from vggfcn.conversion.convert import Conversion
    from vggfcn.conversion.verify import Equivalence


@with_network
def convert(
    weights: Annotated[
        str, typer.Argument(metavar="MODEL", help="A Keras model file, .keras or .h5, or anything --weights takes.")
    ],
    out: Annotated[pathlib.Path, typer.Argument(help="The .keras file to write.")],
    network: Network,
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a Keras classifier fully convolutional, prove that it is still the same network, and save it.

    OUT holds class names, preprocessing and activation too, as far as they are known or given, so that other commands
    take it without options.
    """
    reporter = Reporter(as_json, quiet)
    _check_out(out, overwrite, pathlib.Path(weights))
    classifier, _ = load_classifier(reporter, network, needs_input=False)
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.padding import padding_of

        effect = None
        if classifier.has_original:
            status("measuring what padding does")
            effect = padding_of(classifier)
        status(f"writing {out}")
        classifier.save(out)
    conversion = classifier.conversion
    reporter.json(
        {**classifier_json(classifier), **_as_json(conversion, out), "padding": effect and dataclasses.asdict(effect)}
    )
    if conversion is None:
        reporter.report("unchanged the model is already fully convolutional")
    else:
        reporter.report(_table(conversion))
        reporter.report(f"proof     {conversion.equivalence}")
        reporter.report("strides   " + ", ".join(f"{rows} x {columns}" for rows, columns in conversion.strides))
    reporter.report(f"input     {input_text(classifier)}")
    reporter.report(f"output    {output_text(classifier)}")
    if effect:
        reporter.report(f"padding   {effect}")
    for note in classifier.notes:
        reporter.report(f"note      {note}")
    if classifier.preprocessing is None:
        reporter.report("note      other commands will ask for --preprocess; give it here, and it is kept in the file")
    reporter.report(f"written   {out}")


@with_network
def verify(
    network: Network,
    original: Annotated[str | None, typer.Argument(help="A Keras model file, .keras or .h5.")] = None,
    converted: Annotated[str | None, typer.Argument(help="The model file to compare with it.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Number of random inputs to compare on.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the random inputs.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check whether two Keras models give the same output at native size; exit code 1 if they do not.

    With --weights alone, the classifier is converted, and compared with itself.
    """
    if (original is None) != (converted is None) or (original is not None and network.weights != "auto"):
        raise typer.BadParameter("expected two model files, or --weights alone")
    asked = [field for field in dataclasses.fields(Network) if getattr(network, field.name) != field.default]
    needless = [field.name for field in asked if field.name not in ("architecture", "input_shape")]
    if original is not None and needless:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in needless)
        raise typer.BadParameter(f"two model files are compared as they are: leave out {listed}")
    reporter = Reporter(as_json, quiet)
    options: dict[str, Any] = {"samples": samples, "seed": seed}
    if original is None or converted is None:
        equivalence = _verify_classifier(reporter, network, options)
    else:
        equivalence = _verify_files(reporter, (original, converted), network.own, options)
    reporter.json(_proof(equivalence))
    reporter.report(str(equivalence))
    if not equivalence:
        raise typer.Exit(1)


def _verify_classifier(reporter: Reporter, network: Network, options: dict[str, Any]) -> "Equivalence":
    classifier, reason = load_classifier(reporter, network, needs_input=False)
    if not classifier.has_original:
        raise ConversionError(f"{classifier.source}: no original network to compare with: {classifier.no_original}")
    report_classifier(reporter, classifier, reason)
    with reporter.loading_tensorflow() as status:
        from vggfcn.conversion.verify import verify as compare

        status("building and comparing the two networks")
        return compare(classifier.original, classifier.converted, **options)


def _verify_files(
    reporter: Reporter, paths: tuple[str, str], own: dict[str, Any], options: dict[str, Any]
) -> "Equivalence":
    with reporter.loading_tensorflow() as status:
        from vggfcn.conversion.verify import verify as compare
        from vggfcn.networks.builders.model_files import load_model
        from vggfcn.networks.builders.own import full_shape

        status("reading the models")
        models = [load_model(pathlib.Path(path), architecture=own["architecture"])[0] for path in paths]
        records = [_record(path) for path in paths]
        models = _for_the_same_images(models, [None if record is None else record.preprocessing for record in records])
        shape = full_shape(models[0], own["input_shape"], records[0])
        status("comparing")
        return compare(models[0], models[1], input_shape=shape, **options)


def _record(path: str) -> "ConvertedFile | None":
    """What `convert` recorded in a file that it wrote; None for other files."""
    from vggfcn.checkpoints.formats.keras_files import read_converted

    return read_converted(pathlib.Path(path)) if pathlib.Path(path).is_file() else None


def _for_the_same_images(
    models: "list[keras.Model]", preprocessings: "list[Preprocessing | None]"
) -> "list[keras.Model]":
    """Two models that take the same images: one that lacks what `convert` put before the other's layers gets it."""
    from vggfcn.networks.builders.inputs import prepared
    from vggfcn.networks.builders.own import shaped

    others = preprocessings[::-1]
    return [
        model if own or other is None or other.is_identity else prepared(shaped(model), other, native=True)
        for model, own, other in zip(models, preprocessings, others, strict=True)
    ]


def _as_json(conversion: "Conversion | None", out: pathlib.Path) -> dict[str, Any]:
    if conversion is None:
        return {"output": str(out), "changed": False}
    return {
        "output": str(out),
        "changed": True,
        "layers": [dataclasses.asdict(row) for row in conversion.layers],
        "strides": [[float(length) for length in strides] for strides in conversion.strides],
        "independent_windows": conversion.independent_windows,
        "proof": conversion.equivalence and _proof(conversion.equivalence),
    }


def _proof(equivalence: "Equivalence") -> dict[str, Any]:
    return {"ok": equivalence.ok, **dataclasses.asdict(equivalence)}


def _check_out(out: pathlib.Path, overwrite: bool, model: pathlib.Path) -> None:
    """Refuse an unusable OUT before the work."""
    from vggfcn.cli.outputs import check_file

    if out.suffix != ".keras":
        raise ConversionError(f"{out}: expected a name that ends in .keras")
    check_file(out, [model], "choose another OUT", ConversionError)
    if out.exists() and not overwrite:
        raise ConversionError(f"{out}: already exists; pass --overwrite to replace it")


def _table(conversion: "Conversion") -> Table:
    table = Table(title="What each layer became", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "kind", "became", "shape before", "shape after"):
        table.add_column(heading, overflow="fold")
    table.add_column("parameters", justify="right")
    for row in conversion.layers:
        cells = (row.path, row.before, row.after, _shape_text(row.shape_before), _shape_text(row.shape_after))
        table.add_row(*cells, f"{row.parameters:,}" if row.parameters else "")
    return table


def _shape_text(shape: tuple[Any, ...]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape[1:])
