"""The command line, run in the test's own process or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys

import pytest
from typer.main import get_command

from vggfcn.cli import console, main

# `before` runs first, in the same process.
PROGRAM = """
import atexit, signal, sys
# As on a terminal: a process that a shell starts in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
sys.argv[0] = "vggfcn"
from vggfcn.cli.main import main
main()
"""
_HEAVY = ("numpy", "h5py", "PIL", "requests", "rich", "keras", "tensorflow", "gradio")
# As `before`: prints on stderr which of the heavy libraries were imported.
WATCHED = f"atexit.register(lambda: print(*[name for name in {_HEAVY} if name in sys.modules], file=sys.stderr))"
_UNWANTED = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONUNBUFFERED", "TF_CPP_MIN_LOG_LEVEL")


def run(*arguments, program=main.main):
    """Exit code, stdout and stderr of the program, run in this process."""
    out, errors = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vggfcn", *map(str, arguments)])
        patch.setattr(console, "messages", console.Screen(errors))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                program()
            except SystemExit as end:
                code = end.code or 0
    return code, out.getvalue(), errors.getvalue()


def started(*arguments, before="", **options):
    """The program, started in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    environment.update(options.pop("env", {}))
    command = [sys.executable, "-c", PROGRAM.format(before=before), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, env=environment, **pipes)


def run_in_process(*arguments, **options):
    """Exit code, stdout and stderr of the program in a process of its own."""
    process = started(*arguments, **options)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


def _commands(command, name=""):
    yield name, command
    for inner in getattr(command, "commands", ()):
        yield from _commands(command.commands[inner], f"{name} {inner}".strip())


def all_commands():
    """Every command and group by its name as it is typed; "" is the program itself."""
    return dict(_commands(get_command(main.app)))


def leaf_commands():
    """The commands that are no groups."""
    return {name: command for name, command in all_commands().items() if not hasattr(command, "commands")}
