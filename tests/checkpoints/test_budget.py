"""What reading a file may cost is counted, and refused as soon as it is too much."""

import pathlib
import time

import pytest

from vggfcn.checkpoints import budget
from vggfcn.checkpoints.budget import NAME, OBJECTS, RATE, ROOM, TEXT, Budget
from vggfcn.errors import WeightsError

PATH = pathlib.Path("w.bin")
ADVICE = "more than any weight file needs; it is damaged or hostile: download it again from a source that you trust"


def test_all_of_it_can_be_spent_and_no_more():
    spent = Budget(PATH, 1000)
    spent.spend(OBJECTS, ROOM + 2000)
    assert (spent.objects, spent.bytes) == (0, 0)
    with pytest.raises(WeightsError, match=f"^w.bin: reading it would take over 1,000,000 objects, {ADVICE}$"):
        spent.spend()
    with pytest.raises(WeightsError, match=f"^w.bin: reading it would take over 128 MiB beyond twice its.*, {ADVICE}$"):
        Budget(PATH, 1000).spend(0, ROOM + 2001)


@pytest.mark.parametrize(("size", "seconds"), [(0, 10), (32 * RATE, 42)])
def test_the_seconds_grow_with_the_file(monkeypatch, size, seconds):
    now = time.thread_time()
    monkeypatch.setattr(time, "thread_time", lambda: now)
    spent = Budget(PATH, size)
    monkeypatch.setattr(time, "thread_time", lambda: now + seconds - 0.1)
    spent.spend(10_000)
    monkeypatch.setattr(time, "thread_time", lambda: now + seconds + 0.1)
    with pytest.raises(WeightsError, match=f"would take over {seconds} seconds, more than"):
        for _ in range(10_000):
            spent.spend()
    assert spent.objects > OBJECTS - 20_000


def test_the_clock_is_read_seldom(monkeypatch):
    spent, readings = Budget(PATH, 0), []
    monkeypatch.setattr(budget.time, "thread_time", lambda: readings.append(1) or 0.0)
    for _ in range(10_000):
        spent.spend()
    assert 1 <= len(readings) <= 3


def test_a_text_in_json_has_a_limit_and_counts():
    spent = Budget(PATH, 0)
    spent.check_text(TEXT, "config.json")
    assert spent.bytes == ROOM - TEXT
    message = (
        r"^w.bin: config.json has 8,388,609 bytes, more than any network's \(8,388,608\); .* a source that you trust$"
    )
    with pytest.raises(WeightsError, match=message):
        spent.check_text(TEXT + 1, "config.json")


def test_the_name_of_an_array():
    spent = Budget(PATH, 0)
    assert (spent.name("conv", 1), spent.name(7), spent.bytes) == ("conv/1", "7", ROOM - 6)
    assert len(spent.name("x" * (NAME - 1), 0)) == NAME + 1
    with pytest.raises(
        WeightsError, match=r"^w.bin: an array has a name of 1,001 characters, more than .* \(1,000\); the"
    ):
        spent.name("x" * NAME, 0)
