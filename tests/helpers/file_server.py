"""A server on loopback that gives one small file in several ways, good and bad."""

import contextlib
import gzip
import hashlib
import http.server
import re
import threading
import time

CONTENT = b"weights" * 1000
OLDER = b"WEIGHTS" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9"
# Answers that are none, by the folder that they are asked for in.
CODES = {"down": (500, "Internal Server Error"), "gone": (404, "Not \x1b[31mFound"), "cannot": (416, "No")}
REDIRECTS = {"elsewhere": "/w.h5", "far": "/elsewhere/w.h5", "file": "file:///etc/hostname", "round": "/round/w.h5"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives `w.h5` in the manner of the folder that it is asked for in, from the byte on that a range begins with."""

    requests: list[str]
    asked: list[dict[str, str]]

    def do_GET(self):
        self.requests.append(self.path)
        self.asked.append(dict(self.headers))
        folder, _, name = self.path[1:].rpartition("/")
        with contextlib.suppress(ConnectionError):
            if name != "w.h5":
                self.send_error(404)
            elif folder in REDIRECTS or folder == "endless-redirect":
                self.redirect(folder)
            elif folder in CODES or (folder == "busy" and len(self.requests) < 3):
                self.send_response(*CODES.get(folder, (503, "Service Unavailable")))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.give(folder)

    def redirect(self, folder):
        self.send_response(302)
        self.send_header("Location", REDIRECTS.get(folder, "/w.h5"))
        self.end_headers()
        while folder not in REDIRECTS:
            self.wfile.write(bytes(1 << 16))

    def give(self, folder):
        if folder == "slow-headers":
            return self.drip(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 1000)
        content = OLDER if folder == "older" else gzip.compress(bytes(1 << 22)) if folder == "gzip" else CONTENT
        start = self.start(folder)
        self.send_response(206 if start else 200)
        if start:
            first = start + (folder == "another-range")
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if folder != "endless":
            self.send_header("Content-Length", str(len(content) - start + 2000 * (folder == "longer")))
        if folder == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("ETag", f'"{len(self.requests) if folder == "changing" else "one"}"')
        self.end_headers()
        return self.answer(folder, content[start:])

    def start(self, folder):
        """The first byte that is asked for, if this server gives parts."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        changed = folder == "changing" and "If-Range" in self.headers
        return int(found[1]) if found and folder not in ("whole", "cut-whole") and not changed else 0

    def answer(self, folder, content):
        if folder in ("cut", "cut-whole", "another-range", "changing"):
            self.wfile.write(content[:2500])
        elif folder == "stalled":
            self.wfile.write(content[:2500])
            self.wfile.flush()
            time.sleep(1.5)
        elif folder == "trickle":
            self.drip(content, 500, 0.05)
        elif folder == "drip":
            self.drip(content)
        else:
            self.wfile.write(content)
            while folder == "endless":
                self.wfile.write(content)

    def drip(self, content, size=1, seconds=0.02):
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            self.wfile.flush()
            time.sleep(seconds)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Its threads do not keep it from closing."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Clients may leave at any time."""


@contextlib.contextmanager
def serving():
    """The address of a running server, and the paths that it was asked for."""
    with observed() as (address, requests, _):
        yield address, requests


@contextlib.contextmanager
def observed():
    """The address of a running server, the paths that it was asked for, and the headers of these requests."""
    requests, asked = [], []
    handler = type("Observed", (Handler,), {"requests": requests, "asked": asked})
    with Server(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=lambda: running.serve_forever(poll_interval=0.02), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requests, asked
        running.shutdown()
