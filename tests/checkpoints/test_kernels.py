"""Kernels are read with their axes in the wanted order, whatever their order in the file."""

import itertools
import pathlib

import numpy as np
import pytest

from vggfcn.checkpoints import kernels
from vggfcn.checkpoints.kernels import Axes, read_kernel
from vggfcn.checkpoints.tensors import ArrayTensor, file_tensor
from vggfcn.memory import ALIGNMENT

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
def test_a_dense_kernel_is_one_over_a_flattened_map(tmp_path, monkeypatch, letters, order):
    monkeypatch.setattr(kernels, "BLOCK", 64)
    flat = laid_out(letters).reshape((-1, 7) if letters.endswith("O") else (7, -1))
    tensor = in_file(tmp_path, np.ascontiguousarray(flat.transpose(order)), order)
    assert tensor.shape == flat.shape
    np.testing.assert_array_equal(read_kernel(tensor, Axes.of_matrix(tensor, letters, 5), "HWIO"), KERNEL)


def test_inputs_that_are_not_a_square_map_are_a_vector(tmp_path):
    tensor = in_file(tmp_path, np.zeros((7, 20), np.float32))
    assert Axes.of_matrix(tensor, "OIHW", 3).sizes_of("HWIO") == (1, 1, 20, 7)


@pytest.mark.parametrize("letters", ["HWIO", "OIHW"])
@pytest.mark.parametrize("shape", [(3000, 1, 1, 4), (300, 700, 3, 2)], ids=["many rows", "rows longer than a cache"])
def test_an_array_of_several_blocks_is_whole_and_aligned(monkeypatch, letters, shape):
    """Blocks are what a thread reads at a time."""
    monkeypatch.setattr(kernels, "BLOCK", 1 << 14)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert values.nbytes > 2 * kernels.BLOCK
    tensor = ArrayTensor(pathlib.Path("x"), values, (0, 1, 2, 3))
    kernel = read_kernel(tensor, Axes.of_four(tensor, letters), "HWIO")
    assert kernel.flags.c_contiguous
    assert kernel.ctypes.data % ALIGNMENT == 0
    np.testing.assert_array_equal(kernel, values.transpose([letters.index(letter) for letter in "HWIO"]))


@pytest.mark.parametrize("letters", ["HWIO", "OIHW"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_kernel_with_infinite_or_undefined_numbers_is_refused(tmp_path, monkeypatch, letters, value):
    monkeypatch.setattr(kernels, "BLOCK", 64)
    array = laid_out(letters)
    array[-1, -1, -1, -1] = value
    tensor = in_file(tmp_path, array)
    assert read_kernel(tensor, Axes.of_four(tensor, letters), "HWIO") is None
