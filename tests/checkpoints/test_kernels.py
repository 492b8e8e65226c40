"""Kernels come out of a file with their axes in the order that is wanted, however they lie in it."""

import itertools
import pathlib

import numpy as np
import pytest
from paths import ROOT

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.kernels import BLOCK, Axes, read_kernel
from vggfcn.checkpoints.tensors import ArrayTensor, FileFormat, file_tensor
from vggfcn.memory import ALIGNMENT
from vggfcn.networks.dialects import DIALECTS

SIZES = {"H": 2, "W": 2, "I": 5, "O": 7}
# By the letters of its axes.
KERNEL = np.random.default_rng(0).standard_normal(tuple(SIZES.values()), np.float32)


def laid_out(letters):
    """The kernel with its axes in another order, C-contiguous."""
    return np.ascontiguousarray(KERNEL.transpose(["HWIO".index(letter) for letter in letters]))


def in_file(folder, array, order=None):
    path = folder / "kernel"
    path.write_bytes(array.tobytes())
    shape = array.shape if order is None else tuple(array.shape[order.index(axis)] for axis in range(array.ndim))
    return file_tensor(path, 0, shape, "<f4", order)


@pytest.mark.parametrize("letters", ["".join(letters) for letters in itertools.permutations("HWIO")])
def test_four_axes_in_any_order(tmp_path, letters):
    tensor = in_file(tmp_path, laid_out(letters))
    axes = Axes.of_four(tensor, letters)
    assert axes.sizes_of("OI") == (7, 5)
    np.testing.assert_array_equal(read_kernel(tensor, axes, "HWIO"), KERNEL)


@pytest.mark.parametrize("letters", ["HWIO", "OIHW", "OHWI"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["rows", "columns"])
def test_a_dense_kernel_is_that_of_a_flattened_map(tmp_path, letters, order):
    flat = laid_out(letters).reshape((-1, 7) if letters.endswith("O") else (7, -1))
    tensor = in_file(tmp_path, np.ascontiguousarray(flat.transpose(order)), order)
    assert tensor.shape == flat.shape
    np.testing.assert_array_equal(read_kernel(tensor, Axes.of_matrix(tensor, letters, 5), "HWIO"), KERNEL)


def test_a_dense_kernel_over_no_square_map_is_one_over_a_vector(tmp_path):
    tensor = in_file(tmp_path, np.zeros((7, 20), np.float32))
    assert Axes.of_matrix(tensor, "OIHW", 3).sizes_of("HWIO") == (1, 1, 20, 7)


@pytest.mark.parametrize("letters", ["HWIO", "OIHW"])
def test_an_array_of_several_parts_is_whole_and_aligned(letters):
    """More than a thread reads at a time."""
    values = np.arange(3 * BLOCK // 4, dtype=np.float32).reshape(-1, 1, 1, 4)
    tensor = ArrayTensor(pathlib.Path("x"), values, (0, 1, 2, 3))
    found = read_kernel(tensor, Axes.of_four(tensor, letters), "HWIO")
    expected = values.transpose([letters.index(letter) for letter in "HWIO"])
    assert found.flags.c_contiguous
    assert found.ctypes.data % ALIGNMENT == 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("letters", ["HWIO", "OIHW"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_kernel(tmp_path, letters, value):
    array = laid_out(letters)
    array[-1, -1, -1, -1] = value
    tensor = in_file(tmp_path, array)
    assert read_kernel(tensor, Axes.of_four(tensor, letters), "HWIO") is None


def test_every_format_is_some_distributions():
    assert {one for dialect in DIALECTS for one in dialect.formats} == set(FileFormat)
    assert f"{FileFormat.KERAS_3_HDF5}" == "Keras 3 HDF5"


def test_what_to_do_with_a_damaged_file_is_said_in_one_place():
    assert str(damaged("x.h5", "ends too early")) == "x.h5: ends too early; download the file again"
    package = ROOT / "vggfcn"
    assert [path.name for path in package.rglob("*.py") if "download the file again" in path.read_text()] == [
        "damage.py"
    ]
