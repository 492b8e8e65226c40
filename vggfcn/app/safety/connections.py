"""Connections: closed when a request does not arrive in time, and when there are too many, those that wait first."""

import asyncio
import contextlib
import os
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vggfcn.app.safety.headers import security_headers

MAX_CONNECTIONS = 512
HEADER_SECONDS = 5.0  # for a request's first line and headers, and between two requests


class Connection(H11Protocol):
    """uvicorn's connection, which has no limits of its own on a request's headers."""

    _deadline: asyncio.TimerHandle | None = None
    since = 0.0  # when it was opened, or when its last request began or ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not forever."""
        super().connection_made(transport)
        self._wait()
        # A request that came with the connection is begun at once, or a flood of connections could displace it.
        with contextlib.suppress(OSError):
            if data := os.read(transport.get_extra_info("socket").fileno(), 2**16):
                self.data_received(data)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the headers are complete."""
        super().data_received(data)
        if self.is_answering:
            self._stop_waiting()
            if self.conn.trailing_data[0]:
                self.cycle.keep_alive = False  # Browsers wait for an answer before they ask again.

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.is_answering and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every answer."""
        lines = [b"HTTP/1.1 400 Bad Request", b"content-type: text/plain; charset=utf-8", b"connection: close"]
        lines += [name + b": " + value for name, value in security_headers()]
        self.transport.write(b"\r\n".join([*lines, f"content-length: {len(msg)}".encode(), b"", msg.encode()]))
        self.transport.close()

    @property
    def is_answering(self) -> bool:
        """Whether a request has arrived whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is lost by closing it: it waits for a request, or for a client that reads no answer.

        Requests of visitors are not counted: of these, `Guard` allows only a few.
        """
        return not self.is_answering or (self.flow.write_paused and "visitor" not in self.scope["state"])

    def _make_room(self) -> None:
        """Close those that have waited longest, many at once because looking for them takes long; else this one."""
        opened: set[Any] = self.connections
        waiting = sorted((one for one in opened if one.is_waiting), key=lambda one: one.since)
        for one in waiting[: MAX_CONNECTIONS // 8] or [self]:
            self.connections.discard(one)
            one.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
            self.since = self.loop.time()
