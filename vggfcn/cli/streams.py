"""Stdin, stdout and stderr as whoever started the program left them: closed, full, or in an old encoding."""

import errno
import io
import os
import sys

from vggfcn.errors import VGGFCNError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def open_streams() -> None:
    """Make the standard streams safe to use; raises `VGGFCNError` if stdout, where the results go, is closed.

    A descriptor that is closed becomes /dev/null: otherwise the next file that is opened would get its number, and what
    libraries print would go into that file. Characters that an encoding lacks are escaped.
    """
    closed = [descriptor for descriptor in range(3) if not _is_open(descriptor)]
    for _ in closed:  # Each gets the lowest number that is free.
        os.open(os.devnull, os.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115 - it stays open
    if 1 in closed:
        raise VGGFCNError("stdout is closed, and the results go there; send it to a file, or to /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def reason(error: Exception) -> str:
    """What an error says; of a full disk also what to do."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{error.filename or 'output'}: the disk is full; make room, or write to another folder"
    return str(error)
