"""Options that mean the same in every command, and what shells complete for them."""

import enum
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import typer

from vggfcn.engines import table as engine_table

# Options under headings of their own in help.
network_option = functools.partial(typer.Option, rich_help_panel="Network and classes")
evaluation_option = functools.partial(typer.Option, rich_help_panel="Evaluation")
output_option = functools.partial(typer.Option, rich_help_panel="Output")
Number = TypeVar("Number", int, float)
EngineName = enum.Enum(  # type: ignore[misc]
    "EngineName", {name.upper(): name for name in engine_table.NAMES}, type=str
)
AUTO, TENSORFLOW = EngineName(engine_table.AUTO), EngineName(engine_table.TENSORFLOW.name)


def weight_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of weights that begin so, and what they are. Where there is none, shells complete paths by themselves."""
    from vggfcn.networks.registry import REGISTRY

    for name, entry in {"auto": None, **REGISTRY}.items():
        if name.startswith(incomplete):
            yield name, f"{entry.network}, {entry.classes} classes" if entry else "the best on this machine"


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the classes and groups of the weights on the line that begin so; none if the weights are not on disk."""
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
    # A shell would take a blank for the end of a word, and `Labels.find` takes either.
    known = dict.fromkeys(name.replace(" ", "_") for name in names)
    return [name for name in known if name.startswith(incomplete)]


Weights = Annotated[
    str,
    network_option(
        metavar="NAME|FILE",
        autocompletion=weight_names,
        help='"auto", a name ("imagenet", "scene-digits", ...; see vggfcn weights list) or the path of a file.',
    ),
]
LabelFile = Annotated[
    pathlib.Path | None,
    network_option("--labels", help="Class names for your own weights: text, one a line, or JSON."),
]
GroupFile = Annotated[
    pathlib.Path | None,
    network_option("--groups", help='Groups of classes: JSON such as {"pet": ["cat", "dog"]}.'),
]
ClassName = Annotated[
    str | None,
    network_option(
        "--class",
        autocompletion=class_names,
        help="A class or group: name, index or WordNet id. The clearest class if not given.",
    ),
]
MaxSide = Annotated[
    int,
    evaluation_option(
        min=1,
        help="Shrink the image so that its longer side has at most this many pixels.",
    ),
]
OutputStride = Annotated[
    int | None,
    evaluation_option(min=1, help="Pixels from cell to cell; the network's own if not given, 32 for VGG."),
]
Engine = Annotated[
    EngineName,
    evaluation_option(
        help="What runs the network. auto is OpenVINO if it is installed and can run it, else TensorFlow.",
    ),
]
MaxMemory = Annotated[
    str | None,
    evaluation_option(
        metavar="SIZE",
        help="Read and compute each image in parts, with at most so much memory in all, such as 4GB: for images "
        "larger than memory (TIFF, Zarr, .npy). One evaluation; auto is TensorFlow here.",
    ),
]
Json = Annotated[bool, output_option("--json", help="Print JSON instead of the report.")]
Quiet = Annotated[
    bool,
    output_option("--quiet", help="No report and no progress: files, JSON and errors alone."),
]


def numbers(text: str | None, kind: Callable[[str], Number]) -> tuple[Number, ...] | None:
    """What an option such as "0.75,1,1.5" says; None if it was not given. Raises `BadParameter` (exit code 2)."""
    if text is None:
        return None
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < number < float("inf") for number in found):
        example = "256,384,512" if kind is int else "0.75,1,1.5"
        raise typer.BadParameter(f"expected numbers greater than 0 with commas, such as {example}, got {text!r}")
    return found


def bytes_of(text: str | None) -> int | None:
    """What `--max-memory` says; None if it was not given. Raises `BadParameter` (exit code 2)."""
    from vggfcn.memory import number_of_bytes

    try:
        return None if text is None else number_of_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error).replace("max_memory", "--max-memory")) from None
