"""A first page, there at once: the libraries behind the real one take seconds to load."""

import http.server
import selectors
import socket
import threading

STARTING = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>vggfcn</title>
<body style="font: 1.1rem system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0">
<p>vggfcn is starting; the page comes by itself.</p></body></html>"""


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
