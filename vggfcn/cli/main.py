"""The command line: says, draws and sets exit codes; the work is done elsewhere.

Exit codes: 0 done, 1 refused (one line on stderr says why), 2 wrong usage, 130 interrupted. Results go to stdout, the
rest to stderr. What only some commands need is imported by those.
"""

import sys
from typing import Annotated, Any, NoReturn

import typer

from vggfcn.cli.help import PLAIN, Lazy, LazyGroup, alone, epilog
from vggfcn.errors import VGGFCNError

INTERRUPTED = 130
IMAGES, NETWORKS, MACHINE = "Images", "Networks", "Weights and this machine"


# In the order in which help lists them.
COMMANDS = {
    "demo": Lazy(
        "demo:demo",
        IMAGES,
        "Show on one image that the converted network is still the same, and where on it a class is found.",
    ),
    "heatmap": Lazy(
        "heatmap:heatmap",
        IMAGES,
        "Draw where on images a class is found, or write it as numbers.",
    ),
    "compare": Lazy(
        "compare:compare",
        IMAGES,
        "Say how far the dense map of an image is from its windows one by one, and how much faster it was.",
    ),
    "evaluate": Lazy(
        "evaluate:evaluate",
        IMAGES,
        "Top-1 and top-5 error as the VGG paper measures them: densely, on 150 crops, and both; at one scale and "
        "three.",
    ),
    "app": Lazy(
        "app:app",
        IMAGES,
        "Show a page in the browser: drop an image, choose a class, see where it is found.",
    ),
    "convert": Lazy(
        "convert:convert",
        NETWORKS,
        "Make a Keras classifier fully convolutional, prove that it is the same network, and save it.",
    ),
    "verify": Lazy(
        "convert:verify",
        NETWORKS,
        "Say whether two Keras models are the same network at native size; exit code 1 if they are not.",
    ),
    "export": Lazy(
        "export:export",
        NETWORKS,
        "Write the fully convolutional network for another runtime, and prove there that it is still the same.",
    ),
    "weights": Lazy(
        "weights:app",
        MACHINE,
        "List, fetch, inspect and convert weight files.",
    ),
    "bench": Lazy(
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
    """`python demo.py`: the `demo` command alone."""
    from vggfcn.cli.commands.demo import demo

    command = alone(demo, "demo")
    command.epilog = command.epilog.replace("vggfcn demo", "python demo.py")
    _run(command)


def _run(command: Any) -> None:
    try:
        command()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # Typer's own, of Ctrl-C, and it says nothing.
            print("vggfcn: interrupted", file=sys.stderr)
        raise
    except (VGGFCNError, OSError, ValueError) as error:
        _refuse(str(error))
    except MemoryError:
        _refuse("not enough memory; try a smaller --max-side")
    except Exception as error:  # Whatever happens, a person gets one line.
        _refuse(f"unexpected {type(error).__name__}: {error}; please report it")


def _refuse(reason: str) -> NoReturn:
    from vggfcn.cli.console import complain

    complain(reason)
    sys.exit(1)
