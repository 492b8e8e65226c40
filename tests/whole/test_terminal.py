"""Names from files reach the terminal without what could change it; output that cannot be written ends in one line."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import PROGRAM, run, run_in_process
from hostile_texts import HOSTILE, changes_a_terminal
from own_networks import own_network
from PIL import Image
from raw_formats import entry, safetensors
from sample_scenes import STRIP

from vggfcn.errors import MESSAGE_LENGTH

NAMES = [text for text, _ in HOSTILE.values()]
PRINTED = [printed for _, printed in HOSTILE.values()]
LENET5 = ("--weights", "mnist-lenet5")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path


def is_plain(text):
    """Whether nothing in it changes a terminal, and no name was read as markup."""
    assert not changes_a_terminal(text)
    return True


def one_line(errors):
    assert is_plain(errors)
    assert errors.startswith("vggfcn: ")
    assert errors.count("\n") == 1
    assert len(errors) < MESSAGE_LENGTH + 20
    return errors


def hostile_labels(names, count=10):
    pathlib.Path("names.json").write_text(json.dumps([*names, *(f"class {index}" for index in range(count))][:count]))


@pytest.mark.parametrize("names", [NAMES[:9], NAMES[9:]], ids=["first half", "second half"])
def test_names_of_classes(names):
    hostile_labels(names)
    printed = PRINTED[:9] if names == NAMES[:9] else PRINTED[9:]
    code, out, errors = run("inspect", "mnist-lenet5", "--labels", "names.json")
    assert (code, errors) == (0, "")
    assert is_plain(out)
    line = next(line for line in out.splitlines() if line.startswith("classes"))
    assert all(name in " ".join(line.split()) for name in printed)
    found = json.loads(run("inspect", "mnist-lenet5", "--labels", "names.json", "--json")[1])
    assert found["classes"][: len(names)] == names


@pytest.mark.parametrize("name", HOSTILE)
def test_a_class_that_there_is_not(name):
    text, _ = HOSTILE[name]
    code, out, errors = run("heatmap", STRIP, *LENET5, "--class", f"no {text}")
    assert (code, out) == (1, "")
    assert "Unknown class" in one_line(errors)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_group_of_classes(name):
    text, _ = HOSTILE[name]
    pathlib.Path("groups.json").write_text(json.dumps({text: ["nothing of the kind"]}))
    code, _, errors = run("heatmap", STRIP, *LENET5, "--groups", "groups.json")
    assert code == 1
    assert "groups.json: group " in one_line(errors)


def test_names_in_a_table_and_under_a_heatmap():
    hostile_labels([NAMES[0]] * 10)
    code, out, errors = run("demo", STRIP, *LENET5, "--labels", "names.json", "--class", "3")
    assert (code, errors) == (0, "")
    assert is_plain(out)
    assert "red" in out
    code, out, errors = run("heatmap", STRIP, *LENET5, "--labels", "names.json", "--class", "3", "--format", "npy")
    assert (code, errors) == (0, "")
    assert is_plain(out)
    assert json.loads(pathlib.Path("heatmaps/ten-digits-heatmap.npy.json").read_text())["label"] == NAMES[0]


def with_arrays(path, names):
    """Add arrays to a safetensors file that no network knows."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    header |= {name: entry(len(data) + 8 * number, len(data) + 8 * number + 8) for number, name in enumerate(names)}
    safetensors(header, data + bytes(8 * len(names)))(path)


def test_names_of_arrays():
    assert run("weights", "convert", "mnist-lenet5", "sound.safetensors")[0] == 0
    for text, printed in HOSTILE.values():
        shutil.copy("sound.safetensors", "w.safetensors")
        with_arrays(pathlib.Path("w.safetensors"), [text])
        code, out, errors = run("weights", "inspect", "w.safetensors")
        assert (code, out) == (1, "")
        assert f"no layer of it has the arrays {printed}; other" in one_line(errors)


def test_names_of_layers():
    layers = [layer for layer in own_network("softmax").layers if not isinstance(layer, keras.layers.InputLayer)]
    names = [name for name in NAMES if "/" not in name and "\udcff" not in name]
    for layer, name in zip(layers, names[-len(layers) :], strict=True):
        layer._name = name
    keras.Sequential([keras.Input((24, 24, 3)), *layers]).save("own.keras")
    for arguments in (
        ["inspect", "own.keras"],
        ["convert", "own.keras", "out.keras"],
        ["verify", "own.keras", "own.keras"],
    ):
        _, out, errors = run(*arguments)
        assert is_plain(out + errors), arguments


FILES = [name for name in NAMES if "/" not in name]


def test_names_of_files_are_printed_plainly_and_used_as_they_are():
    for number, name in enumerate(FILES):
        shutil.copy(STRIP, f"{number}{name}.png")
    code, out, errors = run("heatmap", ".", *LENET5, "--class", "3", "--output", "out\x1b[2J")
    assert (code, errors) == (0, "")
    assert is_plain(out)
    assert out.count("-heatmap.png  ") == len(FILES)
    assert {path.name for path in pathlib.Path("out\x1b[2J").iterdir()} == {
        f"{number}{name}-heatmap.png" for number, name in enumerate(FILES)
    }


