"""The page that is shown while the libraries behind the real page load, which takes seconds."""

import selectors
import socket
import threading
import time

from vggfcn.app.safety.headers import security_headers

SECONDS = 2.0  # that a connection may take
MAX_OPEN = 64
_PAGE = b"""<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>vggfcn</title>
<body style="font: 1.1rem system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0">
<p>vggfcn is starting; this page reloads by itself.</p></body></html>"""
_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", str(len(_PAGE)).encode()),
    (b"retry-after", b"1"),
    (b"connection", b"close"),
    *security_headers(),
]
ANSWER = b"\r\n".join([b"HTTP/1.0 503 Starting", *(name + b": " + value for name, value in _HEADERS), b"", _PAGE])


class StartingPage:
    """A context in which a listening socket answers everything with the starting page; it does not close the socket.

    Nothing waits for a slow client: each is answered at its first byte, and dropped after `SECONDS`.
    """

    def __init__(self, listening: socket.socket):
        self._listening = listening
        self._stop, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._opened: dict[socket.socket, float] = {}  # when, oldest first

    def __enter__(self) -> None:
        self._listening.setblocking(False)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._stopped.wait()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._stop.is_set():
                self._turn(selector)
            selector.unregister(self._listening)
            self._stopped.set()
            while self._opened:  # Those that are connected still get their answer.
                self._turn(selector)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(0.05):
            if key.fileobj is self._listening:
                self._accept(selector)
            else:
                self._answer(selector, key)
        for connection, opened in list(self._opened.items()):
            if len(self._opened) > MAX_OPEN or opened < time.monotonic() - SECONDS:
                self._close(selector, connection)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection = self._listening.accept()[0]
        except OSError:
            return  # The client has gone.
        connection.setblocking(False)
        self._opened[connection] = time.monotonic()
        selector.register(connection, selectors.EVENT_READ, "unanswered")

    def _answer(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """Answer at the first byte; read on until the client closes, because closing earlier could void the answer."""
        connection = key.fileobj
        assert isinstance(connection, socket.socket)
        try:
            received = connection.recv(2**16)
            if received and key.data == "unanswered":
                connection.sendall(ANSWER)  # It fits into the socket's buffer.
                connection.shutdown(socket.SHUT_WR)
                selector.modify(connection, selectors.EVENT_READ, "answered")
        except OSError:
            received = b""
        if not received:
            self._close(selector, connection)

    def _close(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        selector.unregister(connection)
        del self._opened[connection]
        connection.close()
