"""`vggfcn app` in a process of its own, and a visitor who talks HTTP with it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

COMMAND = [sys.executable, "-c", "from vggfcn.cli.main import main; main()", "app", "--weights", "scene-digits"]
PATIENCE = 60  # seconds until the page is there


class Server:
    """A server with a temporary folder of its own; it ends with the context."""

    def __init__(self, folder, host="127.0.0.1"):
        self.folder, self.host = folder, host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as free:
            self.port = free.getsockname()[1]
        environment = {**os.environ, "TMPDIR": str(folder)}
        environment.pop("GRADIO_TEMP_DIR", None)
        self.process = subprocess.Popen(
            [*COMMAND, "--host", host, "--port", str(self.port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = next(line for line in self.process.stdout if "http://" in line)
        self.address = re.search(r"http://\S+", self.line)[0]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL if error[0] else signal.SIGINT)

    def stop(self, by=signal.SIGINT):
        self.process.send_signal(by)
        rest, errors = self.process.communicate(timeout=20)
        return self.process.returncode, rest, errors

    def visitor(self):
        """A visitor who has opened the page; waits until it is there."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                visitor = Visitor(self.host, self.port)
                if visitor.open() == 200:
                    return visitor
            time.sleep(0.2)
        raise TimeoutError("the page did not open")

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=10)

    def files(self):
        """All that the server keeps on the disk, but for what TensorFlow keeps there."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [path for path in found if not path.name.startswith("__autograph_generated_file")]


class Visitor:
    """A browser's cookie and one opened page, without the browser."""

    def __init__(self, host, port, session="ann"):
        self.host, self.port, self.session = host, port, session
        self.cookie, self.functions = "", []

    def ask(self, method, path, body=None, headers=(), timeout=20):
        """Status, headers by lower-case names, and body of an answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        with contextlib.closing(connection):
            connection.request(method, path, body, {**sent, **dict(headers)})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def open(self):
        status, headers, page = self.ask("GET", "/")
        if status == 200:
            self.cookie = headers["set-cookie"].split(";")[0]
            found = re.search(rb"window.gradio_config = (.*?);</script>", page)
            self.functions = json.loads(found[1])["dependencies"]
        return status

    def raw(self, path):
        """The bytes of a request with the visitor's cookie."""
        return f"GET {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nCookie: {self.cookie}\r\n\r\n".encode()

    def function(self, inputs, event=None):
        """The index of the first function with so many inputs that an event calls."""
        return next(
            one["id"]
            for one in self.functions
            if len(one["inputs"]) == inputs and (event is None or one["targets"][0][1] == event)
        )

    def upload(self, name, content, headers=()):
        """Status and answer to an upload."""
        head = f'--X\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        kind = {"Content-Type": "multipart/form-data; boundary=X", **dict(headers)}
        status, _, body = self.ask("POST", "/gradio_api/upload", head + content + b"\r\n--X--\r\n", kind)
        return status, json.loads(body)[0] if status == 200 else body.decode()

    def join(self, function, data, headers=(), **more):
        """Status and body of the answer to an event."""
        body = {"data": data, "fn_index": function, "session_hash": self.session, **more}
        kind = {"Content-Type": "application/json", **dict(headers)}
        status, _, answer = self.ask("POST", "/gradio_api/queue/join", json.dumps(body), kind)
        return status, answer.decode()

    def results(self):
        """What the events that were joined have led to, in the order of their ends."""
        _, _, stream = self.ask("GET", f"/gradio_api/queue/data?session_hash={self.session}", timeout=60)
        messages = [json.loads(line[6:]) for line in stream.decode().split("\n\n") if line.startswith("data: ")]
        return [one["output"] for one in messages if one["msg"] == "process_completed"]

    def drop(self, name, content):
        """Upload an image; the message line that follows."""
        return self.name_file({"path": self.upload(name, content)[1], "meta": {"_type": "gradio.FileData"}})

    def name_file(self, value):
        """Say that this is the image; the message line that follows."""
        status, said = self.join(self.function(1, "upload"), [value])
        if status != 200:
            return said
        return self.results()[0]["data"][0]

    def choose_sample(self, number):
        assert self.join(self.function(0, "select"), [], event_data={"index": number, "value": None})[0] == 200
        self.results()

    def choose_weights(self, weights):
        assert self.join(self.function(1, "input"), [weights])[0] == 200
        self.results()

    def evaluate(self, weights="scene-digits", stride=32, scales=(1.0,)):
        """The values of all outputs after an evaluation."""
        status, said = self.join(self.function(5), [weights, "", stride, list(scales), 0.5])
        assert status == 200, said
        return self.results()[-1]["data"]
