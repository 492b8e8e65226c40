"""The page served: on one socket, from one temporary folder, with nothing asked of anybody outside."""

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

# Gradio's own reports and its look-up of newer versions.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
INSTALL = f"the page needs Gradio; get it with: {install_hint('app')}"
# A first page, there at once: the libraries behind the real one take seconds to load.
STARTING = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>vggfcn</title>
<body style="font: 1.1rem system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0">
<p>vggfcn is starting; the page comes by itself.</p></body></html>"""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted or ended, which raises `KeyboardInterrupt`.

    `announce` is told the page's address as soon as it answers. Port 0 stands for any that is free. Raises
    `VGGFCNError` if the address cannot be had, or Gradio is not installed.
    """
    # To be ended is as good as to be interrupted: else the temporary folder would stay.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with _listening(host, port) as listening, _folder() as folder:
        if not importlib.util.find_spec("gradio"):
            raise VGGFCNError(INSTALL)
        shown = f"[{host}]" if ":" in host else host
        with StartingPage(listening):
            announce(f"http://{shown}:{listening.getsockname()[1]}/")
            server = _server(host, folder)
        server.run(sockets=[listening])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise VGGFCNError(f"{host}:{port} cannot be had ({error}); --port names another, --port 0 any free") from None
    with listening:
        yield listening


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
    """A folder for all files of visitors, Gradio's too, which is gone afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vggfcn-app-"))
    os.environ.update(QUIET, GRADIO_TEMP_DIR=str(folder / "gradio"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _server(host: str, folder: pathlib.Path) -> Any:
    import gradio
    import uvicorn

    from vggfcn.app.page import PAGE, page
    from vggfcn.app.routes import routes
    from vggfcn.app.sessions import MAX_UPLOAD, Sessions

    sessions = Sessions(folder)
    app = routes(sessions, host if is_loopback(host) else None)
    gradio.mount_gradio_app(app, page(sessions), path="", max_file_size=MAX_UPLOAD, show_error=False, **PAGE)
    threading.Thread(target=sessions.prepare, daemon=True).start()
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 2

    def do_GET(self) -> None:
        """Any page is this one."""
        self.send_response(503, "Starting")
        for name, value in (("Content-Type", "text/html"), ("Content-Length", len(STARTING)), ("Retry-After", 1)):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(STARTING)

    def log_message(self, *arguments: object) -> None:
        """Not a word."""


class StartingPage:
    """Answers on a listening socket until it is left; the socket stays open, for who comes next."""

    def __init__(self, listening: socket.socket):
        self._listening = listening
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._over.is_set():
                if selector.select(0.05):
                    self._answer()

    def _answer(self) -> None:
        try:
            connection, address = self._listening.accept()
            with connection:
                connection.settimeout(_Handler.timeout)
                _Handler(connection, address, None)  # type: ignore[arg-type]
        except OSError:
            return  # Whoever asked has gone.
