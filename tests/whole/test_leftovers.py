"""Nothing of ours or of the libraries that are called stays behind, also when a command is ended from outside."""

import os
import tempfile

import pytest
from command_line import run, run_in_process

import vggfcn

# Ends the command while it writes a file.
HALF = """
import os, signal, time
from vggfcn.networks import writing
def half(weights, path):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIG{kind})
    time.sleep(60)
writing._write_safetensors = half
"""


@pytest.mark.parametrize("kind", ["TERM", "INT"])
def test_a_command_that_is_ended_leaves_one_line_and_nothing_else(tmp_path, kind):
    command = ["weights", "convert", "scene-digits", "w.safetensors"]
    end = run_in_process(*command, before=HALF.format(kind=kind), cwd=tmp_path)
    assert end == (130, "", "vggfcn: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_leaves_goes_with_the_next_one(tmp_path):
    command = ["weights", "convert", "scene-digits", "w.safetensors"]
    code, *_ = run_in_process(*command, before=HALF.format(kind="KILL"), cwd=tmp_path)
    assert code == -9
    assert [path.name[:8] for path in tmp_path.iterdir()] == [".vggfcn-"]
    assert run_in_process(*command, cwd=tmp_path)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


SOON = """
import os, signal, threading
import vggfcn.cli.main
threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGTERM)).start()
"""


@pytest.mark.parametrize("seconds", [0.1, 2])
def test_sigterm_at_any_time(tmp_path, seconds):
    """Among others while TensorFlow loads."""
    command = ["bench", "--weights", "mnist-lenet5", "--size", "3000", "--engine", "tensorflow"]
    end = run_in_process(*command, before=SOON.format(seconds=seconds), cwd=tmp_path)
    assert end == (130, "", "vggfcn: interrupted\n")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.mark.parametrize("name", ["x.onnx", "x.keras", "x.xml", "x.tflite", "x"])
def test_libraries_leave_nothing(tmp_path, temporary, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    command = ("convert", "mnist-lenet5", name) if name == "x.keras" else ("export", name, "--weights", "mnist-lenet5")
    assert run(*command)[0] == 0
    assert list(temporary.iterdir()) == []
    expected = {"x.xml", "x.bin"} if name == "x.xml" else {name}
    assert {path.name for path in tmp_path.iterdir()} == {*expected, "temporary"}
    assert os.environ["TMPDIR"] == str(temporary)


@pytest.mark.parametrize("name", ["x.onnx", "x.tflite"])
def test_libraries_leave_nothing_in_python_either(tmp_path, temporary, name):
    vggfcn.export(vggfcn.build(weights="mnist-lenet5"), tmp_path / name)
    assert list(temporary.iterdir()) == []
