"""Arrays of HDF5 files are read as they are stored; links, foreign storage and bombs are refused."""

import contextlib

import h5py
import numpy as np
import pytest

from vggfcn.checkpoints import hdf5_groups
from vggfcn.checkpoints.hdf5_groups import HDF5Source
from vggfcn.errors import WeightsError


@pytest.fixture
def write(tmp_path):
    def write(change):
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            change(file)
        return HDF5Source(path, lambda: path.open("rb"), 0, path.stat().st_size)

    return write


@contextlib.contextmanager
def array_of(source):
    with hdf5_groups.opened(source) as file:
        yield hdf5_groups.stored_array(source, file, "group/array", "its name")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i8", "u1", "?"])
def test_arrays_keep_their_dtype(write, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    with array_of(write(lambda file: file.create_dataset("group/array", data=values, compression="gzip"))) as array:
        pass
    np.testing.assert_array_equal(array.read(), values)
    assert (array.name, array.shape, array.read().dtype) == ("its name", (2, 3), values.dtype)


def test_lists_of_texts_may_be_split(write):
    def change(file):
        file.attrs["short"] = np.array(["a", "b"], "S")
        file.attrs["long0"], file.attrs["long1"] = np.array(["a"], "S"), np.array(["b", "c"], "S")

    with hdf5_groups.opened(write(change)) as file:
        found = [hdf5_groups.texts(file, name) for name in ("short", "long", "none")]
        assert found == [["a", "b"], ["a", "b", "c"], []]
        assert hdf5_groups.text(file, "none") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.create_group("group/array"), "'its name' is not an array"),
        (lambda file: file.create_group("group"), "missing or a link"),
        (lambda file: file.create_dataset("group/array", data=np.array([b"text"])), "expected arrays of numbers"),
        (lambda file: file.create_dataset("group/array", (1 << 28,), "f4", chunks=(1 << 16,)), "a bomb"),
        (
            lambda file: file.create_dataset("group/array", (2,), "f4", external=[("/etc/passwd", 0, 8)]),
            "not stored in",
        ),
    ],
)
def test_refusals(write, change, message):
    with pytest.raises(WeightsError, match=message), array_of(write(change)):
        pass


def test_links_are_refused(write):
    def change(file):
        file.create_group("group")["array"] = h5py.ExternalLink("/etc/hostname", "/")

    with pytest.raises(WeightsError, match="a link"), array_of(write(change)):
        pass


def test_damage_is_reported(tmp_path):
    path = tmp_path / "w.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with (
        pytest.raises(WeightsError, match="is damaged"),
        hdf5_groups.opened(HDF5Source(path, lambda: path.open("rb"), 0, path.stat().st_size)),
    ):
        pass
