"""The tree shows what h5py wrote; links, foreign storage, bombs and what no network has are refused."""

import io
import pathlib
import tempfile

import broken_hdf5
import h5py
import ml_dtypes
import numpy as np
import pytest

from vggfcn.checkpoints.hdf5 import tree
from vggfcn.checkpoints.hdf5.tree import Source
from vggfcn.checkpoints.reading import reading
from vggfcn.errors import WeightsError


def read(source):
    with reading(source.path) as budget:
        return tree.read(source, budget)


@pytest.fixture
def write(tmp_path):
    def write(change, **options):
        path = tmp_path / "w.h5"
        with h5py.File(path, "w", **options) as file:
            change(file)
        return tree.whole(path)

    return write


STORED = {
    "in one piece": {},
    "in chunks": {"chunks": (1, 2)},
    "with gzip": {"compression": "gzip"},
    "with LZF, shuffle and checksums": {"compression": "lzf", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", "i8", "u1", "?"])
@pytest.mark.parametrize("stored", STORED)
def test_arrays_are_as_written(write, dtype, stored, libver):
    values = np.arange(12).reshape(6, 2).astype(dtype)
    source = write(lambda file: file.create_dataset("group/array", data=values, **STORED[stored]), libver=libver)
    dataset = read(source).dataset("group/array")
    dataset.check("its name")
    found = dataset.read()
    np.testing.assert_array_equal(found, values)
    assert (dataset.shape, found.dtype) == ((6, 2), values.dtype)
    assert dataset.is_direct == (not STORED[stored])
    np.testing.assert_array_equal(dataset.read_rows(2, 3), values[2:5])


@pytest.mark.parametrize("stored", STORED)
def test_bfloat16_comes_as_its_bits(write, stored):
    """As Keras 3 writes it: two bytes of no type, and an attribute."""
    values = np.arange(12).reshape(6, 2).astype(ml_dtypes.bfloat16)

    def change(file):
        file.create_dataset("a", data=values.view("V2"), **STORED[stored]).attrs["dtype"] = "bfloat16"
        file.create_dataset("of no type", data=values.view("V2"))

    found = read(write(change))
    dataset = found.dataset("a")
    dataset.check("its name")
    assert dataset.dtype == "bfloat16"
    np.testing.assert_array_equal(dataset.read().view(ml_dtypes.bfloat16), values)
    np.testing.assert_array_equal(dataset.read_rows(2, 3).view(ml_dtypes.bfloat16), values[2:5])
    with pytest.raises(WeightsError, match="expected arrays of numbers, found 'its name' of"):
        found.dataset("of no type").check("its name")


def test_an_array_without_axes_and_one_without_numbers(write):
    def change(file):
        file["scalar"] = np.float64(3.5)
        file.create_dataset("scalar in memory", data=np.float32(2), track_order=True)
        file["none"] = np.zeros((0, 3))

    found = read(write(change))
    assert found.dataset("scalar").read() == 3.5
    with pytest.raises(WeightsError, match=r"impossible shape \(0, 3\)"):
        found.dataset("none").check("none")


def test_arrays_larger_than_a_block_come_whole(write):
    values = np.random.default_rng(0).standard_normal((5, 1 << 20)).astype(np.float32)
    source = write(lambda file: file.create_dataset("a", data=values, chunks=(1, 1 << 20)))
    np.testing.assert_array_equal(read(source).dataset("a").read(), values)


def test_data_within_another_file_and_in_a_nameless_one(write, tmp_path):
    values = np.arange(5, dtype=np.float32)
    data = (source := write(lambda file: file.create_dataset("a", data=values))).path.read_bytes()
    outer = tmp_path / "outer"
    outer.write_bytes(b"before " + data + b" after")
    np.testing.assert_array_equal(read(Source(outer, 7, len(data))).dataset("a").read(), values)
    with tempfile.TemporaryFile() as nameless:
        nameless.write(data)
        nameless.flush()
        dataset = read(Source(source.path, 0, len(data), nameless)).dataset("a")
        source.path.write_bytes(bytes(10))
        np.testing.assert_array_equal(dataset.read(), values)
        nameless.seek(0, io.SEEK_END)
        np.testing.assert_array_equal(dataset.read(), values)


def test_attributes_are_texts_and_numbers(write):
    def change(file):
        file.attrs["text"], file.attrs["bytes"] = "ä", np.bytes_(b"raw")
        file.attrs["texts"], file.attrs["fixed"] = ["a", "b"], np.array(["c"], "S")
        file.attrs["number"], file.attrs["numbers"] = 3, np.array([0.5, 2])
        file.attrs["empty"] = h5py.Empty("f4")
        file.attrs["reference"] = file.ref
        file.attrs.create("lists", np.array([np.zeros(3), None], object)[:1], dtype=h5py.vlen_dtype("f8"))
        file.attrs["compound"] = np.zeros(2, [("x", "f4")])

    source = write(change)
    found = read(source)
    assert found.attributes == {
        "text": "ä",
        "bytes": "raw",
        "texts": ["a", "b"],
        "fixed": ["c"],
        "number": 3,
        "numbers": [0.5, 2],
        **dict.fromkeys(("empty", "reference", "lists", "compound")),
    }
    with reading(source.path) as budget:
        assert sorted(tree.attribute_names(source, budget)) == sorted(found.attributes)


def test_lists_of_texts_may_be_split(write):
    def change(file):
        file.attrs["short"] = np.array(["a", "b"], "S")
        file.attrs["long0"], file.attrs["long1"] = np.array(["a"], "S"), np.array(["b", "c"], "S")
        file.attrs["none"] = np.array([], "S1")
        file.attrs["numbers"] = [1, 2]

    found = read(write(change))
    assert [found.texts(name) for name in ("short", "long", "none", "missing")] == [["a", "b"], ["a", "b", "c"], [], []]
    assert found.text("missing") is None
    with pytest.raises(WeightsError, match="'numbers' is not a list of texts"):
        found.texts("numbers")


def test_members_are_in_the_files_order_and_named_as_in_the_file(write):
    def change(file):
        for name in ("b", "a", "ä ö"):
            file.create_group("g/" + name)

    found = read(write(change)).group("g")
    assert list(found.members) == ["a", "b", "ä ö"]
    assert found.group("a").name == "/g/a"


def external(file):
    file.create_dataset("group/array", (2,), "f4", external=[("/etc/passwd", 0, 8)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("group/array", layout)


def unknown_filter(file):
    # A filter that this library does not have may still be named, if it is optional.
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1,))
    plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file.create_group("group").id, b"array", h5py.h5t.NATIVE_FLOAT, space, plan)


REFUSED = {
    "a group for an array": (lambda f: f.create_group("group/array"), "'group/array' is not an array"),
    "no such array": (lambda f: f.create_group("group"), "missing or a link"),
    "no such group": (lambda f: None, "missing or a link"),
    "an array for a group": (lambda f: f.create_dataset("group", data=1.0), "missing or a link"),
    "text": (lambda f: f.create_dataset("group/array", data=np.array([b"text"])), r"of numbers, found .* of '\|S4'"),
    "pairs": (lambda f: f.create_dataset("group/array", data=np.zeros(2, [("x", "f4")])), "of numbers, found"),
    "complex": (
        lambda f: f.create_dataset("group/array", data=np.zeros(2, "c8")),
        "of numbers, found .* of 'complex64'",
    ),
    "a bomb": (lambda f: f.create_dataset("group/array", (1 << 28,), "f4", chunks=(1 << 16,)), "a decompression bomb"),
    "data in another file": (external, "'its name' is not stored in this file"),
    "virtual data": (virtual, "'its name' is not stored in this file"),
    "no data": (lambda f: f.create_dataset("group/array", data=h5py.Empty("f4")), "is not stored in this file"),
    "a filter that would load foreign code": (unknown_filter, "'its name' uses an unsupported HDF5 filter"),
    "a link to another file": (
        lambda f: f.create_group("group").__setitem__("array", h5py.ExternalLink("/etc/hostname", "/")),
        "missing or a link",
    ),
    "a soft link": (lambda f: f.create_group("group").__setitem__("array", h5py.SoftLink("/x")), "missing or a link"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name, write):
    change, message = REFUSED[name]
    with pytest.raises(WeightsError, match=message):
        read(write(change)).dataset("group/array").check("its name")


def chain(file, depth=50):
    group = file
    for _ in range(depth):
        group = group.create_group("g")


def cycle(file):
    file.create_group("a")["b"] = file["/"]


NO_NETWORK = {
    "groups nested deep": (chain, "nested more than 40 levels deep"),
    "groups linked from many places": (broken_hdf5.groups_in_many_places, "a group under two names"),
    "a group in itself": (cycle, "a group under two names"),
    "a name that is no text": (lambda f: f.create_group(b"\xff"), "the HDF5 file is damaged"),
    "a long text": (lambda f: f.attrs.create("text", "x" * (9 << 20)), "more than any network's"),
}


@pytest.mark.parametrize("name", NO_NETWORK)
def test_what_no_network_has(name, write):
    change, message = NO_NETWORK[name]
    with pytest.raises(WeightsError, match=message):
        read(write(change, libver="latest"))


def test_a_chunk_of_a_gigabyte_for_few_numbers(write):
    def change(file):
        file.create_dataset("a", (27,), "f4", maxshape=(None,), chunks=(300_000_000,), compression="gzip")

    dataset = read(write(change)).dataset("a")
    with pytest.raises(WeightsError, match="has chunks far larger than the file"):
        dataset.read()


def test_damage_is_reported(tmp_path):
    path = tmp_path / "w.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(WeightsError, match=r"w.h5: the HDF5 file is damaged"):
        read(tree.whole(path))
    with pytest.raises(WeightsError, match="no such weight file"):
        read(Source(pathlib.Path(tmp_path / "none"), 0, 10))
