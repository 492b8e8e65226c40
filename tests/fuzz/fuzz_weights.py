"""Hostile weight files by the thousand: `make fuzz`. Each is read or refused in one line, within bounds."""

import os
import sys

import pytest
from fuzz_kinds import CLASSIFIER, MODEL, STRUCTURES, ending, kinds, made, readers
from fuzz_runner import Reader, table

COUNT = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
BUILT = 40  # of each kind of models, built in Keras
SECONDS_TO_BUILD = 120


@pytest.fixture(scope="module")
def rows():
    """What came of each kind of file; at the end the table is printed."""
    found = {}
    yield found
    print(f"\n{table(found)}")


def failures(kind, reader, folder, rows, numbers, **options):
    """What went wrong of these files of a kind, each with its number; the files themselves stay in the folder."""
    process, wrong, kept = Reader(reader, folder / "reader", **options), [], folder / "failed"
    name = f"{kind}, {reader}"
    rows[name] = []
    try:
        for number in numbers:
            data = made(kind, number)
            result = process.read(data, f"{number}{ending(kind)}")
            rows[name].append(result)
            if result.outcome not in ("read", "refused"):
                kept.mkdir(exist_ok=True)
                (kept / f"{number}{ending(kind)}").write_bytes(data)
                wrong.append(f"{kind} {number}, {len(data):,} bytes: {result.outcome}: {result.text}")
                print(wrong[-1], file=sys.stderr)
    finally:
        process.stop()
    return wrong


@pytest.mark.parametrize(("kind", "reader"), [(kind, reader) for kind in kinds() for reader in readers(kind)])
def test_hostile_files(kind, reader, rows, tmp_path):
    assert failures(kind, reader, tmp_path, rows, range(COUNT)) == []


@pytest.mark.parametrize("kind", [kind for kind in STRUCTURES if MODEL in readers(kind)])
def test_hostile_models_are_built_or_refused(kind, rows, tmp_path):
    numbers = range(0, COUNT, max(1, COUNT // BUILT))
    assert failures(kind, CLASSIFIER, tmp_path, rows, numbers, seconds=SECONDS_TO_BUILD) == []
