"""Options that several commands have, their parsers, and their shell completion."""

import enum
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import typer

from vggfcn.engines import table as engine_table

# Each puts an option under a heading in the help.
network_option = functools.partial(typer.Option, rich_help_panel="Network and classes")
evaluation_option = functools.partial(typer.Option, rich_help_panel="Evaluation")
output_option = functools.partial(typer.Option, rich_help_panel="Output")
Number = TypeVar("Number", int, float)
EngineName = enum.Enum(  # type: ignore[misc]
    "EngineName", {name.upper(): name for name in engine_table.NAMES}, type=str
)
AUTO, TENSORFLOW = EngineName(engine_table.AUTO), EngineName(engine_table.TENSORFLOW.name)


def weight_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of weights that begin with `incomplete`, and descriptions. If there are none, shells complete paths."""
    from vggfcn.networks.registry import REGISTRY

    for name, entry in {"auto": None, **REGISTRY}.items():
        if name.startswith(incomplete):
            yield name, f"{entry.network}, {entry.classes} classes" if entry else "the best weights on this machine"


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of classes and groups that begin with `incomplete`.

    They belong to the weights on the command line. Returns none if the weights are not on disk.
    """
    from vggfcn.errors import VGGFCNError
    from vggfcn.labels.groups import wordnet_groups
    from vggfcn.networks.classifier import choose, load
    from vggfcn.networks.registry import REGISTRY

    name = choose(context.params.get("weights") or "auto")[0]
    try:
        if name in REGISTRY and REGISTRY[name].find() is None:
            return []
        labels = load(name, context.params.get("labels"), context.params.get("groups")).labels
    except (VGGFCNError, OSError):
        return []
    names = [names[0] for names in labels.names]
    names += [group.name for group in (*labels.groups, *(group for _, group in wordnet_groups(labels.names)))]
    # Shells end a word at a space. `Labels.find` accepts underscores, too.
    known = dict.fromkeys(name.replace(" ", "_") for name in names)
    return [name for name in known if name.startswith(incomplete)]


Weights = Annotated[
    str,
    network_option(
        metavar="NAME|FILE",
        autocompletion=weight_names,
        help='"auto", a name from vggfcn weights list ("imagenet", "scene-digits", ...) or the path of a file.',
    ),
]
LabelFile = Annotated[
    pathlib.Path | None,
    network_option("--labels", help="File of class names for your own weights: text with one name per line, or JSON."),
]
GroupFile = Annotated[
    pathlib.Path | None,
    network_option("--groups", help='JSON file of your own groups of classes, such as {"pet": ["cat", "dog"]}.'),
]
ClassName = Annotated[
    str | None,
    network_option(
        "--class",
        autocompletion=class_names,
        help="A class or group: name, index or WordNet id. Default: the most probable class.",
    ),
]
MaxSide = Annotated[
    int,
    evaluation_option(
        min=1,
        help="Shrink the image until its longer side has at most this many pixels.",
    ),
]
OutputStride = Annotated[
    int | None,
    evaluation_option(min=1, help="Pixels from cell to cell. Default: the network's own, 32 for VGG."),
]
Engine = Annotated[
    EngineName,
    evaluation_option(
        help="What runs the network. auto: OpenVINO if it is installed and can run it, otherwise TensorFlow.",
    ),
]
MaxMemory = Annotated[
    str | None,
    evaluation_option(
        metavar="SIZE",
        help="Limit the memory, such as 4GB: read and compute each image in parts. For images larger than memory "
        "(TIFF, Zarr, .npy). Not with --scales, --sizes or --flip; --engine auto means TensorFlow here.",
    ),
]
Json = Annotated[bool, output_option("--json", help="Print JSON instead of the report.")]
Quiet = Annotated[
    bool,
    output_option("--quiet", help="Print no report and no progress, only JSON and errors."),
]


def numbers(text: str | None, kind: Callable[[str], Number]) -> tuple[Number, ...] | None:
    """The numbers of an option such as "0.75,1,1.5"; None if it was not given.

    Raises `BadParameter` (exit code 2) unless all are finite and greater than 0.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        example = "256,384,512" if kind is int else "0.75,1,1.5"
        raise typer.BadParameter(
            f"expected numbers greater than 0, separated by commas, such as {example}, got {text!r}"
        )
    return values


def bytes_of(text: str | None) -> int | None:
    """The bytes of an option such as "4GB"; None if it was not given. Raises `BadParameter` (exit code 2)."""
    from vggfcn.memory import number_of_bytes

    try:
        return None if text is None else number_of_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error).replace("max_memory", "--max-memory")) from None
