"""Nothing but `WeightsError` comes out of the reading of a weight file, and nothing but files is opened."""

import errno
import os
import socket

import pytest

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.reading import reading
from vggfcn.errors import WeightsError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(bytes(100))
    return path


def test_gives_the_budget_of_the_file(path):
    with reading(path) as budget:
        assert isinstance(budget, Budget)
        assert (budget.path, budget.size) == (path, 100)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            TypeError("unhashable"),
            "damaged, or not what it seems (TypeError: unhashable); download the file again",
            id="a wrong type",
        ),
        pytest.param(RecursionError("too deep"), "not what it seems (RecursionError: too deep)", id="a recursion"),
        pytest.param(SyntaxError("f4,"), "not what it seems (SyntaxError: f4,)", id="NumPy's parser"),
        pytest.param(OverflowError(), "not what it seems (OverflowError: OverflowError)", id="an error without words"),
        pytest.param(ValueError("a\n\x1b[31mb" + "x" * 1000), "(ValueError: a bxxx", id="an error of many lines"),
        pytest.param(MemoryError(), "there is not enough memory to read it", id="memory"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot be read (No space left on device)",
            id="a full disk",
        ),
        pytest.param(FileNotFoundError(errno.ENOENT, "gone"), "no such weight file", id="a file removed meanwhile"),
    ],
)
def test_any_error_becomes_one_line_with_its_cause(path, error, message):
    with pytest.raises(WeightsError) as caught, reading(path):
        raise error
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert caught.value.__cause__ is error
    assert len(str(caught.value)) < len(str(path)) + 320


def test_our_own_errors_pass_as_they_are(path):
    error = WeightsError("as it was")
    with pytest.raises(WeightsError) as caught, reading(path):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whoever_stops_the_program_is_obeyed(path, stop):
    with pytest.raises(stop), reading(path):
        raise stop


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # Paths of sockets are short.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(os.mkfifo, "expected a file, found a pipe: write what comes through it to a file", id="a pipe"),
        pytest.param(make_socket, "expected a file, found a socket", id="a socket"),
        pytest.param(lambda path: path.mkdir(), "expected a file, found a folder", id="a folder"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "expected a file, found a device", id="a device"),
        pytest.param(lambda path: path.symlink_to(path), "Too many levels of symbolic links", id="a link to itself"),
        pytest.param(lambda path: None, "no such weight file", id="nothing"),
    ],
)
def test_refuses_at_once(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "w")
    with pytest.raises(WeightsError, match=message), reading(tmp_path / "w"):
        raise AssertionError("it was opened")
