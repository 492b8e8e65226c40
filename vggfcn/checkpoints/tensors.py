"""What a weight file gives: named arrays that still lie in it, and what it says about them."""

import dataclasses
import enum
import io
import pathlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError

Shape = tuple[int, ...]
# An array may take this many times the room in memory that its file takes on disk; more is a decompression bomb.
EXPANSION = 32
MAX_DIMENSIONS = 8
# NumPy has no bfloat16: the upper half of a float32.
BFLOAT16 = "bfloat16"
FLOATS = {BFLOAT16, "<f2", "<f4", "<f8", ">f2", ">f4", ">f8"}
NUMBERS = FLOATS | {f"{order}{kind}" for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8")}
NUMBERS |= {"|b1", "|i1", "|u1"}


@dataclasses.dataclass(frozen=True)
class Span:
    """Bytes in the file that were not read."""

    offset: int
    size: int


class Tensor(Protocol):
    """An array in a file: its shape, the order in which its axes lie there (slowest first), and its numbers."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> str: ...

    @property
    def order(self) -> tuple[int, ...]: ...

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows`, float32 with the axes in the file's order, with those from `start` on along the slowest."""


@dataclasses.dataclass(frozen=True)
class FileTensor:
    """Numbers that lie in a file one after another, from the byte `offset` on.

    `dtype` is NumPy's name with the byte order, such as "<f4", or "bfloat16". Raises `WeightsError` if the file ends
    before the array does, or if the dtype is no number's.
    """

    path: pathlib.Path
    offset: int
    shape: Shape
    dtype: str
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        check_shape(self.path, self.shape)
        if self.dtype not in NUMBERS:
            raise WeightsError(f"{self.path}: expected arrays of numbers, found one of {self.dtype}")
        end, size = self.offset + self.nbytes, self.path.stat().st_size
        if self.offset < 0 or end > size:
            raise damaged(self.path, f"an array ends at byte {end}, the file at {size}")

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes in the file."""
        return self.itemsize * count(self.shape)

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows`, see `Tensor`."""
        step = count(rows.shape[1:])
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset + start * step * self.itemsize)
            if self.dtype == "<f4":
                _fill(self.path, file, rows)
                return
            raw = np.empty(rows.shape, "<u2" if self.dtype == BFLOAT16 else self.dtype)
            _fill(self.path, file, raw)
        rows[...] = (raw.astype(np.uint32) << 16).view(np.float32) if self.dtype == BFLOAT16 else raw


@dataclasses.dataclass(frozen=True)
class ArrayTensor:
    """An array that is in memory already, its axes in the order in which the file has them."""

    path: pathlib.Path
    array: np.ndarray
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        check_shape(self.path, self.array.shape)

    @property
    def shape(self) -> Shape:
        """The shape, its axes as they are counted and not as they lie."""
        return tuple(self.array.shape[self.order.index(axis)] for axis in range(self.array.ndim))

    @property
    def dtype(self) -> str:
        """The array's dtype, as NumPy writes it."""
        return self.array.dtype.str

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows`, see `Tensor`."""
        rows[...] = self.array[start : start + len(rows)]


class FileFormat(str, enum.Enum):
    """The kinds of files; the values are what people are told."""

    KERAS_HDF5 = "Keras HDF5"
    KERAS_3_HDF5 = "Keras 3 HDF5"
    TORCH_ZIP = "torch zip"
    TORCH_LEGACY = "torch legacy"
    NPY = "npy"
    SAFETENSORS = "safetensors"
    CAFFEMODEL = "caffemodel"
    MAT = "mat"
    ONNX = "onnx"

    def __str__(self) -> str:
        return self.value  # Python 3.10 has no StrEnum.


@dataclasses.dataclass(frozen=True)
class Container:
    """The arrays of a file under the names they have there, not yet read; nothing is known of their meaning.

    `preprocessing`, `color_order` ("RGB" or "BGR") and `labels` (class names) are given
    where the file states them.
    """

    path: pathlib.Path
    format: FileFormat
    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing | None = None
    color_order: str | None = None
    labels: tuple[str, ...] | None = None


def file_tensor(
    path: pathlib.Path, offset: int, shape: Shape, dtype: str, order: tuple[int, ...] | None = None
) -> FileTensor:
    """A `FileTensor`, by default in C order."""
    return FileTensor(path, offset, tuple(shape), dtype, order or tuple(range(len(shape))))


def check_shape(path: pathlib.Path, shape: Shape) -> None:
    """Raise `WeightsError` for a shape that no weights have."""
    if len(shape) > MAX_DIMENSIONS or not all(0 < size < 1 << 40 for size in shape):
        raise damaged(path, f"an array has the impossible shape {shape}")


def count(shape: Shape) -> int:
    """Number of elements, as a Python integer that cannot overflow."""
    total = 1
    for size in shape:
        total *= int(size)
    return total


def as_array(tensor: Tensor) -> np.ndarray:
    """A tensor as float32, in its own shape."""
    stored = np.empty([tensor.shape[axis] for axis in tensor.order], np.float32)
    tensor.read_into(stored, 0)
    return stored.transpose(np.argsort(tensor.order)) if tensor.order else stored


def is_finite(array: np.ndarray) -> bool:
    """Whether every number is finite."""
    # Then so is the sum, unless it overflows; a sum takes no memory.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def _fill(path: pathlib.Path, file: io.RawIOBase, array: np.ndarray) -> None:
    left = array.reshape(-1).view(np.uint8).data
    while left:
        got = file.readinto(left[: 1 << 30])
        if not got:
            raise damaged(path, "ends in the middle of an array")
        left = left[got:]
