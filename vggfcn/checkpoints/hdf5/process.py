"""Child processes for reading HDF5, one for each session with a file, and their limits.

Starting Python and loading h5py takes a fifth of a second, so it is done once: a helper process loads them, and forks
a child for each file. It gets no more than that file, open; it may open no other, and must not write. The helper ends
with the process that started it. Where processes cannot fork (Windows), a thread of this process does the reading.
"""

import atexit
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from vggfcn.checkpoints.budget import ROOM, Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.errors import WeightsError, one_line

CAN_FORK = hasattr(os, "fork")
CPU_SECONDS = 3  # for a session; besides, a second for each 20 MB of the file
BYTES_PER_SECOND = 20_000_000
WAIT = 15.0  # seconds without any answer; besides, a second for each MB of the file, for a slow disk
SLOWEST_DISK = 1_000_000  # bytes per second
ADDRESS_SPACE = 2 * ROOM  # bytes that a child may take; besides, three times the file's size
LARGEST_REQUEST = 1 << 20
LARGEST_REFUSAL = 1 << 14
_HELPER = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from vggfcn.checkpoints.hdf5 import process
process.serve(int(sys.argv[2]))
"""


class Session:
    """A child process that answers questions about `size` bytes of an open file, from `start` on; a context.

    `path` is for messages. Every question raises `WeightsError` if the file is refused, or if the child crashes or
    exceeds its limits; the session is then over. Several threads may ask.
    """

    def __init__(self, path: pathlib.Path, file: BinaryIO, start: int, size: int):
        self._path, self._part = path, {"start": start, "size": size}
        self._lock = threading.Lock()
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(WAIT + size / SLOWEST_DISK)
        with theirs:
            if CAN_FORK:
                _helper.send(theirs, file)
            else:
                descriptors = os.dup(theirs.fileno()), os.dup(file.fileno())
                threading.Thread(target=_work, args=descriptors, daemon=True).start()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def json(self, request: dict[str, Any], budget: Budget) -> Any:
        """The answer to a request to `worker`, as JSON."""
        with self._question():
            size = self._ask(request)
            budget.check_text(size, "its description")
            data = bytearray(size)
            self._fill(memoryview(data))
        return json.loads(data)

    def into(self, request: dict[str, Any], rows: np.ndarray) -> None:
        """The answer to a request to `worker`, as the bytes of an array in C order."""
        with self._question():
            if self._ask(request) != rows.nbytes:
                raise damaged(self._path, "an array has another size than the file states")
            self._fill(rows.reshape(-1).view(np.uint8).data)

    @contextlib.contextmanager
    def _question(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except BaseException:
                self._connection.close()  # The rest of an answer must not be taken for the next one.
                raise

    def _ask(self, request: dict[str, Any]) -> int:
        """Send a request; the result is the length of the answer in bytes."""
        message = json.dumps({**self._part, "request": request}).encode()
        with contextlib.suppress(OSError):  # Then there is no answer either, and that is reported.
            self._connection.sendall(len(message).to_bytes(4, "little") + message)
        header = bytearray(8)
        self._fill(memoryview(header))
        size = int.from_bytes(header, "little", signed=True)
        if size < 0:
            text = bytearray(min(-size, LARGEST_REFUSAL))
            self._fill(memoryview(text))
            raise damaged(self._path, one_line(json.loads(text), 300))
        return size

    def _fill(self, view: memoryview) -> None:
        while view:
            try:
                read = self._connection.recv_into(view)
            except OSError:
                read = 0
            if not read:
                raise damaged(
                    self._path, "the HDF5 library crashed on it, or took more time or memory than any network needs"
                )
            view = view[read:]


class _Helper:
    """The helper process; started when it is first needed, and again if it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def send(self, connection: socket.socket, file: BinaryIO) -> None:
        """Let a new child process serve a connection and an open file."""
        descriptors = [connection.fileno(), file.fileno()]
        with self._lock:
            # A fork of this process must not share its helper.
            if self._control is None or self._owner != os.getpid():
                self._start()
            try:
                socket.send_fds(self._control, [b"\0"], descriptors)  # type: ignore[arg-type]
            except OSError:
                self._start()
                socket.send_fds(self._control, [b"\0"], descriptors)  # type: ignore[arg-type]

    def _start(self) -> None:
        self.stop()
        if not sys.executable:
            raise WeightsError("reading HDF5 needs a Python interpreter to start, and sys.executable names none")
        self._control, theirs = socket.socketpair()
        with theirs:
            paths = json.dumps([os.path.abspath(path) for path in sys.path])  # noqa: PTH100 - Texts, not paths.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _HELPER, paths, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"},
                start_new_session=True,  # Ctrl-C is for the process that uses it.
            )
        self._owner = os.getpid()

    def stop(self) -> None:
        """End the helper, which ends when its control connection is closed."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None and self._owner == os.getpid():
            self._process.wait()
        self._process = None


_helper = _Helper()
atexit.register(_helper.stop)


def serve(control: int) -> None:
    """The helper process: fork a child for each connection and file that come; end when nobody can send any more."""
    import signal

    from vggfcn.checkpoints.hdf5 import worker

    worker.load_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system then removes children that have ended.
    with socket.socket(fileno=control) as listening:
        while True:
            message, descriptors, _, _ = socket.recv_fds(listening, 1, 2)
            if not message:
                return
            if os.fork() == 0:
                os.close(control)
                try:
                    connected, file = descriptors
                    _work(connected, file, limited=True)
                finally:
                    os._exit(0)
            for descriptor in descriptors:
                os.close(descriptor)


def _work(connected: int, file: int, limited: bool = False) -> None:
    """Answer the requests that come over a connection, until it is closed."""
    from vggfcn.checkpoints.hdf5 import worker

    with socket.socket(fileno=connected) as connection, contextlib.suppress(ConnectionError):  # The parent has gone.
        stream = connection.makefile("rb")
        while header := stream.read(4):
            message = json.loads(stream.read(min(int.from_bytes(header, "little"), LARGEST_REQUEST)))
            if limited:
                _limit(message["size"])
                limited = False
            worker.answer(connection, file, message["start"], message["size"], message["request"])
    os.close(file)


def _limit(size: int) -> None:
    """Limit what this process can still do: memory, time, and nothing with any other file."""
    import resource

    statm = pathlib.Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[0])
        _set(resource.RLIMIT_AS, pages * resource.getpagesize() + ADDRESS_SPACE + 3 * size)
    _set(resource.RLIMIT_CPU, CPU_SECONDS + size // BYTES_PER_SECOND)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_FSIZE, 0)
    _set(resource.RLIMIT_NOFILE, 3)  # Those that are open stay open.


def _set(limit: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
