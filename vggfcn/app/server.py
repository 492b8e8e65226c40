"""The server: one socket, one temporary folder, and no contact with any other server."""

import contextlib
import http.server
import importlib.util
import ipaddress
import os
import pathlib
import selectors
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from vggfcn.errors import VGGFCNError, install_hint
from vggfcn.evaluation.classifier import Classifier

# Turns off Gradio's usage reports and its check for updates.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
INSTALL = f"the page needs Gradio; get it with: {install_hint('app')}"
# Shown immediately, because the libraries behind the real page take seconds to load.
STARTING = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>vggfcn</title>
<body style="font: 1.1rem system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0">
<p>vggfcn is starting; this page reloads by itself.</p></body></html>"""


def is_loopback(host: str) -> bool:
    """Whether a host name or address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(host: str, port: int, announce: Callable[[str], None], own: Classifier | None = None) -> None:
    """Serve the page until SIGINT or SIGTERM, which raise `KeyboardInterrupt`.

    `own` is a classifier to offer before those that are known by name. `announce` is called with the page's address as
    soon as it answers. Port 0 stands for any free port. Raises `VGGFCNError` if the server cannot listen there, or if
    Gradio is not installed.
    """
    # SIGTERM, too, so that the temporary folder is deleted.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with _listening(host, port) as listening, _folder() as folder:
        if not importlib.util.find_spec("gradio"):
            raise VGGFCNError(INSTALL)
        shown = f"[{host}]" if ":" in host else host
        with StartingPage(listening):
            announce(f"http://{shown}:{listening.getsockname()[1]}/")
            server = _server(host, folder, own)
        server.run(sockets=[listening])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise VGGFCNError(
            f"cannot listen on {host}:{port} ({error}); choose another --port, or --port 0 for any free port"
        ) from None
    with listening:
        yield listening


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
    """A temporary folder for all files of the sessions, including Gradio's; deleted afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vggfcn-app-"))
    os.environ.update(QUIET, GRADIO_TEMP_DIR=str(folder / "gradio"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _server(host: str, folder: pathlib.Path, own: Classifier | None) -> Any:
    import gradio
    import uvicorn

    from vggfcn.app.page import PAGE, page
    from vggfcn.app.routes import routes
    from vggfcn.app.sessions import MAX_UPLOAD, Sessions

    sessions = Sessions(folder, own)
    app = routes(sessions, host if is_loopback(host) else None)
    gradio.mount_gradio_app(app, page(sessions), path="", max_file_size=MAX_UPLOAD, show_error=False, **PAGE)
    threading.Thread(target=sessions.prepare, daemon=True).start()
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 2

    def do_GET(self) -> None:
        """Answer every request with the starting page."""
        self.send_response(503, "Starting")
        for name, value in (("Content-Type", "text/html"), ("Content-Length", len(STARTING)), ("Retry-After", 1)):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(STARTING)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


class StartingPage:
    """A context in which a listening socket answers with the starting page; it does not close the socket."""

    def __init__(self, listening: socket.socket):
        self._listening = listening
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._stop.is_set():
                if selector.select(0.05):
                    self._answer()

    def _answer(self) -> None:
        try:
            connection, address = self._listening.accept()
            with connection:
                connection.settimeout(_Handler.timeout)
                _Handler(connection, address, None)  # type: ignore[arg-type]
        except OSError:
            return  # The client has gone.
