"""Damaged weight files by the thousand: `make fuzz`. A reader gives finite weights or `WeightsError`, nothing else."""

import os
import tempfile

import numpy as np
import pytest
from format_writers import FORMATS
from fuzz_limits import Tally, limited, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers import MICRO

from vggfcn.errors import WeightsError
from vggfcn.networks.weights import read_weights

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
MEMORY = 1 << 30  # bytes beyond what is in use

# Bytes that mean something in lengths, counts and types.
MARKED = st.sampled_from([b"\x00", b"\xff", b"\x80", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8, b".", b"("])
SOME = st.one_of(MARKED, st.binary(min_size=1, max_size=8))
PLACE = st.floats(0, 1, exclude_max=True)
CHANGES = st.one_of(
    st.tuples(st.just("overwrite"), PLACE, SOME),
    st.tuples(st.just("overwrite"), PLACE, SOME),
    st.tuples(st.just("insert"), PLACE, SOME),
    st.tuples(st.just("delete"), PLACE, st.integers(1, 64)),
    st.tuples(st.just("cut"), PLACE, st.none()),
    st.tuples(st.just("copy"), PLACE, PLACE),
)


def damaged(data, changes):
    data = bytearray(data)
    for kind, place, what in changes:
        position = int(place * len(data))
        if kind == "overwrite":
            data[position : position + len(what)] = what
        elif kind == "insert":
            data[position:position] = what
        elif kind == "delete":
            del data[position : position + what]
        elif kind == "cut":
            del data[position:]
        else:
            source = int(what * len(data))
            data[position : position + 32] = data[source : source + 32]
    return bytes(data)


@pytest.fixture(scope="module", autouse=True)
def limits():
    with limited(MEMORY):
        yield


@pytest.fixture(scope="module")
def rows():
    """What came of each kind of file; at the end the table is printed."""
    found = {}
    yield found
    print(f"\n{table('damaged weight files', found)}")


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name, rows, tmp_path):
    path = tmp_path / "whole"
    FORMATS[name][2](path, MICRO)
    assert read(str(path)) == "read"
    whole = path.read_bytes()
    outcomes, tally = {"read": 0, "refused": 0}, Tally()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(CHANGES, min_size=1, max_size=4))
    def attempt(changes):
        with tempfile.NamedTemporaryFile(dir=tmp_path) as file:
            file.write(damaged(whole, changes))
            file.flush()
            with tally.file():
                outcomes[read(file.name)] += 1

    attempt()
    rows[name] = (sum(outcomes.values()), *outcomes.values(), tally.slowest, tally.memory)


def read(path):
    """Whether the file was "read" or "refused"; anything else is an exception."""
    try:
        weights = read_weights(path)
        for layer in weights:
            for array, shape in zip(weights[layer], weights.shapes[layer], strict=True):
                assert array.shape == shape
                assert array.dtype == np.float32
                assert np.isfinite(array).all()
        return "read"
    except WeightsError as error:
        assert str(error).startswith(path)
        assert "\n" not in str(error)
        return "refused"
