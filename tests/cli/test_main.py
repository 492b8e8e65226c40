"""The `vggfcn` program: what it imports, what it prints where, and how it ends."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest
import typer
from command_line import WATCHED, all_commands, run, run_in_process, started
from PIL import Image

from vggfcn.cli import main


def test_help_and_version_import_nothing_heavy():
    version = f"vggfcn {importlib.metadata.version('vggfcn')}\n"
    assert run_in_process("--version", before=WATCHED) == (0, version, "\n")
    code, out, errors = run_in_process("--help", before=WATCHED)
    assert (code, errors) == (0, "\n")
    assert set(main.COMMANDS) <= set(out.split())


def test_and_that_test_can_fail():
    errors = run_in_process("weights", "inspect", "scene-digits", before=WATCHED)[2]
    assert errors.split() == ["numpy", "rich"]


def test_help_says_of_commands_what_they_say_themselves():
    commands = all_commands()
    said = {name: commands[name].help.splitlines()[0] for name in main.COMMANDS}
    assert said == {name: command.summary for name, command in main.COMMANDS.items()}


def test_the_installed_command_is_this_program():
    command = pathlib.Path(sys.executable).with_name("vggfcn")
    done = subprocess.run([command, "weights", "inspect", "gone.h5"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("vggfcn: gone.h5: no such weight file.*\n", done.stderr)


ENDS = {
    "success": (["weights", "list"], 0),
    "refused": (["weights", "inspect", "gone.h5"], 1),
    "refused before anything is loaded": (["convert", "gone.keras", "gone.h5"], 1),
    "no such option": (["weights", "list", "--colour"], 2),
}


@pytest.mark.parametrize("end", ENDS)
def test_exit_codes_and_what_goes_where(end, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, expected = ENDS[end]
    code, out, errors = run(*arguments)
    assert code == expected
    assert bool(out) == (code == 0)
    assert bool(errors) == (code != 0)
    assert "Traceback" not in errors
    assert "\x1b" not in out + errors
    if code == 1:
        assert re.fullmatch("vggfcn: .+\n", errors)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(ValueError("size: expected\n1"), "vggfcn: size: expected 1\n", id="a refusal"),
        pytest.param(OSError("no space left"), "vggfcn: no space left\n", id="the system's"),
        pytest.param(MemoryError(), "vggfcn: not enough memory; try a smaller --max-side\n", id="memory"),
        pytest.param(
            type("ResourceExhaustedError", (Exception,), {})("OOM when allocating"),
            "vggfcn: not enough memory; try a smaller --max-side\n",
            id="TensorFlow's memory",
        ),
        pytest.param(
            FileNotFoundError(2, "No such file", "a.png"), "vggfcn: [Errno 2] No such file: 'a.png'\n", id="no file"
        ),
        pytest.param(KeyError("x"), "vggfcn: unexpected KeyError: 'x'; please report it\n", id="a bug"),
    ],
)
def test_errors_are_one_line(error, said):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail():
        raise error

    assert run(program=lambda: main._run(typer.main.get_command(app))) == (1, "", said)


@pytest.mark.parametrize(
    "arguments",
    [["heatmap", "x.png"], ["evaluate", "val"], ["weights", "convert", "scene-digits", "w.safetensors"]],
    ids=" ".join,
)
def test_a_current_folder_that_is_gone(tmp_path, monkeypatch, arguments):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = "vggfcn: the current folder is gone; change to another one, for instance with: cd\n"
    assert run(*arguments) == (1, "", said)


WRONG = {
    "no such command": ["heatmaps"],
    "an argument is missing": ["heatmap"],
    "no such engine": ["compare", "a.png", "--engine", "steam"],
    "no amount of memory": ["heatmap", "a.png", "--max-memory", "much"],
    "memory and scales": ["heatmap", "a.png", "--max-memory", "4GB", "--scales", "1,2"],
    "memory and flip": ["heatmap", "a.png", "--max-memory", "4GB", "--flip"],
    "an image without a window": ["bench", "--weights", "mnist-lenet5", "--size", "31"],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_usage(wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, errors = run(*WRONG[wrong])
    assert (code, out) == (2, "")
    assert errors.startswith("Usage: ")
    assert list(tmp_path.iterdir()) == []


HALF = """
import os, signal, time
from vggfcn.networks import writing
def half(weights, path):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
writing._write_safetensors = half
"""


def test_an_interrupted_command_leaves_one_line_and_nothing_else(tmp_path):
    end = run_in_process("weights", "convert", "scene-digits", "w.safetensors", before=HALF, cwd=tmp_path)
    assert end == (130, "", "vggfcn: interrupted\n")
    assert list(tmp_path.iterdir()) == []


SOON = """
import os, signal, threading
import vggfcn.cli.main
threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


@pytest.mark.parametrize("seconds", [0.1, 1, 3])
def test_ctrl_c_at_any_time(tmp_path, seconds):
    """Among others while TensorFlow loads, whose parts fail in ways of their own."""
    # A million windows: it is not done by then.
    Image.new("L", (4000, 4000)).save(tmp_path / "large.png")
    arguments = ("compare", "large.png", "--max-side", "4000", "--weights", "mnist-lenet5")
    end = run_in_process(*arguments, before=SOON.format(seconds=seconds), cwd=tmp_path)
    assert end == (130, "", "vggfcn: interrupted\n")


CLOSED = [["--help"], ["weights", "list"], ["weights", "inspect", "scene-digits", "--json"]]


@pytest.mark.parametrize("arguments", CLOSED, ids=" ".join)
def test_a_reader_that_closes_the_pipe_causes_no_message(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    process = started(*arguments, stdout=writer)
    os.close(writer)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (1, "")
