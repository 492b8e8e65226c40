"""The `vggfcn` program: its list of commands, and how it ends.

Exit codes: 0 success, 1 refused (one line on stderr says why), 2 wrong usage, 130 interrupted by Ctrl-C or
SIGTERM.
"""

import contextlib
import pathlib
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from vggfcn.cli.help import PLAIN, LazyCommand, LazyGroup, command_from, epilog
from vggfcn.cli.streams import open_streams, reason
from vggfcn.errors import VGGFCNError, lacks_memory, one_line
from vggfcn.temporary import libraries_tidied

INTERRUPTED = 130
# The base class of Click's errors: Typer's own copy of Click has another than Click.
WrongUsage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
IMAGES, NETWORKS, MACHINE = "Images", "Networks", "Weights and this machine"

# In the order of the help.
COMMANDS = {
    "demo": LazyCommand(
        "demo:demo",
        IMAGES,
        "Show on one image that the converted network gives the same output, and where it finds a class.",
    ),
    "heatmap": LazyCommand(
        "heatmap:heatmap",
        IMAGES,
        "Draw where a class is found in each image, or write the probabilities as numbers.",
    ),
    "compare": LazyCommand(
        "compare:compare",
        IMAGES,
        "Compare the dense map of an image with windows evaluated one by one: difference and speed.",
    ),
    "evaluate": LazyCommand(
        "evaluate:evaluate",
        IMAGES,
        "Measure top-1 and top-5 error as in the VGG paper: dense, on 150 crops, and both; at one scale and three.",
    ),
    "app": LazyCommand(
        "app:app",
        IMAGES,
        "Serve a page for the browser: drop an image, choose a class, see where it is found.",
    ),
    "convert": LazyCommand(
        "convert:convert",
        NETWORKS,
        "Make a Keras classifier fully convolutional, prove that it is still the same network, and save it.",
    ),
    "inspect": LazyCommand(
        "inspect:inspect",
        NETWORKS,
        "Show what a classifier takes and returns; with --images, also which preprocessing it was trained with.",
    ),
    "verify": LazyCommand(
        "convert:verify",
        NETWORKS,
        "Check whether two Keras models give the same output at native size; exit code 1 if they do not.",
    ),
    "export": LazyCommand(
        "export:export",
        NETWORKS,
        "Write the fully convolutional network for another runtime, and prove there that its output is the same.",
    ),
    "weights": LazyCommand(
        "weights:app",
        MACHINE,
        "List, fetch, inspect and convert weight files.",
    ),
    "bench": LazyCommand(
        "bench:bench",
        MACHINE,
        "Measure how fast this machine runs a network, engine by engine.",
    ),
}


class _Commands(LazyGroup):
    table = COMMANDS


app = typer.Typer(cls=_Commands, no_args_is_help=True, context_settings={"max_content_width": 110}, **PLAIN)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"vggfcn {version('vggfcn')}", flush=True)
        raise typer.Exit


@app.callback(epilog=epilog(""))
def _vggfcn(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run an image classifier fully convolutionally, and prove that it is still the same network."""


def main() -> None:
    """The `vggfcn` command."""
    _run(typer.main.get_command(app))


def run_demo() -> None:
    """Run the `demo` command alone, for `python demo.py`."""
    from vggfcn.cli.commands.demo import demo

    command = command_from(demo, "demo")
    command.epilog = command.epilog.replace("vggfcn demo", "python demo.py")
    _run(command)


def _run(command: Any) -> NoReturn:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        open_streams()
        with libraries_tidied():
            code = command(standalone_mode=False) or 0  # Typer returns `INTERRUPTED` on Ctrl-C, without a message.
    except KeyboardInterrupt:
        code = INTERRUPTED
    except WrongUsage as error:
        code = _wrong_usage(error)
    except Exception as error:  # One line instead of a traceback, whatever happens.
        code = _refused(_said(error))
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == INTERRUPTED:
        print("vggfcn: interrupted", file=sys.stderr)
    sys.exit(code)


def _said(error: Exception) -> str:
    """What went wrong, and what to do."""
    if lacks_memory(error):
        return "not enough memory; try a smaller --max-side"
    if isinstance(error, FileNotFoundError) and _folder_is_gone():
        return "the current folder is gone; change to another one, for instance with: cd"
    if isinstance(error, VGGFCNError | OSError | ValueError):
        return reason(error)
    return f"unexpected {type(error).__name__}: {error}; please report it"


def _folder_is_gone() -> bool:
    try:
        pathlib.Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _wrong_usage(error: Any) -> int:
    if not error.message.startswith("Usage: "):  # The help, which is shown if there are no arguments.
        error.message = one_line(error.message)
    error.show()
    return error.exit_code


def _refused(reason: str) -> int:
    from vggfcn.cli.console import complain

    with contextlib.suppress(OSError):  # Nobody can be told, but the exit code tells.
        complain(reason)
    return 1