# Each takes a process of its own.
@pytest.mark.parametrize("name", ["a byte that is no text", "right to left", "two lines"])
@pytest.mark.parametrize("encoding", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=str)
def test_encodings_of_a_few_characters(name, encoding):
    path = f"\u00e9{HOSTILE[name][0]}.h5"
    code, out, errors = run_in_process("weights", "inspect", path, env=encoding)
    assert (code, out) == (1, "")
    assert "no such weight file" in one_line(errors)


def ended(redirected, *arguments):
    """Exit code, stdout and stderr of the program, started by a shell with its streams redirected."""
    command = [sys.executable, "-c", PROGRAM.format(before=""), *arguments]
    shell = ["sh", "-c", f'"$@" {redirected}', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


LIST, GONE = ("weights", "list"), ("weights", "inspect", "gone.h5")
FULL = "vggfcn: output: the disk is full; make room, or write to another folder\n"


@pytest.mark.parametrize(
    ("redirected", "arguments", "code", "said"),
    [
        (">/dev/full", LIST, 1, FULL),
        (">/dev/full", (*LIST, "--json"), 1, FULL),
        (">/dev/full", ("--help",), 1, FULL),
        (">/dev/full", ("--version",), 1, FULL),
        (">&-", LIST, 1, "vggfcn: stdout is closed, and the results go there; send it to a file, or to /dev/null\n"),
        (">&-", GONE, 1, "vggfcn: stdout is closed, and the results go there; send it to a file, or to /dev/null\n"),
        ("2>/dev/full", GONE, 1, ""),
        ("2>&-", GONE, 1, ""),
        ("<&-", GONE, 1, "vggfcn: gone.h5: no such weight file\n"),
        (">&- 2>&-", LIST, 1, ""),
        (">&- 2>&- <&-", ("--help",), 1, ""),
    ],
    ids=str,
)
def test_streams_that_cannot_be_used(redirected, arguments, code, said):
    assert ended(redirected, *arguments) == (code, "", said)


def test_without_stderr_the_results_are_the_same():
    assert ended("2>&-", *LIST) == (0, ended("", *LIST)[1], "")


@pytest.mark.parametrize("redirected", ["| head -1", "| true", "2>&1 | true"])
def test_a_reader_that_goes_away_causes_no_message(redirected):
    assert ended(redirected, "weights", "inspect", "scene-digits")[2] == ""


def test_a_reader_of_messages_that_goes_away_causes_none():
    assert ended("2>&1 | true", *GONE) == (0, "", "")


def refusal(*arguments):
    code, out, errors = run(*arguments)
    assert out == ""
    assert is_plain(errors)
    assert "Traceback" not in errors
    assert len(errors) < MESSAGE_LENGTH + 200  # With the usage.
    return code, errors


MILLION = "x" * 1_000_000
USAGE = {
    "a hundred thousand scales": (["heatmap", STRIP, "--scales", ",".join(["1"] * 100_000)], "at most 100 numbers"),
    "a scale of a million digits": (["heatmap", STRIP, "--scales", "9" * 1_000_000], "expected numbers greater than 0"),
    "a size of a million letters": (["heatmap", STRIP, "--input-shape", MILLION], "expected a size such as 224"),
    "no opacity": (["heatmap", STRIP, "--opacity", "nan"], "--opacity: expected more than 0"),
    "no contour": (["heatmap", STRIP, "--contour", "nan"], "--contour: expected a probability"),
    "an endless contour": (["heatmap", STRIP, "--contour", "inf"], "--contour: expected a probability"),
    "a side of a million digits": (["heatmap", STRIP, "--max-side", "9" * 1_000_000], "--max-side"),
    "memory of a million letters": (["heatmap", STRIP, "--max-memory", MILLION], "--max-memory"),
    "an unknown option in colours": (["heatmap", STRIP, "--\x1b[31mred\nsecond"], "No such option: --"),
    "an unknown command in colours": (["\x1b[31mred\nsecond"], "No such command"),
    "an engine of a million letters": (["heatmap", STRIP, "--engine", MILLION], "--engine"),
    "an image that fits into no memory": (["bench", "--size", "1000000000000"], "--size"),
    "a proof without an end": (["verify", "--samples", "1000000000000"], "--samples"),
    "a negative seed": (["verify", "--seed", "-1"], "--seed"),
}


@pytest.mark.parametrize("wrong", USAGE)
def test_odd_values_of_options(wrong):
    arguments, said = USAGE[wrong]
    code, errors = refusal(*arguments)
    assert code == 2
    assert said in errors.splitlines()[-1]
    assert list(pathlib.Path().iterdir()) == []


def a_million_lines():
    pathlib.Path("names.txt").write_text("\n".join(map(str, range(1_000_000))))


def a_large_file():
    with pathlib.Path("names.txt").open("wb") as file:
        file.truncate((1 << 24) + 1)


def a_pipe(name):
    return lambda: os.mkfifo(name)


LABELS = (*LENET5, "--labels", "names.txt")
GROUPS = (*LENET5, "--groups", "groups.json")
REFUSALS = {
    "a class of a million letters": (None, ["heatmap", STRIP, *LENET5, "--class", MILLION], "Unknown class 'xxx"),
    "names of three million letters": (
        lambda: pathlib.Path("names.txt").write_text("\n".join("x" * 3_000_000 for _ in range(5))),
        ["heatmap", STRIP, *LABELS],
        "expected 10 class names",
    ),
    "names too long to be names": (
        lambda: pathlib.Path("names.txt").write_text(json.dumps(["x" * 1001] * 10)),
        ["heatmap", STRIP, *LABELS],
        "class 0: expected a name of at most 1,000 characters, got one of 1,001",
    ),
    "a group with too long a name": (
        lambda: pathlib.Path("groups.json").write_text(json.dumps({"x" * 1001: [1]})),
        ["heatmap", STRIP, *GROUPS],
        "expected a name of at most 1,000 characters",
    ),
    "a million names": (a_million_lines, ["heatmap", STRIP, *LABELS], "expected 10 class names"),
    "a file of names that is large": (a_large_file, ["heatmap", STRIP, *LABELS], "more than 16,777,216 bytes"),
    "names from a pipe": (a_pipe("names.txt"), ["heatmap", STRIP, *LABELS], "expected a file, found a pipe"),
    "groups from a pipe": (a_pipe("groups.json"), ["heatmap", STRIP, *GROUPS], "expected a file, found a pipe"),
    "names from a device": (None, ["heatmap", STRIP, *LENET5, "--labels", "/dev/zero"], "expected a file, found a"),
    "names from a folder": (None, ["heatmap", STRIP, *LENET5, "--labels", "."], "expected a file, found a folder"),
    "an image from a pipe": (
        a_pipe("a.png"),
        ["demo", "a.png"],
        "a.png: cannot be read (expected a file, found a pipe",
    ),
    "an image from a device": (None, ["compare", "/dev/zero"], "/dev/zero: cannot be read (expected a file, found a"),
    "a folder as output": (None, ["demo", "--output", "."], "expected an --output that ends in .png"),
    "a folder with an image's name": (
        lambda: pathlib.Path("a.png").mkdir(),
        ["demo", "--output", "a.png"],
        "a.png: expected the name of a file, found a folder",
    ),
    "a pipe as output": (a_pipe("a.png"), ["demo", "--output", "a.png"], "found a device or a pipe; choose another"),
    "a missing folder": (None, ["demo", "--output", "no/a.png"], "there is no folder no; create it"),
    "a model as its own output": (
        lambda: pathlib.Path("a.keras").write_bytes(b""),
        ["convert", "a.keras", "a.keras", "--overwrite"],
        "a.keras: this is the input itself; choose another OUT",
    ),
    "weights as their own output": (
        lambda: pathlib.Path("a.safetensors").write_bytes(b""),
        ["weights", "convert", "a.safetensors", "a.safetensors", "--overwrite"],
        "this is the input itself; choose another name",
    ),
    "a file as the folder of heatmaps": (
        lambda: pathlib.Path("a").write_text(""),
        ["heatmap", STRIP, "--output", "a/b"],
        "expected a folder to write to, found a file; choose another --output",
    ),
    "a device as the folder of heatmaps": (None, ["heatmap", STRIP, "--output", "/dev/full"], "expected a folder to"),
    "results that are no file": (None, ["evaluate", ".", "--results", "/dev/full"], "found a device or a pipe"),
    "results that are the list": (
        lambda: pathlib.Path("list.txt").write_text("a.png 1"),
        ["evaluate", "list.txt", "--results", "list.txt"],
        "list.txt: this is the input itself",
    ),
    "an output whose name is too long": (None, ["demo", "--output", f"{'x' * 300}.png"], "File name too long"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_work_is_refused_before_the_work(case, monkeypatch):
    prepare, arguments, said = REFUSALS[case]
    if prepare is not None:
        prepare()
    monkeypatch.setattr("vggfcn.cli.console.load_tensorflow", lambda: pytest.fail("the work has begun"))
    before = sorted(pathlib.Path().iterdir())
    code, errors = refusal(*arguments)
    assert code == 1
    assert said in one_line(errors)
    assert sorted(pathlib.Path().iterdir()) == before


def test_thousands_of_images_that_are_missing_are_one_line_each_and_one_for_all():
    names = [f"{number}.png" for number in range(3000)]
    code, _, errors = run("heatmap", *names, *LENET5)
    assert code == 1
    *lines, last = errors.splitlines()
    assert lines == [f"vggfcn: {name}: no such file" for name in names]
    assert last.startswith("vggfcn: Skipped 3000 of 3000 images: 0.png, ")
    assert len(last) < MESSAGE_LENGTH + 20


@pytest.mark.parametrize("side", [10**12, 10**30])
def test_a_limit_that_is_no_limit(side):
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save("a.png")
    assert run("heatmap", "a.png", *LENET5, "--max-side", str(side))[0] == 0
