"""Files that grow by a line for each thing done, so that a run that was stopped can go on.

JSON lines: the first says which run the file is of, each other one is a record.
"""

import abc
import json
import os
import pathlib
from typing import Any

from vggfcn.errors import VGGFCNError


class Journal(abc.ABC):
    """A journal, open for adding; the file is made if it is missing.

    `run` says what the records belong to, in values that JSON knows. Each record that was there is handed to `_take`. A
    last line that was not written to its end is dropped. Raises `error` if the file is of another run, or is no such
    journal at all; it is then left as it is.
    """

    error: type[VGGFCNError]
    # What messages say: what the file should be, what each line should hold, and what to do about it otherwise.
    expected: str
    expected_line: str
    advice: str
    foreign = "something else"
    other_run = "is of another run"
    # Whether each line is on the disk before the program goes on, so that not even a loss of power takes it away.
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

    def _lock(self) -> None:  # noqa: B027 - most need none
        """Keep other processes out, where that is wanted."""

    @abc.abstractmethod
    def _is_one(self, first: dict[str, Any], run: dict[str, Any]) -> bool:
        """Whether a first line is that of such a journal, of this run or another."""

    @abc.abstractmethod
    def _take(self, line: Any) -> None:
        """Take over a record as JSON has it; raises `TypeError`, `KeyError` or `ValueError` if it is none."""

    def _read(self, run: dict[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            # Without a whole line it is ours only if it breaks off within our own first one.
            if not self._header.startswith(content):
                raise self.error(f"{self.path}: expected {self.expected}, found something else; {self.advice}")
            self._begin()
            return
        first, *others = map(_parsed, whole.splitlines())
        if not isinstance(first, dict) or not self._is_one(first, run):
            raise self.error(f"{self.path}: expected {self.expected}, found {self.foreign}; {self.advice}")
        if first != run:
            raise self.error(f"{self.path}: {self.other_run}, with {_differences(first, run)}; {self.advice}")
        for number, line in enumerate(others, 2):
            try:
                self._take(line)
            except (TypeError, KeyError, ValueError):
                raise self.error(f"{self.path}, line {number}: expected {self.expected_line}; {self.advice}") from None
        self._file.truncate(len(whole))

    def _begin(self) -> None:
        """Leave the first line alone in the file."""
        self._file.truncate(0)
        self._write(self._header)

    def _add(self, record: dict[str, Any]) -> None:
        self._write(_line(record))

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        if self.durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, which ends its lock."""
        self._file.close()


def _differences(found: dict[str, Any], run: dict[str, Any]) -> str:
    keys = [key for key in {**run, **found} if found.get(key) != run.get(key)]
    return "; ".join(f"{key} {_shown(found, key)} instead of {_shown(run, key)}" for key in keys)


def _shown(run: dict[str, Any], key: str) -> str:
    return f"{run[key]!r}" if key in run else "none"


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
