"""`.npy` files with a dict of layers give its arrays, large ones still in the file."""

import pickle
import zipfile

import numpy as np
import pytest
from raw_formats import NPY_HEADER, npy, npy_bytes
from reader_calls import read_by

from vggfcn.checkpoints import budget, kernels
from vggfcn.checkpoints.formats import npy as npy_format
from vggfcn.checkpoints.pickles.machine import LONG
from vggfcn.checkpoints.tensors import ArrayTensor, FileFormat, FileTensor, as_array
from vggfcn.errors import WeightsError

KERNEL = np.arange(24, dtype="<f4").reshape(2, 3, 4)
LARGE = np.arange(LONG, dtype="<f4").reshape(-1, 8)
BIAS = np.float32([1, 2, 3, 4])


def saved(path, value, **options):
    array = np.empty((), object)
    array[()] = value
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=True, **options)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.npy"


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param([KERNEL, BIAS], id="a list, as tensorflow-vgg"),
        pytest.param((KERNEL, BIAS), id="a tuple"),
        pytest.param({"biases": BIAS, "weights": KERNEL}, id="a dict with names"),
    ],
)
def test_kernel_and_bias_of_a_layer(path, layer):
    container = read_by(npy_format.read, saved(path, {"conv1_1": layer}))
    assert (container.format, list(container.tensors)) == (FileFormat.NPY, ["conv1_1/0", "conv1_1/1"])
    np.testing.assert_array_equal(as_array(container.tensors["conv1_1/0"]), KERNEL)
    np.testing.assert_array_equal(as_array(container.tensors["conv1_1/1"]), BIAS)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(path, version):
    container = read_by(npy_format.read, saved(path, {"a": [KERNEL]}, version=version))
    np.testing.assert_array_equal(as_array(container.tensors["a/0"]), KERNEL)


@pytest.mark.parametrize("array", [KERNEL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "<i4"])
def test_orders_and_types(path, array, order, dtype):
    stored = np.array(array, dtype, order=order)
    tensor = read_by(npy_format.read, saved(path, {"a": [stored]})).tensors["a/0"]
    assert (tensor.shape, tensor.dtype) == (array.shape, dtype)
    np.testing.assert_array_equal(as_array(tensor), stored.astype("f4"))


def test_only_small_arrays_are_read_at_once(path):
    tensors = read_by(npy_format.read, saved(path, {"a": [LARGE, BIAS]})).tensors
    assert isinstance(tensors["a/0"], FileTensor)
    assert isinstance(tensors["a/1"], ArrayTensor)


def test_values_that_are_not_arrays_are_left_out(path):
    value = {"a": [KERNEL, None, BIAS], "epoch": 3, "b": {"weights": KERNEL}}
    assert list(read_by(npy_format.read, saved(path, value)).tensors) == ["a/0", "a/2", "b/weights"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            lambda path: path.write_bytes(npy_bytes(KERNEL)), r"an array with the header .*'<f4'", id="an array"
        ),
        pytest.param(lambda path: saved(path, [KERNEL]), "a dict of arrays, found another pickled object", id="a list"),
        pytest.param(npy(pickle.dumps(None)), "a dict of arrays, found another pickled object", id="nothing"),
        pytest.param(
            lambda path: saved(path, {"a": [np.array(["x"])]}), "arrays of numbers, found one with dtype <U1", id="text"
        ),
        pytest.param(lambda path: path.write_bytes(NPY_HEADER[:40]), "expected a dict", id="a header cut short"),
    ],
)
def test_refuses(path, write, message):
    write(path)
    with pytest.raises(WeightsError, match=message):
        for tensor in read_by(npy_format.read, path).tensors.values():
            as_array(tensor)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        pytest.param(10, "an array is damaged .cannot reshape array of size 10 into shape", id="in memory"),
        pytest.param(LONG + 8, f"an array of {LONG + 7} bytes is stored in {LONG + 8} bytes", id="in the file"),
    ],
)
def test_a_shape_that_does_not_fit_its_bytes_is_refused(path, size, message):
    data = saved(path, {"a": [np.zeros(size, "u1")]}).read_bytes()
    shape, other = (pickle.dumps((length,), 2)[2:-3] for length in (size, size - 1))
    assert data.count(shape) == 1
    path.write_bytes(data.replace(shape, other))
    with pytest.raises(WeightsError, match=message):
        read_by(npy_format.read, path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive(path, save):
    """In C and in Fortran order, of several types; nothing in it is evaluated."""
    stored = {
        "conv1_1_W": np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2),
        "fc6_W": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "fc6_b": np.arange(3, dtype="<f2"),
        "scalar": np.float64(3),
    }
    with path.open("wb") as file:
        save(file, **stored)
    tensors = read_by(npy_format.read_archive, path).tensors
    assert list(tensors) == list(stored)
    for name, array in stored.items():
        assert tensors[name].shape == array.shape
        np.testing.assert_array_equal(as_array(tensors[name]), array)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_bytes(np.zeros(4, np.float32))[:-8], r"does not have the size that its shape|an array is damaged"),
        (b"no array", "a member of the archive is not a .npy array"),
        (npy_bytes(np.array(["text"])), "expected arrays of numbers, found one with"),
        (NPY_HEADER + b"cos\nsystem\n(S'true'\ntR.", "expected arrays of numbers, found one with dtype"),
        (npy_bytes(np.zeros(4, complex)), "expected arrays of numbers, found one with"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a .npy array"),
    ],
)
def test_an_archive_with_something_else_is_refused(path, content, message, compression):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(WeightsError, match=message):
        read_by(npy_format.read_archive, path)


