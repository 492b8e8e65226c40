"""The page served: on one socket, from one temporary folder, with nothing asked of anybody outside."""

import contextlib
import importlib.util
import ipaddress
import os
import pathlib
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from vggfcn.app_starting import StartingPage
from vggfcn.errors import VGGFCNError

# Gradio's own reports and its look-up of newer versions.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
INSTALL = 'the page needs Gradio; get it with: pip install "vggfcn[app]"'


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

    from vggfcn.app_page import PAGE, page
    from vggfcn.app_routes import routes
    from vggfcn.app_work import MAX_UPLOAD, Work

    work = Work(folder)
    app = routes(work, host if is_loopback(host) else None)
    gradio.mount_gradio_app(app, page(work), path="", max_file_size=MAX_UPLOAD, show_error=False, **PAGE)
    threading.Thread(target=work.prepare, daemon=True).start()
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
