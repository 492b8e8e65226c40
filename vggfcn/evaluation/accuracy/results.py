"""The results file of an evaluation: a line of guesses for each image, from which an interrupted run resumes."""

import dataclasses
import itertools
import os
import pathlib
from types import TracebackType
from typing import Any

from vggfcn.errors import EvaluationError
from vggfcn.files import check_folder
from vggfcn.journal import Journal


@dataclasses.dataclass(frozen=True)
class Guesses:
    """The guesses for an image: its name, its true class, and by protocol the most probable classes in order."""

    image: str
    label: int
    top: dict[str, list[int]]


class ResultsFile(Journal):
    """A results file, open for appending; `done` holds the results that were in it, by image name.

    Leaving the `with` block closes the file. Raises `EvaluationError` if another process is adding to the file, if it
    belongs to another run or if it is not a results file; it is then left unchanged.
    """

    error = EvaluationError
    expected = "results of `vggfcn evaluate`"
    expected_line = "an image, its label and the top classes"
    advice = "name another file, or remove this one"
    work = "adding results to this file"
    foreign = "another file"
    other_run = "has results of another run"

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any]):
        check_folder(path, "name another file", EvaluationError)
        self.done: dict[str, Guesses] = {}
        self._protocols = run["protocols"]
        super().__init__(pathlib.Path(path), run)

    def _is_header(self, first: dict[str, Any], run: dict[str, Any]) -> bool:
        return first.keys() == run.keys()

    def _load_record(self, line: Any) -> None:
        guesses = Guesses(**line)
        indices = [guesses.label, *itertools.chain.from_iterable(map(guesses.top.__getitem__, self._protocols))]
        if type(guesses.image) is not str or any(type(index) is not int for index in indices):
            raise TypeError
        self.done[guesses.image] = guesses

    def add(self, guesses: Guesses) -> None:
        """Append an image's line. A kill after this loses nothing."""
        self._add(dataclasses.asdict(guesses))

    def __enter__(self) -> "ResultsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
