"""Help texts, and commands that are imported only when they run, so that help appears immediately."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

# Plain text: no borders, no markup, and twice as fast.
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
# The end of each command's help: lines to type. "" is the program itself.
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
        "vggfcn heatmap photo.jpg --weights classifier.keras --labels names.txt --preprocess 0..1",
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
        "vggfcn convert classifier.h5 converted.keras --labels names.txt --preprocess=-1..1 --overwrite",
    ),
    "inspect": (
        "vggfcn inspect classifier.keras",
        "vggfcn inspect classifier.h5 --images validation",
    ),
    "export": (
        "vggfcn export network.onnx",
        "vggfcn export network.tflite --weights efficientnet-lite0",
        "vggfcn export network --format saved_model --overwrite",
    ),
    "verify": (
        "vggfcn verify classifier.keras converted.keras",
        "vggfcn verify classifier.keras converted.keras --samples 5 --quiet",
        "vggfcn verify --weights efficientnet-lite0",
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
    """The end of a command's help: its examples below a heading; "" if it has none."""
    lines = EXAMPLES.get(name, ())
    # "\b" tells Click not to rewrap the paragraph.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""


@dataclasses.dataclass(frozen=True)
class LazyCommand:
    """A command that is not imported yet.

    location: "module:name" in `vggfcn.cli.commands`, a function or a `Typer` of several commands.
    heading: the heading above it in the list of commands.
    summary: the first line of its docstring or help.
    """

    location: str
    heading: str
    summary: str

    def load(self, name: str) -> Any:
        """Import the command."""
        module, attribute = self.location.split(":")
        function_or_app = getattr(importlib.import_module(f"vggfcn.cli.commands.{module}"), attribute)
        if isinstance(function_or_app, typer.Typer):
            group = typer.main.get_command(function_or_app)
            group.name = name
            return group
        return command_from(function_or_app, name)


def command_from(function: Callable[..., object], name: str) -> Any:
    """A command that runs a function, with its examples below its help."""
    app = typer.Typer(add_completion=False, **PLAIN)
    app.command(name, cls=Command, epilog=epilog(name))(function)
    return typer.main.get_command(app)


class Command(TyperCommand):
    """A command whose help lists its options under headings: each option's `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options under their headings."""
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
    """Commands by name; a lazy command is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        command = super().__getitem__(name)
        if isinstance(command, LazyCommand):
            command = self[name] = command.load(name)
        return command

    def get(self, name: str, default: Any = None) -> Any:
        """As `dict.get`, which would not call `__getitem__`."""
        return self[name] if name in self else default  # noqa: SIM401


class LazyGroup(TyperGroup):
    """A group of the commands in `table`, which subclasses set."""

    table: ClassVar[Mapping[str, LazyCommand]] = {}

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.commands = Commands({**self.table, **self.commands})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command with its summary only, for lists of commands; imports nothing."""
        if cmd_name in self.table:
            return TyperCommand(cmd_name, help=self.table[cmd_name].summary)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that will run."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, name and self.commands.get(name, command), rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings, with unshortened summaries."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            row = self.table.get(name)
            summary = row.summary if row else self.get_command(ctx, name).get_short_help_str(limit=200)
            headings.setdefault(row.heading if row else "Commands", []).append((name, summary))
        _write(headings, formatter)
