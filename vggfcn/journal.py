"""Journals: files that gain a line for each finished step, so that an interrupted run can resume.

The format is JSON lines. The first line describes the run; each other line is a record.
"""

import abc
import json
import os
import pathlib
from typing import Any

from vggfcn.errors import VGGFCNError
from vggfcn.files import write_all
from vggfcn.locks import lock


class Journal(abc.ABC):
    """A journal that is open for appending; the file is created if it is missing.

    `run` describes the run as a JSON object. Each existing record is passed to `_load_record`. An incomplete last line
    is dropped. The file is locked until it is closed. Raises `error` if another process holds it, or if it belongs to
    another run or is not such a journal; the file is then unchanged.
    """

    error: type[VGGFCNError]
    # Parts of the error messages: what the file should be, what each line should hold, and what to do otherwise.
    expected: str
    expected_line: str
    advice: str
    work: str  # what another process does that holds the file
    foreign = "something else"
    other_run = "belongs to another run"
    # Whether to wait until each line is on the disk, so that it survives a power failure.
    durable = False

    def __init__(self, path: pathlib.Path, run: dict[str, Any]):
        self.path = path
        self._header = _line(run)
        self._file = path.open("a+b", buffering=0)
        try:
            self._lock()
            self._read(json.loads(self._header))
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            lock(self._file.fileno(), wait=False)
        except BlockingIOError:
            raise self.error(
                f"{self.path}: another process is {self.work}; wait for it, or name another file"
            ) from None

    @abc.abstractmethod
    def _is_header(self, first: dict[str, Any], run: dict[str, Any]) -> bool:
        """Whether a first line belongs to a journal of this kind, of this run or another."""

    @abc.abstractmethod
    def _load_record(self, line: Any) -> None:
        """Load a record from a parsed line; raises `TypeError`, `KeyError` or `ValueError` if it is invalid."""

    def _read(self, run: dict[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            # Without a complete line, the file is ours only if it is the beginning of our own first line.
            if not self._header.startswith(content):
                raise self.error(f"{self.path}: expected {self.expected}, found something else; {self.advice}")
            self._begin()
            return
        first, *others = map(_parsed, whole.splitlines())
        if not isinstance(first, dict) or not self._is_header(first, run):
            raise self.error(f"{self.path}: expected {self.expected}, found {self.foreign}; {self.advice}")
        if first != run:
            raise self.error(f"{self.path}: {self.other_run}, with {_differences(first, run)}; {self.advice}")
        for number, line in enumerate(others, 2):
            try:
                self._load_record(line)
            except (TypeError, KeyError, ValueError):
                raise self.error(f"{self.path}, line {number}: expected {self.expected_line}; {self.advice}") from None
        self._file.truncate(len(whole))

    def _begin(self) -> None:
        """Truncate the file to its first line."""
        self._file.truncate(0)
        self._write(self._header)

    def _add(self, record: dict[str, Any]) -> None:
        self._write(_line(record))

    def _write(self, line: bytes) -> None:
        end = self._file.seek(0, os.SEEK_END)
        try:
            write_all(self._file, line)
            if self.durable:
                os.fsync(self._file.fileno())
        except BaseException:  # Half a line would spoil the next one.
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close the file, which also releases its lock."""
        self._file.close()


def _differences(stored: dict[str, Any], run: dict[str, Any]) -> str:
    keys = [key for key in {**run, **stored} if stored.get(key) != run.get(key)]
    return "; ".join(f"{key} {_shown(stored, key)} instead of {_shown(run, key)}" for key in keys)


def _shown(run: dict[str, Any], key: str) -> str:
    return f"{run[key]!r}" if key in run else "none"


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
