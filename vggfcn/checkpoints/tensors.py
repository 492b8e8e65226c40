"""What every reader returns: the named arrays of a weight file, still unread, and what the file states about them."""

import dataclasses
import enum
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.steps import Outline, Step
from vggfcn.errors import WeightsError
from vggfcn.files import open_regular

Shape = tuple[int, ...]
# Arrays may take up to this many times the file's size in memory; anything larger is a decompression bomb.
EXPANSION = 32
MAX_DIMENSIONS = 8
# NumPy has no bfloat16, which is the upper half of a float32.
BFLOAT16 = "bfloat16"
FLOATS = {BFLOAT16, "<f2", "<f4", "<f8", ">f2", ">f4", ">f8"}
NUMBERS = FLOATS | {f"{order}{kind}" for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8")}
NUMBERS |= {"|b1", "|i1", "|u1"}


class Span(NamedTuple):
    """A run of bytes that stays in the file."""

    offset: int
    size: int


class Tensor(Protocol):
    """An array in a file: its shape, its dtype, the order in which its axes are stored (slowest first), its numbers."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> str: ...

    @property
    def order(self) -> tuple[int, ...]: ...

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`, a float32 array with the axes in the file's order, from row `start` on.

        Raises `WeightsError` if they cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class FileTensor:
    """An array stored in a file without gaps, from the byte `offset` on.

    `dtype` is NumPy's name with the byte order, such as "<f4", or "bfloat16". Raises `WeightsError` if the file ends
    before the array does, or if the dtype is not numeric.
    """

    path: pathlib.Path
    offset: int
    shape: Shape
    dtype: str
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        check_shape(self.path, self.shape)
        check_dtype(self.path, self.dtype)
        end, size = self.offset + self.nbytes, self.path.stat().st_size
        if self.offset < 0 or end > size:
            raise damaged(self.path, f"an array ends at byte {end}, but the file at byte {size}")

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return itemsize(self.dtype)

    @property
    def nbytes(self) -> int:
        """Size of the array in the file, in bytes."""
        return self.itemsize * count(self.shape)

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`; see `Tensor`."""
        row_size = count(rows.shape[1:])
        with reading(self.path), open_regular(self.path) as file:
            file.seek(self.offset + start * row_size * self.itemsize)
            if self.dtype == "<f4":
                fill(self.path, file, rows)
                return
            raw = np.empty(rows.shape, stored_dtype(self.dtype))
            fill(self.path, file, raw)
            rows[...] = numbers(raw, self.dtype)


@dataclasses.dataclass(frozen=True)
class ArrayTensor:
    """An array that is already in memory, its axes in the file's order."""

    path: pathlib.Path
    array: np.ndarray
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        check_shape(self.path, self.array.shape)
        check_dtype(self.path, self.dtype)

    @property
    def shape(self) -> Shape:
        """The shape, with the axes in logical and not in stored order."""
        return tuple(self.array.shape[self.order.index(axis)] for axis in range(self.array.ndim))

    @property
    def dtype(self) -> str:
        """NumPy's name of the dtype, such as "<f4"."""
        return self.array.dtype.str

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`; see `Tensor`."""
        rows[...] = self.array[start : start + len(rows)] if self.array.ndim else self.array


class FileFormat(str, enum.Enum):
    """The file formats; the values are shown to users."""

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
    """The unread arrays of a file under the file's own names, without any interpretation.

    `preprocessing` and `labels` (class names) are None where the file does not state them; `preprocessing_reason` says
    where the preprocessing comes from. `steps` is what the file says that the network computes, `outline` which layers
    it lists; they are None where the format has nothing of the kind. `is_model` tells whether Keras can load the file
    as a model.
    """

    path: pathlib.Path
    format: FileFormat
    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing | None = None
    preprocessing_reason: str = "stated in the file"
    labels: tuple[str, ...] | None = None
    steps: Sequence[Step] | None = None
    outline: Outline | None = None
    is_model: bool = False


def file_tensor(
    path: pathlib.Path, offset: int, shape: Shape, dtype: str, order: tuple[int, ...] | None = None
) -> FileTensor:
    """A `FileTensor`; axes are in C order unless `order` says otherwise."""
    return FileTensor(path, offset, tuple(shape), dtype, order or tuple(range(len(shape))))


def check_shape(path: pathlib.Path, shape: Shape) -> None:
    """Raise `WeightsError` for a shape that weights cannot have."""
    if len(shape) > MAX_DIMENSIONS or not all(0 < size < 1 << 40 for size in shape):
        found = shape if len(shape) <= MAX_DIMENSIONS else f"of {len(shape):,} axes"
        raise damaged(path, f"an array has the impossible shape {found}")


def check_dtype(path: pathlib.Path, dtype: str) -> None:
    """Raise `WeightsError` for a dtype that is not numeric."""
    if dtype not in NUMBERS:
        raise WeightsError(f"{path}: expected arrays of numbers, found one with dtype {dtype}")


def count(shape: Shape) -> int:
    """The number of elements, as a Python integer, which cannot overflow."""
    total = 1
    for size in shape:
        total *= int(size)
    return total


def stored_dtype(dtype: str) -> str:
    """NumPy's name of the dtype in which numbers are read: that of the bits for bfloat16."""
    return "<u2" if dtype == BFLOAT16 else dtype


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return np.dtype(stored_dtype(dtype)).itemsize


def numbers(raw: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers in an array that was read as `stored_dtype`."""
    return (raw.astype(np.uint32) << 16).view(np.float32) if dtype == BFLOAT16 else raw


def as_array(tensor: Tensor) -> np.ndarray:
    """Read a whole tensor as a float32 array of the tensor's shape."""
    stored = np.empty([tensor.shape[axis] for axis in tensor.order], np.float32)
    tensor.read_into(stored, 0)
    return stored.transpose(np.argsort(tensor.order)) if tensor.order else stored


def is_finite(array: np.ndarray) -> bool:
    """Whether every number is finite."""
    # A finite sum means finite numbers, and needs no temporary array; only an overflowing sum needs the second test.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def fill(path: pathlib.Path, file: io.BufferedReader, array: np.ndarray) -> None:
    """Read all of an array in C order from the current position; raises `WeightsError` if the file ends before."""
    remaining = array.reshape(-1).view(np.uint8).data
    while remaining:
        read = file.readinto(remaining[: 1 << 30])
        if not read:
            raise damaged(path, "the file ends in the middle of an array")
        remaining = remaining[read:]
