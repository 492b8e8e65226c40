"""The `vggfcn` command as one program: its help, its options, what it prints where, and how it ends."""

import importlib.metadata
import json
import os
import pty
import re
import shlex
import subprocess
import sys

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from vggfcn.cli import main
from vggfcn.cli.help import EXAMPLES

# `before` runs first, in the same process; which of the heavy libraries came along is told on stderr at the end.
PROGRAM = """
import atexit, signal, sys
# As on a terminal: what a shell starts in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
{before}
sys.argv[0] = "vggfcn"
from vggfcn.cli.main import main
main()
"""
HEAVY = ("numpy", "h5py", "PIL", "pooch", "rich", "keras", "tensorflow")
WATCHED = f"atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr))"

UNWANTED = ("NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED")


def started(*arguments, before="", **options):
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    environment.update(options.pop("env", {}))
    command = [sys.executable, "-c", PROGRAM.format(before=before), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, env=environment, **pipes)


def run(*arguments, **options):
    """Exit code, stdout and stderr of a process of its own."""
    process = started(*arguments, **options)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


def call(*arguments):
    return CliRunner().invoke(main.app, [str(argument) for argument in arguments])


def commands(command=None, name=""):
    """Every command and group by its name, as it is typed."""
    command = command or get_command(main.app)
    yield name, command
    for inner in getattr(command, "commands", ()):
        yield from commands(command.commands[inner], f"{name} {inner}".strip())


ALL = dict(commands())
LEAVES = {name: command for name, command in ALL.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option):
    assert run(option, before=WATCHED)[::2] == (0, "\n")


def test_and_that_test_can_fail():
    assert run("weights", "inspect", "scene-digits", before=WATCHED)[2].split() == ["numpy", "h5py", "pooch", "rich"]


def test_version():
    assert run("--version")[1] == f"vggfcn {importlib.metadata.version('vggfcn')}\n"


def test_what_help_says_of_commands_is_what_they_say_themselves():
    said = {name: ALL[name].help.splitlines()[0] for name in main.COMMANDS}
    assert said == {name: row.summary for name, row in main.COMMANDS.items()}
    shown = " ".join(call("--help").output.split())
    assert all(row.heading in shown and row.summary in shown for row in main.COMMANDS.values())


def test_every_command_has_examples():
    assert set(EXAMPLES) == set(ALL)
    assert all(1 <= len(lines) <= 3 for lines in EXAMPLES.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_stand_at_the_end_of_help_as_they_are(name):
    end = ["  Examples:", *(f"    {line}" for line in EXAMPLES[name])]
    assert call(*name.split(), "--help").output.rstrip().splitlines()[-len(end) :] == end


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_examples_can_be_typed(name, line):
    program, *words = shlex.split(line)
    assert program == "vggfcn"
    path = []
    while " ".join([*path, words[0]]) in ALL if words else False:
        path.append(words.pop(0))
    assert " ".join(path).startswith(name)
    # Raises for options and values that do not exist, and for arguments that are missing or too many.
    LEAVES[" ".join(path)].make_context(line, words)


def test_common_options_mean_the_same_everywhere():
    known = {}
    for name, command in LEAVES.items():
        for option in command.params:
            if option.opts[0] in (
                "--weights",
                "--labels",
                "--groups",
                "--class",
                "--engine",
                "--json",
                "--output-stride",
            ):
                known.setdefault(option.opts[0], {}).setdefault(option.help, []).append(name)
    assert {option: len(helps) for option, helps in known.items()} == dict.fromkeys(known, 1)
    assert len(known) == 7


def test_what_reports_can_be_json_or_quiet():
    options = {name: {option.opts[0] for option in command.params} for name, command in LEAVES.items()}
    assert [name for name, known in options.items() if "--json" not in known] == ["app"]
    assert [name for name, known in options.items() if "--quiet" not in known] == ["app", "weights list"]
    assert [name for name, known in options.items() if "--engine" in known] == [
        *("heatmap", "compare", "evaluate", "bench")
    ]


COMPLETED = {
    "commands": ("vggfcn ", ["demo", "heatmap", "weights"]),
    "a command": ("vggfcn hea", ["heatmap"]),
    "commands of a group": ("vggfcn weights ", ["list", "fetch", "inspect", "convert"]),
    "names of weights": ("vggfcn heatmap --weights ", ["auto", "scene-digits", "imagenet", "torchvision-vgg16"]),
    "a name of weights": ("vggfcn demo --weights mn", ["mnist-lenet5"]),
    "a file of weights is left to the shell": ("vggfcn demo --weights ./w", []),
    "engines": ("vggfcn bench --engine ", ["auto", "tensorflow", "openvino"]),
    "formats": ("vggfcn heatmap --format ", ["png", "npy", "tiff"]),
    "classes": ("vggfcn heatmap --weights scene-digits --class ", ["0", "9", "none"]),
    "a class of ImageNet's": ("vggfcn heatmap --weights efficientnet-lite0 --class Egyptian", ["Egyptian_cat"]),
    "a group of ImageNet's": ("vggfcn heatmap --weights efficientnet-lite0 --class dom", ["domestic_animal"]),
    "classes of weights that are elsewhere": ("vggfcn demo --weights gone.h5 --class ", []),
    "what is fetched": ("vggfcn weights fetch imagenet-v", ["imagenet-vgg19", "imagenet-vgg19-notop"]),
    "options": ("vggfcn heatmap --max-m", ["--max-memory"]),
}


def completed(shell, line):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}  # as bash says it
    words |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {"_VGGFCN_COMPLETE": f"complete_{shell}", **words}