@pytest.fixture
def packed(path):
    """A compressed archive of two arrays of 8 MB each, and its tensors."""
    stored = {name: np.random.default_rng(seed).random((1000, 2000)).astype("<f4") for seed, name in enumerate("ab")}
    with path.open("wb") as file:
        np.savez_compressed(file, **stored)
    return stored, read_by(npy_format.read_archive, path).tensors


def test_compressed_arrays_are_unpacked_when_they_are_read(packed):
    stored, tensors = packed
    unpacking = tensors["a"].unpacking
    assert unpacking.array.size == 0
    rows = np.empty((400, 2000), np.float32)
    for start in (600, 200):
        tensors["a"].read_into(rows, start)
        np.testing.assert_array_equal(rows, stored["a"][start : start + 400])
    assert unpacking.array.nbytes == stored["a"].nbytes  # of the file's two arrays, one
    tensors["b"].read_into(rows, 0)
    np.testing.assert_array_equal(rows, stored["b"][:400])
    assert unpacking.array.nbytes == stored["b"].nbytes
    tensors["b"].read_into(rows, 0)
    tensors["b"].read_into(rows, 0)
    assert unpacking.array.size == 0  # All rows were read.


def test_a_kernel_of_a_compressed_archive_is_unpacked_once(packed, monkeypatch):
    """However many threads read it, and in whatever order."""
    stored, tensors = packed
    calls = []
    unpacked = npy_format._Unpacking._unpacked
    monkeypatch.setattr(
        npy_format._Unpacking, "_unpacked", lambda *args: calls.append(args[1].member) or unpacked(*args)
    )
    monkeypatch.setattr(kernels, "BLOCK", 1 << 16)
    for name in "ab":
        axes = kernels.Axes.of_matrix(tensors[name], "HWIO", 1000)
        np.testing.assert_array_equal(kernels.read_kernel(tensors[name], axes, "HWIO")[0, 0], stored[name])
    assert calls == ["a.npy", "b.npy"]


def test_a_compressed_array_that_is_damaged_is_refused_when_it_is_read(packed, path):
    _, tensors = packed
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 255
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="the zip archive is damaged"):
        as_array(tensors["a"])
    np.testing.assert_array_equal(as_array(tensors["b"]), packed[0]["b"])


def test_a_list_of_arrays_in_many_layers_counts_each_time(path, monkeypatch):
    monkeypatch.setattr(budget, "OBJECTS", 5000)
    shared = [None] * 1000
    with pytest.raises(WeightsError, match="would take over 5,000 objects"):
        read_by(npy_format.read, saved(path, {str(number): shared for number in range(10)}))
