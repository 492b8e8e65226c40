"""A file that grows by a line for each picture done, so that a run that was stopped can go on.

JSON lines: the first says which run the file is of, each other one holds the classes that were guessed for a picture.
"""

import dataclasses
import json
import os
import pathlib
from types import TracebackType
from typing import Any, BinaryIO

from vggfcn.errors import EvaluationError
from vggfcn.files import check_folder


@dataclasses.dataclass(frozen=True)
class Guesses:
    """What was made of a picture: its name, its true class, and by protocol the classes guessed, likeliest first."""

    picture: str
    label: int
    top: dict[str, list[int]]


class ResultsFile:
    """A results file, open for adding: `done` holds what was there, by the picture's name.

    `run` says what the results belong to, in values that JSON knows. The file is made if it is missing. A last line
    that was not written to its end is dropped. Leaving the `with` block closes the file.

    Raises `EvaluationError` if the file is of another run or no results file at all; it is then left as it is.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any]):
        self.path = pathlib.Path(path)
        check_folder(path, "name another file", EvaluationError)
        header = _line(run)
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        # Without a whole line it is ours only if it breaks off within our own first one.
        if not whole and not header.startswith(content):
            raise EvaluationError(f"{path}: expected results of `vggfcn evaluate`, found something else; {_ADVICE}")
        self.done = self._read(whole, run) if whole else {}
        self._file: BinaryIO = self.path.open("r+b" if content else "wb", buffering=0)
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        if not whole:
            self._file.write(header)

    def _read(self, whole: bytes, run: dict[str, Any]) -> dict[str, Guesses]:
        first, *others = whole.splitlines()
        found = _parsed(first)
        if not isinstance(found, dict) or found.keys() != run.keys():
            raise EvaluationError(f"{self.path}: expected results of `vggfcn evaluate`, found another file; {_ADVICE}")
        different = [f"{key} {found[key]!r} instead of {run[key]!r}" for key in run if found[key] != run[key]]
        if different:
            raise EvaluationError(f"{self.path}: are results of another run, with {'; '.join(different)}; {_ADVICE}")
        done = {}
        for number, line in enumerate(others, 2):
            try:
                guesses = Guesses(**_parsed(line))
                done[guesses.picture] = guesses
            except TypeError:
                raise EvaluationError(
                    f"{self.path}, line {number}: expected a picture, its label and the top classes; {_ADVICE}"
                ) from None
        return done

    def add(self, guesses: Guesses) -> None:
        """Write a picture's line; whoever kills the program after it has lost nothing before it."""
        self._file.write(_line(dataclasses.asdict(guesses)))

    def __enter__(self) -> "ResultsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


_ADVICE = "name another file, or remove this one"


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
