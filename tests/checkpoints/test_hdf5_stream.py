"""The stream gives the HDF5 library the bytes of the file, but none of a damaged heap."""

import io
import struct

import h5py
import numpy as np
import pytest

from vggfcn.checkpoints.hdf5_stream import HDF5Stream

TEXTS = ["cat", "a dog", "x" * 40]


def object_header(index, size):
    return struct.pack("<HHxxxxQ", index, 1, size)


def heap(*objects, size=None, unused=b""):
    """A global heap as the specification of HDF5 describes it: (index, content) for each object."""
    body = b"".join(object_header(index, len(data)) + data + bytes(-len(data) % 8) for index, data in objects) + unused
    return b"GCOL\x01\0\0\0" + struct.pack("<Q", 16 + len(body) if size is None else size) + body


def free_space(size):
    """The object that fills the rest of a heap: index 0, and a size that counts its own header."""
    return object_header(0, size) + bytes(size - 16)


def stream(data, start=0, size=None):
    return HDF5Stream(io.BytesIO(data), start, len(data) - start if size is None else size)


@pytest.fixture(scope="module")
def file_with_texts():
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5:
        hdf5.attrs["labels"] = TEXTS
        hdf5["numbers"] = np.arange(1000)
    return file.getvalue()


def test_the_library_reads_through_it_as_from_the_file(file_with_texts):
    for start, data in ((0, file_with_texts), (17, b"." * 17 + file_with_texts + b"after")):
        with h5py.File(stream(data, start, len(file_with_texts)), "r") as file:
            assert list(file.attrs["labels"]) == TEXTS
            np.testing.assert_array_equal(file["numbers"], np.arange(1000))


def test_the_texts_of_such_a_file_are_in_a_heap(file_with_texts):
    """Otherwise the test above would not touch the checks."""
    assert file_with_texts.count(b"GCOL\x01") == 1


def test_seek_and_read_stay_within_the_part():
    part = stream(b"0123456789", 2, 5)
    assert (part.readable(), part.seekable(), part.read()) == (True, True, b"23456")
    assert (part.seek(1), part.read(2), part.tell()) == (1, b"34", 3)
    assert (part.seek(-1, io.SEEK_CUR), part.read(1)) == (2, b"4")
    assert (part.seek(-2, io.SEEK_END), part.read()) == (3, b"56")


def test_closing_it_closes_the_file():
    file = io.BytesIO(b"x")
    HDF5Stream(file, 0, 1).close()
    assert file.closed


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(heap(), id="no objects"),
        pytest.param(heap((1, b"cat"), (2, b"12345678")), id="objects padded to eight bytes"),
        pytest.param(heap((1, b"cat"), unused=free_space(32)), id="free space"),
        pytest.param(heap((1, b"cat"), unused=bytes(15)), id="a rest too small for a header"),
    ],
)
def test_sound_heaps_are_given_out(sound):
    data = b"before" + sound + b"after"
    assert stream(data).read() == data


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(heap((1, b"cat"), unused=bytes(16)), id="free space of no size is an endless loop"),
        pytest.param(heap((1, b"cat"), unused=object_header(0, 8)), id="free space below a header"),
        pytest.param(heap((1, b"cat"), unused=object_header(2, 100)), id="an object beyond the heap"),
        pytest.param(heap((1, b"cat"), size=1 << 60), id="a heap beyond the file"),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_no_byte_of_a_damaged_heap_is_given_out(damaged, step):
    """However the library's reads divide the file, even within the signature."""
    part = stream(b"before" + damaged)
    given = b""
    with pytest.raises(OSError, match="a heap of strings is not a chain of objects"):
        while data := part.read(step):
            given += data
    assert len(given) <= len(b"before")
    assert part.damage == "a heap of strings is not a chain of objects"
    part.seek(0)
    with pytest.raises(OSError, match="heap"):
        part.read(1)


def test_heaps_that_overlap_are_refused():
    """Each alone is sound; together they are larger than the file."""
    inner = heap((1, b"cat"))
    data = heap((1, inner + bytes(8)), (2, b"12345678"))
    assert stream(inner).read() == inner
    with pytest.raises(OSError, match="heap"):
        stream(data).read()
