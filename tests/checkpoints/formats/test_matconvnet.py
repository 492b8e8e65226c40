"""MatConvNet's files give the arrays, the mean colour and the class names that SciPy or MATLAB wrote."""

import struct

import numpy as np
import pytest
import scipy.io
from format_writers import cell
from raw_formats import compressed_element, mat, mat_array, mat_element
from reader_calls import read_by

from vggfcn.checkpoints import budget
from vggfcn.checkpoints.formats import matconvnet
from vggfcn.checkpoints.tensors import ArrayTensor, FileFormat, FileTensor, as_array
from vggfcn.errors import WeightsError

KERNEL = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
BIAS = np.float32([[1], [2]])
LAYER = {"name": "conv1_1", "type": "conv", "weights": cell([KERNEL, BIAS])}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.mat"


def saved(path, compressed=True, **variables):
    with path.open("wb") as file:
        scipy.io.savemat(file, variables, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "uncompressed"])
@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(LAYER, id="weights"),
        pytest.param({"name": "conv1_1", "filters": KERNEL, "biases": BIAS}, id="filters and biases of old files"),
    ],
)
def test_arrays_are_named_by_layer_and_position(path, layer, compressed):
    saved(path, compressed, layers=cell([{"name": "relu", "type": "relu"}, layer]))
    container = read_by(matconvnet.read, path)
    assert (container.format, list(container.tensors)) == (FileFormat.MAT, ["conv1_1/0", "conv1_1/1"])
    tensor = container.tensors["conv1_1/0"]
    assert isinstance(tensor, ArrayTensor if compressed else FileTensor)
    assert (tensor.shape, tensor.order) == (KERNEL.shape, (3, 2, 1, 0))
    np.testing.assert_array_equal(as_array(tensor), KERNEL)
    np.testing.assert_array_equal(as_array(container.tensors["conv1_1/1"]), BIAS)


@pytest.mark.parametrize("dtype", ["<f8", "<i2", "|u1"])
def test_numbers_of_other_types(path, dtype):
    layer = {"name": "a", "weights": cell([KERNEL.astype(dtype)])}
    tensor = read_by(matconvnet.read, saved(path, layers=cell([layer]))).tensors["a/0"]
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(as_array(tensor), KERNEL)


def struct_of(**fields):
    names = b"".join(name.encode().ljust(32, b"\0") for name in fields)
    return mat_array(2, (1, 1), struct.pack("<HHI", 5, 4, 32), mat_element(1, names), *fields.values())


def test_a_double_array_may_be_stored_as_small_integers(path):
    """As MATLAB does; four bytes or fewer lie in the element's tag."""
    small = struct.pack("<HHBBxx", 2, 2, 7, 9)
    text = mat_array(4, (1, 2), mat_element(16, b"fc"))
    layer = struct_of(name=text, weights=mat_array(1, (1, 1), mat_array(6, (1, 2), small)))
    mat(mat_array(1, (1, 1), layer, name=b"layers"))(path)
    tensor = read_by(matconvnet.read, path).tensors["fc/0"]
    assert tensor.dtype == "|u1"
    np.testing.assert_array_equal(as_array(tensor), [[7, 9]])


def test_the_mean_colour_and_the_class_names(path):
    meta = {
        "normalization": {"averageImage": np.array([[[1.0, 2.0, 3.0]]])},
        "classes": {"description": cell(["cat", "dog"])},
    }
    container = read_by(matconvnet.read, saved(path, layers=cell([LAYER]), meta=meta))
    assert (container.preprocessing.mean, container.preprocessing.std) == ((1, 2, 3), (1, 1, 1))
    assert container.labels == ("cat", "dog")


def test_a_file_without_them_states_nothing(path):
    container = read_by(matconvnet.read, saved(path, layers=cell([LAYER])))
    assert (container.preprocessing, container.labels) == (None, None)


def big_endian(path):
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            lambda path: saved(
                path, layers=cell([LAYER]), meta={"normalization": {"averageImage": np.zeros((4, 4, 3))}}
            ),
            r"expected a mean colour, found a mean image of shape \(4, 4, 3\)",
            id="a mean image",
        ),
        pytest.param(
            lambda path: saved(path, net=np.zeros(3), x=np.zeros(3)),
            "expected a MatConvNet network with a variable 'layers', found 'net', 'x'",
            id="other variables",
        ),
        pytest.param(big_endian, "expected a little-endian MATLAB 5 file; save it again with -v7", id="big-endian"),
        pytest.param(mat(mat_element(15, b"not zlib")), "Error -3 while decompressing data", id="bad compression"),
        pytest.param(
            mat(mat_array(7, (2, 2), mat_element(7, bytes(12)))),
            "an array of 16 bytes is stored in 12 bytes",
            id="too few numbers",
        ),
        pytest.param(mat(mat_array(2, (1, 1), mat_element(5, bytes(4)))), "damaged", id="a struct without names"),
        pytest.param(mat(compressed_element(b"\0" * 7)), "damaged or truncated", id="a compressed rest"),
        pytest.param(mat(compressed_element(bytes(999))[:-3]), "damaged or truncated", id="compressed data cut short"),
        pytest.param(
            mat(struct.pack("<II", 15, 12) + compressed_element(bytes(999))[8:20]),
            "compressed data ends too early",
            id="compressed data without its end",
        ),
        pytest.param(
            mat(mat_element(14, mat_element(6, bytes(8)) + mat_element(5, bytes(36)) + mat_element(1, b""))),
            "an array has 9 axes",
            id="too many axes",
        ),
        pytest.param(
            lambda path: saved(path, layers=cell([{**LAYER, "stride": np.ones((9, 1))}])),
            "has 9 numbers where a network has up to 8",
            id="a stride of many numbers",
        ),
        pytest.param(
            lambda path: saved(path, layers=cell([{**LAYER, "name": "x" * 1000}])),
            "an array has a name of 1,001 characters",
            id="a long name",
        ),
    ],
)
def test_refuses(path, write, message):
    write(path)
    with pytest.raises(WeightsError, match=message):
        read_by(matconvnet.read, path)


def test_compressed_variables_add_up(path, monkeypatch):
    """Each is within the budget, but not all of them together."""
    monkeypatch.setattr(budget, "ROOM", 3_000_000)
    mat(*[compressed_element(mat_array(7, (500_000, 1), mat_element(7, bytes(2_000_000)), name=b"x"))] * 2)(path)
    with pytest.raises(WeightsError, match="it would take over 2 MiB beyond twice its size"):
        read_by(matconvnet.read, path)
    mat(compressed_element(mat_array(7, (500_000, 1), mat_element(7, bytes(2_000_000)), name=b"x")))(path)
    with pytest.raises(WeightsError, match="expected a MatConvNet network with a variable 'layers', found 'x'"):
        read_by(matconvnet.read, path)
