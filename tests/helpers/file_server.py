"""A server on loopback that gives one small file in several ways, good and bad."""

import contextlib
import hashlib
import http.server
import threading
import time

CONTENT = b"weights" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9"


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives `w.h5` in the manner of the folder it is asked for in, and redirects from `elsewhere`."""

    requests: list[str]

    def do_GET(self):
        self.requests.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", f"/{name}")
            self.end_headers()
        elif name != "w.h5":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.answer(self.path.split("/")[1])

    def answer(self, manner):
        if manner == "cut":
            self.wfile.write(CONTENT[:2500])
        elif manner == "stalled":
            self.wfile.write(CONTENT[:2500])
            self.wfile.flush()
            time.sleep(1.5)
        elif manner == "trickle":
            for start in range(0, len(CONTENT), 500):
                self.wfile.write(CONTENT[start : start + 500])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """The address of a running server, and the paths that it was asked for."""
    requests = []
    handler = type("Server", (Handler,), {"requests": requests})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=lambda: running.serve_forever(poll_interval=0.02), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requests
        running.shutdown()
