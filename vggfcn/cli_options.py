"""Options that mean the same in every command."""

import pathlib
from typing import Annotated

import typer

Weights = Annotated[str, typer.Option(help='"auto", a name ("imagenet", "scene-digits", ...) or the path of a file.')]
LabelFile = Annotated[
    pathlib.Path | None,
    typer.Option("--labels", help="Class names for your own weights: text, one a line, or JSON."),
]
MaxSide = Annotated[
    int, typer.Option(min=1, help="Shrink the picture so that its longer side has at most this many pixels.")
]
OutputStride = Annotated[
    int | None, typer.Option(min=1, help="Pixels from cell to cell; the network's own if not given, 32 for VGG.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the report.")]
