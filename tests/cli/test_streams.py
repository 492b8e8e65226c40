"""Standard streams that are closed, full or of an old encoding; whole commands are in tests/whole/test_terminal.py."""

import errno
import io
import os
import sys

import pytest

from vggfcn.cli import streams
from vggfcn.errors import VGGFCNError


def in_a_child(check):
    """The exit code of a child process that runs `check`: what it does to its streams stays there."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = check() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_closed_descriptors_are_not_given_to_the_next_file():
    def check():
        os.close(0)
        os.close(2)
        sys.stderr = None
        streams.open_streams()
        print("lost", file=sys.stderr, flush=True)
        return os.open(os.devnull, os.O_RDONLY) <= 2

    assert in_a_child(check) == 0


def test_a_closed_stdout_is_refused():
    def check():
        os.close(1)
        with pytest.raises(VGGFCNError, match="stdout is closed"):
            streams.open_streams()

    assert in_a_child(check) == 0


def test_characters_that_an_encoding_lacks_are_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    streams.open_streams()
    print("caf\u00e9", flush=True)
    assert written.getvalue() == b"caf\\xe9\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(ValueError("size: too small"), "size: too small", id="another error"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device"),
            "output: the disk is full; make room, or write to another folder",
            id="stdout on a full disk",
        ),
        pytest.param(
            OSError(errno.EDQUOT, "Disk quota exceeded", "map.png"),
            "map.png: the disk is full; make room, or write to another folder",
            id="a file beyond the quota",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "map.png"),
            "[Errno 13] Permission denied: 'map.png'",
            id="another error of the system",
        ),
    ],
)
def test_what_an_error_says(error, said):
    assert streams.reason(error) == said
