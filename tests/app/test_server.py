"""How the server starts and ends."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from vggfcn.app import server
from vggfcn.errors import VGGFCNError


@pytest.fixture(autouse=True)
def restored(monkeypatch, tmp_path):
    """The temporary folder is empty at first; signals and the environment are restored afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in (*server.QUIET, "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def ask(address):
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read()


def test_it_is_announced_once_it_answers_and_leaves_nothing_behind(monkeypatch, tmp_path):
    announced = []

    class Interrupted:
        def run(self, sockets):
            assert [str(path.parent) for path in tmp_path.glob(".vggfcn-*")] == [str(tmp_path)]
            assert os.environ["GRADIO_TEMP_DIR"].startswith(str(tmp_path))
            assert os.environ["HF_HUB_OFFLINE"] == "1"
            assert f":{sockets[0].getsockname()[1]}/" in announced[0]
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
            raise KeyboardInterrupt  # what that handler raises; a browser test sends the signal itself

    def announce(address):
        announced.append(address)
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        assert b"vggfcn is starting" in ask((host, int(port)))

    monkeypatch.setattr(server, "_server", lambda host, address, folder, own: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        server.serve("127.0.0.1", 0, announce)
    assert len(announced) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VGGFCNError, match=rf"cannot listen on 127.0.0.1:{port} \(.*\); choose another --port"):
            server.serve("127.0.0.1", port, pytest.fail)


def test_without_gradio_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VGGFCNError, match=r'the page needs Gradio; get it with: pip install "vggfcn\[app\]"'):
        server.serve("127.0.0.1", 0, pytest.fail)
    assert list(pathlib.Path(tmp_path).iterdir()) == []


def test_the_process_ends_in_time_whatever_still_runs(tmp_path):
    script = f"""
import pathlib, threading, time
from vggfcn.app.server import _end_after
from vggfcn.temporary import temporary_folder
with temporary_folder(pathlib.Path({str(tmp_path)!r})) as folder:
    print(folder.exists(), flush=True)
    _end_after(0.2)
    threading.Thread(target=time.sleep, args=(60,)).start()
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=20, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert list(tmp_path.iterdir()) == []
