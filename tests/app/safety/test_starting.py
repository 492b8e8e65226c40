"""The page that is shown while the real one loads."""

import socket
import time

import pytest

from vggfcn.app.safety import starting
from vggfcn.app.safety.starting import StartingPage


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def connect(listening):
    return socket.create_connection(listening.getsockname(), timeout=5)


def ask(listening):
    with connect(listening) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read()


def test_it_answers_and_leaves_the_socket_open(listening):
    for _ in range(2):
        with StartingPage(listening):
            answer = ask(listening)
        assert answer.startswith(b"HTTP/1.0 503")
        assert b'http-equiv="refresh"' in answer
        assert b"content-security-policy: default-src 'none'" in answer


def test_clients_that_say_nothing_or_little_hold_nobody_up(listening):
    clients = [connect(listening) for _ in range(100)]
    with StartingPage(listening):
        for client in clients[::2]:
            client.sendall(b"G")
        start = time.monotonic()
        assert ask(listening).startswith(b"HTTP/1.0 503")
    assert time.monotonic() - start < 1
    for client in clients:
        client.close()


def test_a_client_that_stays_is_dropped(listening, monkeypatch):
    monkeypatch.setattr(starting, "SECONDS", 0.1)
    with StartingPage(listening), connect(listening) as client:
        assert client.recv(1) == b""


def test_a_request_on_its_way_is_answered_after_the_end(listening):
    with connect(listening) as client:
        with StartingPage(listening):
            time.sleep(0.2)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.0 503")
