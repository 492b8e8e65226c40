"""What native libraries write to stderr is discarded while it should be, and not longer."""

import os
import pathlib
import sys

import pytest

from vggfcn.loading import load_tensorflow, silenced


def test_nothing_written_inside_is_seen_and_everything_after_it_is(capfd):
    with silenced():
        os.write(2, b"native")
        print("Python", file=sys.__stderr__, flush=True)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_stderr_comes_back_after_an_error(capfd):
    with pytest.raises(KeyError), silenced():
        raise KeyError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_a_copy_of_the_descriptor_still_writes(capfd):
    copy = os.dup(2)
    with silenced():
        os.write(copy, b"message")
    os.close(copy)
    assert capfd.readouterr().err == "message"


def test_no_descriptor_is_left_open():
    descriptors = pathlib.Path("/dev/fd")
    before = sorted(descriptors.iterdir())
    with silenced():
        pass
    assert sorted(descriptors.iterdir()) == before


def test_tensorflow_is_loaded_without_its_messages(tmp_path, monkeypatch, capfd):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'oneDNN')\nLEVEL = os.environ['TF_CPP_MIN_LOG_LEVEL']"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    del sys.modules["tensorflow"]
    load_tensorflow()
    assert sys.modules["tensorflow"].LEVEL == "3"
    assert capfd.readouterr().err == ""
