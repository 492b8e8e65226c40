"""What native libraries write to stderr is discarded while it should be, and not longer; libraries report nothing."""

import importlib
import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vggfcn.loading import load_library, load_tensorflow, silenced


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


# As OpenVINO does, and as ONNX Runtime does in C++.
REPORTING = """
import os
try:
    import openvino_telemetry as reporter
except ImportError:
    reporter = None
SILENT = os.environ.get("ORT_DISABLE_TELEMETRY")
"""


@pytest.fixture
def reporting(tmp_path, monkeypatch):
    """Loads a library that reports where it can."""
    (tmp_path / "reporting.py").write_text(REPORTING)
    (tmp_path / "openvino_telemetry.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("reporting", "openvino_telemetry"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    return lambda: load_library("reporting")


def test_a_library_finds_nothing_to_report_with(reporting):
    library = reporting()
    assert (library.reporter, library.SILENT) == (None, "1")


def test_what_was_missing_is_there_again_afterwards(reporting):
    reporting()
    assert importlib.import_module("openvino_telemetry").__file__


def test_what_others_imported_before_stays(reporting):
    before = importlib.import_module("openvino_telemetry")
    assert reporting().reporter is None
    assert sys.modules["openvino_telemetry"] is before


def test_what_the_user_says_about_reports_stays(reporting, monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert reporting().SILENT == "0"


def test_threads_load_libraries_one_after_the_other(reporting, tmp_path, monkeypatch):
    for name in ("slow", "slower"):
        (tmp_path / f"{name}.py").write_text("import time\ntime.sleep(0.1)\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    with ThreadPoolExecutor() as pool:
        assert [library.__name__ for library in pool.map(load_library, ("slow", "slower"))] == ["slow", "slower"]
    assert "openvino_telemetry" not in sys.modules


def test_a_library_that_is_not_installed_is_an_import_error(reporting):
    with pytest.raises(ImportError, match="no_such_library"):
        load_library("no_such_library")
    assert "openvino_telemetry" not in sys.modules
