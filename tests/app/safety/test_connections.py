"""Connections of clients that are slow, silent or too many, against uvicorn in a thread."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip("uvicorn", reason='uvicorn is not installed: pip install "vggfcn[app]"')

from vggfcn.app.safety import connections as module  # noqa: E402

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope, receive, send):
    """Answer "/" at once, and "/held" as a visitor's stream that never ends."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"] == "/held":
        scope["state"]["visitor"] = "ann"
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(module, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 8)
    config = uvicorn.Config(app, http=module.Connection, ws="none", lifespan="off", log_level="critical")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def connect(port):
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))


def answer(client):
    """What comes until the server closes; b"" also for a reset connection."""
    with contextlib.suppress(ConnectionError):
        return client.recv(4096)
    return b""


def test_headers_that_do_not_end_are_not_waited_for(connect):
    client, start = connect(), time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - start < 5:
            client.sendall(b"GET / HTTP/1.1\r\nX: " if time.monotonic() - start < 0.05 else b"a")
            time.sleep(0.1)
    assert 0.4 < time.monotonic() - start < 3


def test_a_connection_is_kept_for_the_next_request_but_not_forever(connect):
    client = connect()
    for _ in range(2):
        client.sendall(REQUEST)
        received = b""
        while not received.endswith(b"ok"):
            received += answer(client)
        assert b"200 OK" in received
    start = time.monotonic()
    assert answer(client) == b""
    assert time.monotonic() - start < 3


def test_a_stream_is_longer_than_the_time_for_a_request(connect):
    client = connect()
    client.sendall(REQUEST.replace(b"/ ", b"/held "))
    assert b"200 OK" in answer(client)
    client.settimeout(1)
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_those_that_wait_longest_make_room(connect):
    held = connect()
    held.sendall(REQUEST.replace(b"/ ", b"/held "))
    assert b"200 OK" in answer(held)
    silent = [connect() for _ in range(7)]
    time.sleep(0.1)
    client = connect()
    client.sendall(REQUEST)
    assert b"200 OK" in answer(client)
    silent[0].settimeout(0.2)
    assert answer(silent[0]) == b""
    silent[-1].settimeout(0.05)
    with pytest.raises(TimeoutError):
        silent[-1].recv(1)
    held.settimeout(0.05)
    with pytest.raises(TimeoutError):
        held.recv(1)


def test_requests_sent_before_an_answer_are_not_all_answered(connect):
    client, received = connect(), b""
    client.sendall(50 * REQUEST)
    while part := answer(client):
        received += part
    assert 1 <= received.count(b"200 OK") < 5


def test_what_is_no_http_is_refused_with_the_headers_of_every_answer(connect):
    client = connect()
    client.sendall(b"hello\r\n\r\n")
    said = answer(client)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-frame-options: DENY\r\n" in said