@pytest.mark.parametrize("what", COMPLETED)
def test_shells_complete(what):
    line, expected = COMPLETED[what]
    done = CliRunner(env=completed("bash", line)).invoke(main.app, prog_name="vggfcn")
    found = done.stdout.split()
    assert done.exit_code == 0
    assert set(expected) <= set(found)
    assert all(word.startswith(line.split(" ")[-1]) for word in found)
    assert expected or not found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how(shell):
    code, out, errors = run(env=completed(shell, "vggfcn hea"), before=WATCHED)
    assert code == 0
    assert set(errors.split()) <= ({"rich"} if shell != "bash" else set())  # typer's own
    assert "heatmap" in out
    unknown = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    code, script, _ = run("--show-completion", shell, env=unknown)
    assert code == 0
    assert "_VGGFCN_COMPLETE" in script


ENDS = {
    "done": (["weights", "list"], 0),
    "refused": (["weights", "inspect", "gone.h5"], 1),
    "refused before anything is loaded": (["convert", "gone.keras", "gone.h5"], 1),
    "no such option": (["weights", "list", "--colour"], 2),
}


@pytest.mark.parametrize("what", ENDS)
def test_exit_codes_and_what_goes_where(what, tmp_path):
    arguments, expected = ENDS[what]
    code, out, errors = run(*arguments, cwd=tmp_path)
    assert code == expected
    assert bool(out) == (code == 0)
    assert bool(errors) == (code != 0)
    assert "Traceback" not in errors
    assert "\x1b" not in out + errors
    if code == 1:
        assert re.fullmatch("vggfcn: .+\n", errors)
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "no such command": ["heatmaps"],
    "an argument is missing": ["heatmap"],
    "no such engine": ["compare", "a.png", "--engine", "steam"],
    "no amount of memory": ["heatmap", "a.png", "--max-memory", "much"],
    "memory and scales": ["heatmap", "a.png", "--max-memory", "4GB", "--scales", "1,2"],
    "memory and flip": ["heatmap", "a.png", "--max-memory", "4GB", "--flip"],
    "an image without a window": ["bench", "--weights", "mnist-lenet5", "--size", "31"],
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_usage(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*WRONG[what])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
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
    code, out, errors = run("weights", "convert", "scene-digits", "w.safetensors", before=HALF, cwd=tmp_path)
    assert (code, out, errors) == (130, "", "vggfcn: interrupted\n")
    assert list(tmp_path.iterdir()) == []


SOON = """
import os, signal, threading
import vggfcn.cli.main
threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


@pytest.mark.parametrize("seconds", [0.1, 1, 3])
def test_ctrl_c_at_any_time(tmp_path, seconds):
    """Among others while TensorFlow loads, whose parts have their own ways to fail."""
    # A million windows: it is not done by then.
    Image.new("L", (4000, 4000)).save(tmp_path / "large.png")
    arguments = ("compare", "large.png", "--max-side", "4000", "--weights", "mnist-lenet5")
    code, out, errors = run(*arguments, before=SOON.format(seconds=seconds), cwd=tmp_path)
    assert (code, out, errors) == (130, "", "vggfcn: interrupted\n")


CLOSED = [
    ["--help"],
    ["--version"],
    ["weights", "list"],
    ["weights", "list", "--json"],
    ["weights", "inspect", "--json"],
]


@pytest.mark.parametrize("arguments", CLOSED, ids=" ".join)
def test_who_reads_no_further_is_told_nothing(arguments):
    words = [*arguments, "scene-digits"] if "inspect" in arguments else arguments
    reader, writer = os.pipe()
    os.close(reader)
    process = started(*words, stdout=writer)
    os.close(writer)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (1, "")


def on_a_terminal(*arguments, before="", **environment):
    """What appears on a terminal 100 columns wide."""
    terminal, inner = pty.openpty()
    sized = {"COLUMNS": "100", "TERM": "xterm-256color", **environment}
    process = started(*arguments, before=before, env=sized, stdout=inner, stderr=inner)
    os.close(inner)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # At the end Linux says that there is no such terminal.
            break
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    return shown.decode()


COLOURS = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|38;[25];[0-9;]+|9[0-7])m")


def test_a_terminal_sees_what_is_going_on_unless_it_is_to_be_quiet():
    arguments = ("weights", "inspect", "scene-digits")
    shown = on_a_terminal(*arguments)
    assert "reading scene-digits ..." in shown
    assert COLOURS.search(shown)
    assert shown.index("reading") < shown.index("known as  scene-digits")
    assert not COLOURS.search(on_a_terminal(*arguments, NO_COLOR="1"))
    assert on_a_terminal(*arguments, "--quiet") == ""
    json.loads(on_a_terminal(*arguments, "--quiet", "--json"))


SLOW = """
import time
from vggfcn.cli.console import Reporter
def list_slowly(as_json=False):
    reporter = Reporter()
    with reporter.progress("slowly", "steps") as tick:
        for step in range(13):
            tick(step, 12)
            time.sleep(0.1)
            if step == 6:
                reporter.report("half of it")
from vggfcn.cli.commands import weights as cli_weights
cli_weights.app.registered_commands[0].callback = list_slowly
"""


def test_progress_shows_how_much_how_fast_and_how_long():
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_a_terminal("weights", "list", before=SLOW))
    assert re.search(r"\b6/12\b", shown)
    assert re.search(r"\d\.\d steps/s", shown)
    assert re.search(r"s 0:00:0\d 0:00:0\d", shown)
    assert re.search(r"[\r\n]half of it", shown)
    assert "slowly" not in run("weights", "list", before=SLOW)[2]
