"""The server: one socket, one temporary folder, and no contact with any other server."""

import atexit
import contextlib
import importlib.util
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from vggfcn.app.safety.names import Names, is_loopback
from vggfcn.app.safety.starting import StartingPage
from vggfcn.errors import VGGFCNError, install_hint
from vggfcn.evaluation.classifier import Classifier
from vggfcn.temporary import remove_own, temporary_folder

# Turns off Gradio's usage reports and its check for updates.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
INSTALL = f"the page needs Gradio; get it with: {install_hint('app')}"
BACKLOG = 128  # connections that wait to be accepted: few, so that those behind a flood do not wait long
GRACE_SECONDS = 4.0  # from a signal to the end, whatever is still running


def serve(host: str, port: int, announce: Callable[[str], None], own: Classifier | None = None) -> None:
    """Serve the page until SIGINT or SIGTERM, which raise `KeyboardInterrupt`.

    `own` is a classifier to offer before those that are known by name. `announce` is called with the page's address as
    soon as it answers. Port 0 stands for any free port. Raises `VGGFCNError` if the server cannot listen there, or if
    Gradio is not installed.
    """
    # SIGTERM, too, so that the temporary folder is deleted.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    parent = pathlib.Path(tempfile.gettempdir())
    with _listening(host, port) as listening, temporary_folder(parent) as folder:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(folder / "gradio"))
        if not importlib.util.find_spec("gradio"):
            raise VGGFCNError(INSTALL)
        shown = f"[{host}]" if ":" in host else host
        with StartingPage(listening):
            announce(f"http://{shown}:{listening.getsockname()[1]}/")
            server = _server(host, listening.getsockname(), folder, own)
        server.run(sockets=[listening])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise VGGFCNError(
            f"cannot listen on {host}:{port} ({error}); choose another --port, or --port 0 for any free port"
        ) from None
    with listening:
        yield listening


def _server(host: str, address: tuple[Any, ...], folder: pathlib.Path, own: Classifier | None) -> Any:
    import gradio
    import uvicorn

    from vggfcn.app.page import PAGE, page
    from vggfcn.app.routes import routes
    from vggfcn.app.safety.connections import Connection
    from vggfcn.app.safety.guard import Guard
    from vggfcn.app.safety.uploads import MAX_UPLOAD
    from vggfcn.app.sessions import Sessions

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            _end_after(GRACE_SECONDS)
            super().handle_exit(sig, frame)

    sessions = Sessions(folder, own)
    app, blocks = routes(sessions), page(sessions)
    queue: Any = blocks._queue
    gradio.mount_gradio_app(app, blocks, path="", max_file_size=MAX_UPLOAD, show_error=False, **PAGE)
    names = Names(host, address[1], is_loopback(address[0]))
    inputs = {index: len(function.inputs) for index, function in blocks.fns.items()}
    guard = Guard(app, names, inputs, address[1])
    queue.is_present = guard.is_present
    threading.Thread(target=sessions.prepare, daemon=True).start()
    return Server(
        uvicorn.Config(
            guard,
            http=Connection,
            ws="none",
            backlog=BACKLOG,
            log_level="critical",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


def _end_after(seconds: float) -> None:
    """End the process in any case: Python waits for an evaluation in a thread, and takes long to take Keras down."""

    def end() -> None:
        remove_own()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    atexit.register(end)
