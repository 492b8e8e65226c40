"""Arrays come out of a file as NumPy wrote them, and arrays that a file cannot hold are refused."""

import math
import os
import pathlib
import struct

import numpy as np
import pytest

from vggfcn.checkpoints.tensors import (
    BFLOAT16,
    MAX_DIMENSIONS,
    NUMBERS,
    ArrayTensor,
    FileFormat,
    FileTensor,
    as_array,
    check_shape,
    count,
    file_tensor,
    is_finite,
)
from vggfcn.errors import WeightsError

VALUES = np.array([[0, 1, 2], [40, 50, 127]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w"


@pytest.mark.parametrize("dtype", sorted(NUMBERS - {BFLOAT16, "|b1"}))
def test_numbers_of_every_type_become_float32(path, dtype):
    path.write_bytes(VALUES.astype(dtype).tobytes())
    array = as_array(file_tensor(path, 0, (2, 3), dtype))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VALUES)


def test_bfloat16_is_the_upper_half_of_a_float32(path):
    path.write_bytes(struct.pack("<4H", 0x3F80, 0xC040, 0x0000, 0x7F80))
    np.testing.assert_array_equal(as_array(file_tensor(path, 0, (4,), BFLOAT16)), [1, -3, 0, np.inf])


def test_axes_may_be_stored_in_another_order(path):
    expected = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    path.write_bytes(b"ab" + expected.transpose(2, 0, 1).tobytes())
    tensor = file_tensor(path, 2, (2, 3, 4), "<f4", (2, 0, 1))
    np.testing.assert_array_equal(as_array(tensor), expected)
    in_memory = ArrayTensor(path, expected.transpose(2, 0, 1), (2, 0, 1))
    assert (in_memory.shape, in_memory.dtype) == ((2, 3, 4), "<f4")
    np.testing.assert_array_equal(as_array(in_memory), expected)


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_some_rows_of_an_array(path, dtype):
    path.write_bytes(np.arange(12, dtype=dtype).tobytes())
    rows = np.empty((2, 3), np.float32)
    file_tensor(path, 0, (4, 3), dtype).read_into(rows, 1)
    np.testing.assert_array_equal(rows, [[3, 4, 5], [6, 7, 8]])
    ArrayTensor(path, np.arange(12).reshape(4, 3), (0, 1)).read_into(rows, 2)
    np.testing.assert_array_equal(rows, [[6, 7, 8], [9, 10, 11]])


def test_a_scalar(path):
    path.write_bytes(struct.pack("<d", 2.5))
    assert as_array(file_tensor(path, 0, (), "<f8")) == 2.5


@pytest.mark.parametrize(
    ("offset", "shape", "dtype", "message"),
    [
        pytest.param(0, (3,), "<f4", "an array ends at byte 12, but the file at byte 8; download", id="beyond the end"),
        pytest.param(4, (2,), "<f4", "an array ends at byte 12, but the file at byte 8", id="beyond, from an offset"),
        pytest.param(-4, (1,), "<f4", "an array ends at byte 0", id="before the beginning"),
        pytest.param(0, (2**33, 2**33), "<f4", f"an array ends at byte {2**68}", id="a size that overflows 64 bits"),
        pytest.param(0, (2,), "|S3", "expected arrays of numbers, found one with dtype |S3", id="text"),
        pytest.param(0, (1,), "<c8", "expected arrays of numbers, found one with dtype <c8", id="complex numbers"),
        pytest.param(0, (0,), "<f4", r"impossible shape (0,)", id="an empty array"),
        pytest.param(0, (-1,), "<f4", r"impossible shape (-1,)", id="a negative size"),
        pytest.param(0, (1,) * (MAX_DIMENSIONS + 1), "|u1", "impossible shape", id="too many axes"),
        pytest.param(0, (1 << 40,), "|u1", "impossible shape", id="a gigantic size"),
    ],
)
def test_refuses(path, offset, shape, dtype, message):
    path.write_bytes(bytes(8))
    with pytest.raises(WeightsError) as error:
        FileTensor(path, offset, shape, dtype, tuple(range(len(shape))))
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_file_that_shrinks_after_it_was_opened_is_refused(path):
    path.write_bytes(bytes(400))
    tensor = file_tensor(path, 0, (100,), "<f4")
    path.write_bytes(bytes(300))
    with pytest.raises(WeightsError, match="the file ends in the middle of an array"):
        as_array(tensor)


def test_arrays_in_memory_are_checked_too():
    check_shape(pathlib.Path("w"), (1,) * MAX_DIMENSIONS)
    with pytest.raises(WeightsError, match=r"w: an array has the impossible shape \(3, 0\)"):
        ArrayTensor(pathlib.Path("w"), np.zeros((3, 0)), (0, 1))
    with pytest.raises(WeightsError, match=r"w: expected arrays of numbers, found one with dtype <U1"):
        ArrayTensor(pathlib.Path("w"), np.array(["x"]), (0,))


def test_a_number_of_elements_does_not_overflow():
    assert count((np.int32(2**16), np.int32(2**17), 2**33)) == 2**66
    assert count(()) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, -2], True, id="ordinary numbers"),
        pytest.param([3e38, 3e38], True, id="finite numbers whose sum is not"),
        pytest.param([1, math.nan], False, id="a number that is none"),
        pytest.param([math.inf, 1], False, id="infinity"),
        pytest.param([math.inf, -math.inf], False, id="infinities that cancel out"),
    ],
)
def test_is_finite(values, expected):
    assert is_finite(np.array(values, np.float32)) is expected


def test_a_file_format_prints_as_its_name():
    assert f"{FileFormat.KERAS_3_HDF5}" == "Keras 3 HDF5"
    assert FileFormat("torch zip") is FileFormat.TORCH_ZIP


def test_an_array_is_read_behind_the_boundary(path):
    path.write_bytes(bytes(8))
    tensor = file_tensor(path, 0, (2,), "<f4")
    path.unlink()
    with pytest.raises(WeightsError, match="w: no such weight file"):
        as_array(tensor)
    os.mkfifo(path)
    with pytest.raises(WeightsError, match=r"w: .*found a pipe"):
        as_array(tensor)


def test_a_shape_of_many_axes_is_not_written_out():
    with pytest.raises(WeightsError, match="an array has the impossible shape of 300,000 axes; download"):
        check_shape(pathlib.Path("w"), (1,) * 300_000)
