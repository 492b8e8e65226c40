"""Help, and commands that are imported when they are asked for, so that it comes at once."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

# Plain text: no borders to read past, nothing but what was written, and half the time.
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
# What stands at the end of each command's help, to be typed as it is; "" is the program itself.
EXAMPLES = {
    "": (
        "vggfcn demo",
        "vggfcn heatmap photo.jpg --weights efficientnet-lite0 --class dog",
        "vggfcn convert classifier.keras converted.keras",
    ),
    "demo": (
        "vggfcn demo",
        "vggfcn demo photo.jpg --weights efficientnet-lite0",
        "vggfcn demo photo.jpg --class 4 --output four.png",
    ),
    "heatmap": (
        "vggfcn heatmap scans/ 'more/*.jpg' --class 4 --output-stride 8 --contour 0.5",
        "vggfcn heatmap photo.jpg --weights efficientnet-lite0 --class dog --format tiff",
        "vggfcn heatmap slide.tif --max-memory 4GB --max-side 2000",
    ),
    "compare": (
        "vggfcn compare photo.jpg",
        "vggfcn compare photo.jpg --weights mnist-lenet5 --output-stride 2",
    ),
    "evaluate": (
        "vggfcn evaluate val --weights imagenet --results vgg16.jsonl",
        "vggfcn evaluate digits/list.txt --sizes 224,256,288 --json",
    ),
    "app": ("vggfcn app", "vggfcn app --port 8000"),
    "bench": (
        "vggfcn bench",
        "vggfcn bench --weights imagenet --size 1024 --json",
    ),
    "convert": (
        "vggfcn convert classifier.keras converted.keras",
        "vggfcn convert classifier.h5 converted.keras --keep-global --overwrite",
    ),
    "export": (
        "vggfcn export network.onnx",
        "vggfcn export network.tflite --weights efficientnet-lite0",
        "vggfcn export network --format saved_model --overwrite",
    ),
    "verify": (
        "vggfcn verify classifier.keras converted.keras",
        "vggfcn verify classifier.keras converted.keras --samples 5 --quiet",
    ),
    "weights": (
        "vggfcn weights list",
        "vggfcn weights inspect scene-digits",
    ),
    "weights list": ("vggfcn weights list", "vggfcn weights list --json"),
    "weights fetch": ("vggfcn weights fetch imagenet",),
    "weights inspect": ("vggfcn weights inspect scene-digits", "vggfcn weights inspect vgg16.pth --json"),
    "weights convert": ("vggfcn weights convert vgg16.pth vgg16.safetensors",),
}


def epilog(name: str) -> str:
    """The examples of a command, "" for the program itself, below a heading; lines stay as they are."""
    lines = EXAMPLES.get(name, ())
    # To click this character says that the paragraph is not to be filled.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""


@dataclasses.dataclass(frozen=True)
class Lazy:
    """A command that is not imported yet: where it is, "module:name", and what help says of it.

    It is a function, or a `Typer` of several commands. `heading` stands above it in the list of commands; `summary` is
    the first line of its docstring or help.
    """

    place: str
    heading: str
    summary: str

    def load(self, name: str) -> Any:
        """The command itself."""
        module, attribute = self.place.split(":")
        found = getattr(importlib.import_module(f"vggfcn.cli.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_command(found)
            group.name = name
            return group
        return alone(found, name)


def alone(function: Callable[..., object], name: str) -> Any:
    """A function as a command, with its examples below its help."""
    app = typer.Typer(add_completion=False, **PLAIN)
    app.command(name, cls=Command, epilog=epilog(name))(function)
    return typer.main.get_command(app)


class Command(TyperCommand):
    """A command whose options stand under headings in its help: their `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments first, then the options of each heading."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            heading = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record := parameter.get_help_record(ctx):
                headings.setdefault(getattr(parameter, "rich_help_panel", None) or heading, []).append(record)
        _write(headings, formatter)


def _write(headings: Mapping[str, list[tuple[str, str]]], formatter: Any) -> None:
    for heading, rows in headings.items():
        with formatter.section(heading):
            formatter.write_dl(rows)


class Commands(dict[str, Any]):
    """Commands by their names; a lazy one is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, Lazy):
            found = self[name] = found.load(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        return self[name] if name in self else default  # noqa: SIM401


class LazyGroup(TyperGroup):
    """A group whose commands are those of `table`."""

    table: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.commands = Commands({**self.table, **self.commands})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What lists of commands need, without loading any."""
        if cmd_name in self.table:
            return TyperCommand(cmd_name, help=self.table[cmd_name].summary)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to run, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, name and self.commands.get(name, command), rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands under their headings; each summary whole."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            row = self.table.get(name)
            summary = row.summary if row else self.get_command(ctx, name).get_short_help_str(limit=200)
            headings.setdefault(row.heading if row else "Commands", []).append((name, summary))
        _write(headings, formatter)
