"""No command contacts another machine unasked, or leaves in the home folder what the documentation does not name."""

import os
import re
import signal
import time
import urllib.error
import urllib.request

import pytest
from contacts import can_trace, contacts, files_at_home, run_watched, watched

from vggfcn.networks.registry import EMBEDDED_FOLDER

DIGITS = str(EMBEDDED_FOLDER / "scenes" / "ten-digits.png")
# Keras writes its settings where it is first imported.
SETTINGS = [".keras/keras.json"]
RUN = """
import sys
from PIL import Image
from vggfcn.cli.main import main
Image.open({digits!r}).save("digits.tif")
for command in {commands}:
    sys.argv = ["vggfcn", *command, "--weights", "mnist-lenet5"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
"""
PROGRAM = "import sys; sys.argv = {}; from vggfcn.cli.main import main; main()"


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([["heatmap", DIGITS, "--engine", "openvino"], ["export", "x.xml"]], id="OpenVINO"),
        pytest.param([["export", "x.onnx"]], id="ONNX"),
        pytest.param(
            [["heatmap", "digits.tif"], *(["export", name] for name in ("x.tflite", "x.keras", "saved"))],
            id="TIFF, LiteRT, Keras and TensorFlow",
        ),
    ],
)
def test_commands_contact_nobody_and_leave_only_the_cache_at_home(commands, tmp_path):
    run_watched(tmp_path, RUN.format(digits=DIGITS, commands=commands))
    assert contacts(tmp_path) == []
    assert [path for path in files_at_home(tmp_path) if not path.startswith(".cache/vggfcn/")] == SETTINGS


def test_the_demo_contacts_nobody(tmp_path):
    run_watched(tmp_path, PROGRAM.format(["vggfcn", "demo", "--max-side", "320"]))
    assert (contacts(tmp_path), files_at_home(tmp_path)) == ([], SETTINGS)


def test_the_page_contacts_nobody_from_start_to_stop(tmp_path):
    with watched(tmp_path, PROGRAM.format(["vggfcn", "app", "--port", "0"])) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        assert "gradio" in served(address)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    assert contacts(tmp_path) == []
    assert set(files_at_home(tmp_path)) <= set(SETTINGS)


def served(address):
    """The page, once its libraries are loaded."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(address) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            assert refusal.code == 503
            time.sleep(0.1)
    pytest.fail("the page did not start")


# What the guard is there for, it sees.

LOOK_UP = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.{}"
CHILD = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {!r}])"
ONE_IN_C = "import ctypes, socket\nlibc, way = ctypes.CDLL(None), socket.socket(type=socket.SOCK_DGRAM)\n{}"


@pytest.mark.parametrize(
    ("code", "contact"),
    [
        pytest.param(LOOK_UP.format("getaddrinfo('a.example', 80)"), "socket.getaddrinfo a.example", id="a look-up"),
        pytest.param(LOOK_UP.format("gethostbyname('a.example')"), "socket.gethostbyname a.example", id="an older one"),
        pytest.param(
            LOOK_UP.format("socket().connect(('192.0.2.1', 9))"), "socket.connect 192.0.2.1", id="a connection"
        ),
        pytest.param(
            CHILD.format(LOOK_UP.format("gethostbyname('b.example')")),
            "socket.gethostbyname b.example",
            id="a look-up by another process",
        ),
    ],
)
def test_a_contact_by_python_is_noted_and_refused(code, contact, tmp_path):
    run_watched(tmp_path, code)
    assert contacts(tmp_path) == [contact]


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or not allowed here")
@pytest.mark.parametrize(
    ("call", "contact"),
    [
        pytest.param("libc.gethostbyname(b'a.example')", "/etc/resolv.conf", id="a look-up"),
        pytest.param(
            "libc.connect(way.fileno(), bytes([2, 0, 0, 9, 192, 0, 2, 1] + 8 * [0]), 16)",
            "192.0.2.1",
            id="a connection",
        ),
    ],
)
def test_a_contact_by_a_library_in_c_is_noted(call, contact, tmp_path):
    run_watched(tmp_path, ONE_IN_C.format(call))
    assert contact in contacts(tmp_path)


def test_openvino_imported_plainly_numbers_its_user(tmp_path):
    """If this fails, OpenVINO has become silent, and `load_library` can forget it."""
    run_watched(tmp_path, "import openvino")
    assert "intel/openvino_ga_cid" in files_at_home(tmp_path)
