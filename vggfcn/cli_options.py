"""Options that mean the same in every command."""

import pathlib
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

Number = TypeVar("Number", int, float)

Weights = Annotated[str, typer.Option(help='"auto", a name ("imagenet", "scene-digits", ...) or the path of a file.')]
LabelFile = Annotated[
    pathlib.Path | None, typer.Option("--labels", help="Class names for your own weights: text, one a line, or JSON.")
]
GroupFile = Annotated[
    pathlib.Path | None, typer.Option("--groups", help='Groups of classes: JSON such as {"pet": ["cat", "dog"]}.')
]
ClassName = Annotated[
    str | None,
    typer.Option("--class", help="A class or group: name, index or WordNet id. The clearest class if not given."),
]
MaxSide = Annotated[
    int, typer.Option(min=1, help="Shrink the picture so that its longer side has at most this many pixels.")
]
OutputStride = Annotated[
    int | None, typer.Option(min=1, help="Pixels from cell to cell; the network's own if not given, 32 for VGG.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the report.")]


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
