"""The journal of a map: which blocks are finished, which run it belongs to, and one process at a time."""

import json
import os

import pytest

from vggfcn.errors import MapError
from vggfcn.streaming.map_journal import FinishedBlock, MapJournal

RUN = {"model": "abc", "shape": [23, 17, 3]}
BLOCKS = [FinishedBlock(0, (0, 8), (0, 9)), FinishedBlock(5, (8, 23), (0, 17))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "map.npy.blocks"


def opened(path, run=RUN):
    """Open and close the journal; its blocks by number."""
    journal = MapJournal(path, run)
    journal.close()
    return journal.finished


def written(path, blocks=()):
    """A journal with these blocks; the bytes of its file."""
    journal = MapJournal(path, RUN)
    for block in blocks:
        journal.add(block)
    journal.close()
    return path.read_bytes()


def test_a_block_counts_its_cells():
    assert [block.cells for block in BLOCKS] == [72, 255]


def test_a_line_for_the_run_and_one_for_each_block(path):
    written(path, BLOCKS)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"format": "vggfcn map, version 1", **RUN},
        {"block": 0, "rows": [0, 8], "columns": [0, 9]},
        {"block": 5, "rows": [8, 23], "columns": [0, 17]},
    ]
    assert opened(path) == {0: BLOCKS[0], 5: BLOCKS[1]}


def test_each_line_is_on_the_disk_before_the_program_goes_on(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.read_bytes()))
    whole = written(path, BLOCKS)
    lines = whole.splitlines(keepends=True)
    assert synced == [b"".join(lines[:count]) for count in (1, 2, 3)]


def test_clearing_leaves_the_run(path):
    before = written(path)
    journal = MapJournal(path, RUN)
    journal.add(BLOCKS[0])
    journal.clear()
    assert journal.finished == {}
    journal.close()
    assert path.read_bytes() == before


def test_nothing_of_a_long_last_line_that_breaks_off_is_left(path):
    whole = written(path, BLOCKS[:1])
    path.write_bytes(whole + b'{"block": 1, ' + b" " * 200)
    assert opened(path) == {0: BLOCKS[0]}
    assert path.read_bytes() == whole


def test_a_first_line_that_breaks_off_is_written_again(path):
    whole = written(path)
    path.write_bytes(whole[:20])
    assert opened(path) == {}
    assert path.read_bytes() == whole


def test_one_process_at_a_time(path):
    first = MapJournal(path, RUN)
    with pytest.raises(MapError, match="another process is working on this map; wait for it, or name another file"):
        MapJournal(path, RUN)
    first.close()
    MapJournal(path, RUN).close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"hello", "expected the record of a map, found something else", id="text"),
        pytest.param(b"hello\n", "expected the record of a map", id="a line"),
        pytest.param(b'{"format": 3}\n', "expected the record of a map", id="another JSON"),
        pytest.param(b"[" * 100_000 + b"\n", "expected the record of a map", id="deep JSON"),
        pytest.param(b'WHOLE{"block": 1}\n', "line 2: expected a finished block", id="half a block"),
        pytest.param(b'WHOLE{"block": "1", "rows": [0, 1], "columns": [0, 1]}\n', "line 2: expected", id="no number"),
        pytest.param(b"WHOLE[]\n", "line 2: expected a finished block", id="a list"),
    ],
)
def test_refuses_what_is_not_a_record(path, content, message):
    content = content.replace(b"WHOLE", written(path))
    path.write_bytes(content)
    with pytest.raises(MapError, match=message):
        MapJournal(path, RUN)
    assert path.read_bytes() == content
