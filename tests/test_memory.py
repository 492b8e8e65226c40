"""Amounts of memory are read, the process's own is measured, and arrays begin where TensorFlow needs them to."""

import pathlib
import re

import numpy as np
import pytest

from vggfcn.memory import ALIGNMENT, aligned_empty, number_of_bytes, resident_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2 * 10**9), ("500 MiB", 500 * 2**20), ("1.5kb", 1500), ("7", 7), (4096, 4096), ("3 B", 3)],
)
def test_amounts(text, expected):
    assert number_of_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "2 apples", "-1GB", 0, "0GB", "1e3"])
def test_texts_that_are_no_amounts(text):
    with pytest.raises(ValueError, match=r"max_memory: expected a number of bytes or a text such as .*, got "):
        number_of_bytes(text)


def test_resident_memory_is_what_linux_reports():
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        pytest.skip("Linux reports it in /proc")
    reported = 1024 * int(re.search(r"VmRSS:\s*(\d+) kB", status.read_text())[1])
    assert resident_bytes() == pytest.approx(reported, abs=2**24)
    filled = np.ones(2**26, np.uint8)
    assert resident_bytes() > reported + filled.nbytes / 2


def test_without_proc_it_is_the_peak(monkeypatch):
    before = resident_bytes()

    def missing(_):
        raise FileNotFoundError

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    assert resident_bytes() >= before - 2**24


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 5)], ids=str)
def test_arrays_that_tensorflow_can_use_in_place(shape):
    arrays = [aligned_empty(shape) for _ in range(5)]
    for array in arrays:
        assert (array.shape, array.dtype) == (shape, np.float32)
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
