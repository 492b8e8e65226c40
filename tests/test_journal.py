"""Journals: a stopped run goes on from whole lines, and no file of another run or kind is touched."""

import json
import re

import pytest

from vggfcn.errors import EvaluationError
from vggfcn.journal import Journal

RUN = {"network": "abc", "sizes": [1, 2]}


class Numbers(Journal):
    """A journal of positive numbers."""

    error = EvaluationError
    expected = "numbers"
    expected_line = "a number"
    advice = "remove it"
    work = "counting"

    def __init__(self, path, run=RUN):
        self.numbers = []
        super().__init__(path, run)

    def _is_header(self, first, run):
        return "network" in first

    def _load_record(self, line):
        if line["number"] < 1:
            raise ValueError
        self.numbers.append(line["number"])

    def add(self, number):
        self._add({"number": number})


class Durable(Numbers):
    durable = True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def written(path, *numbers, run=RUN, kind=Numbers):
    journal = kind(path, run)
    for number in numbers:
        journal.add(number)
    journal.close()
    return journal.numbers


@pytest.mark.parametrize("before", [None, b""], ids=["no file", "an empty file"])
def test_a_new_journal_says_which_run_it_is_of(path, before):
    if before is not None:
        path.write_bytes(before)
    assert written(path) == []
    assert json.loads(path.read_text()) == RUN


def test_lines_added_after_reopening_come_after_the_old_ones(path):
    assert written(path, 1, 2) == []
    assert written(path, 3) == [1, 2]
    assert written(path) == [1, 2, 3]
    assert len(path.read_text().splitlines()) == 4


def test_a_torn_last_line_is_dropped_and_written_over_wherever_it_is_torn(path):
    written(path, 1, 23)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        expected = [1, 23][: max(0, whole[:length].count(b"\n") - 1)]
        assert written(path, 45) == expected
        assert written(path) == [*expected, 45]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"my diary", "journal: expected numbers, found something else; remove it"),
        (b"my diary\n", "journal: expected numbers, found something else; remove it"),
        (b"[" * 100_000 + b"\n", "journal: expected numbers, found something else; remove it"),
        (b'{"other": 1}\n', "journal: expected numbers, found something else; remove it"),
        (
            b'{"network": "abd", "seed": 3}\n{"number": 1}\nto',
            "journal: belongs to another run, with network 'abd' instead of 'abc'; sizes none instead of [1, 2]; "
            "seed 3 instead of none; remove it",
        ),
        (b'RUN\n{"number": 1}\nhello\n', "journal, line 3: expected a number; remove it"),
        (b'RUN\n{"number": 0}\n', "journal, line 2: expected a number; remove it"),
        (b"RUN\n{}\n", "journal, line 2: expected a number; remove it"),
    ],
    ids=["text", "a line", "deep JSON", "other JSON", "another run", "a damaged line", "no number", "an empty record"],
)
def test_what_is_refused_is_left_as_it_is(path, content, message):
    content = content.replace(b"RUN", json.dumps(RUN).encode())
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=re.escape(message)):
        Numbers(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("kind", "expected"), [(Numbers, 0), (Durable, 3)])
def test_a_durable_journal_is_on_the_disk_line_by_line(path, monkeypatch, kind, expected):
    synced = []
    monkeypatch.setattr("vggfcn.journal.os.fsync", synced.append)
    written(path, 1, 2, kind=kind)
    assert len(synced) == expected


@pytest.mark.parametrize("room", [0, 1, 10])
def test_a_disk_that_fills_up_leaves_whole_lines(path, monkeypatch, room):
    """What there is room for of the third line is written; the rest is not."""
    journal = Numbers(path)
    journal.add(1)
    whole = path.read_bytes()

    def write_some(file, line):
        file.write(line[:room])
        raise OSError("No space left on device")

    monkeypatch.setattr("vggfcn.journal.write_all", write_some)
    with pytest.raises(OSError, match="No space left"):
        journal.add(2)
    assert path.read_bytes() == whole
    monkeypatch.undo()
    journal.add(3)
    journal.close()
    assert written(path) == [1, 3]
