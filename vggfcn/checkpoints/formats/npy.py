"""Reads NumPy's `.npy` files with a pickled dict, and `.npz` archives.

The `vgg16.npy` of tensorflow-vgg and tensorflow-fcn is NumPy's header followed by the pickle of an array of objects.
Its one element is a dict: layer name -> [kernel, bias]. In MMdnn's, a layer is a dict of "weights" and "bias".
`pickles.machine` reads the pickle as data, and large arrays stay in the file until they are needed.

A `.npz` is a zip archive of `.npy` members: Frossard's `vggNN_weights.npz` has `conv1_1_W`, `conv1_1_b`, `fc6_W`, ...
"""

import dataclasses
import pathlib
import re
import threading
import zipfile
from typing import IO, Any

import numpy as np

from vggfcn.checkpoints import zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickles.machine import PickleReader
from vggfcn.checkpoints.pickles.records import Array, Dtype
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.tensors import (
    ArrayTensor,
    Container,
    FileFormat,
    Shape,
    Span,
    Tensor,
    check_dtype,
    check_shape,
    count,
    file_tensor,
)
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

ARCHIVE_SUFFIX = ".npy"
SIGNATURE = b"\x93NUMPY"
MAX_HEADER = 1 << 12
_BLOCK = 1 << 20


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays of the pickled dict, named "<layer>/0" (kernel) and "<layer>/1" (bias), or as in MMdnn's dicts."""
    with open_regular(path) as file:
        _skip_header(path, file)
        pickled = PickleReader(file, budget.size, budget).run()
    layers = pickled.data[0] if isinstance(pickled, Array) and isinstance(pickled.data, list) and pickled.data else None
    if not isinstance(layers, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found another pickled object")
    tensors = {}
    for layer, arrays in layers.items():
        for name, array in _named(arrays, budget):
            tensors[budget.name(layer, name)] = _tensor(path, array)
    return Container(path, FileFormat.NPY, tensors)


def read_archive(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays of a `.npz`, under the names of its members.

    A member is a `.npy` of plain numbers; one of objects would be a pickle and is refused.
    """
    tensors: dict[str, Tensor] = {}
    unpacking = _Unpacking(path)
    with zip_members.open_archive(path) as archive:
        for member in archive.infolist():
            budget.spend()
            name = budget.name(member.filename.removesuffix(ARCHIVE_SUFFIX))
            if member.compress_type == zipfile.ZIP_STORED:
                tensors[name] = _stored(path, member)
            else:
                with archive.open(member) as file:
                    shape, dtype, order = _header(path, file)
                    start = file.tell()
                check_shape(path, shape)
                check_dtype(path, dtype)
                _check_size(path, name, shape, dtype, member.file_size - start)
                tensors[name] = PackedTensor(unpacking, member.filename, start, shape, dtype, order)
    return Container(path, FileFormat.NPY, tensors)


def _stored(path: pathlib.Path, member: zipfile.ZipInfo) -> Tensor:
    start, size = zip_members.stored_span(path, member)
    with open_regular(path) as file:
        file.seek(start)
        shape, dtype, order = _header(path, file)
        offset = file.tell()
    tensor = file_tensor(path, offset, shape, dtype, order)
    _check_size(path, member.filename.removesuffix(ARCHIVE_SUFFIX), shape, dtype, start + size - offset)
    return tensor


def _check_size(path: pathlib.Path, name: str, shape: Shape, dtype: str, size: int) -> None:
    if count(shape) * np.dtype(dtype).itemsize != size:
        raise damaged(path, f"{shown(name)} does not have the size that its shape {shape} needs")


class _Unpacking:
    """The compressed members of an archive, of which one at a time is in memory, until all its rows have been read."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.lock = threading.Lock()
        self.member, self.array, self.unread = "", np.empty(0), 0

    def rows(self, tensor: "PackedTensor", start: int, rows: int) -> np.ndarray:
        """Some rows of a tensor, in its own dtype."""
        with self.lock:
            if self.member != tensor.member:
                self.member, self.array = "", np.empty(0)
                self.array = self._unpacked(tensor)
                self.member, self.unread = tensor.member, len(self.array)
            found = self.array[start : start + rows]
            self.unread -= rows
            if self.unread <= 0:
                self.member, self.array = "", np.empty(0)
            return found

    def _unpacked(self, tensor: "PackedTensor") -> np.ndarray:
        array = np.empty([tensor.shape[axis] for axis in tensor.order], tensor.dtype)
        with zip_members.open_archive(self.path) as archive, archive.open(tensor.member) as file:
            file.read(tensor.start)
            raw, position = array.reshape(-1).view(np.uint8), 0
            while position < raw.size:
                data = file.read(min(_BLOCK, raw.size - position))
                if not data:
                    raise damaged(self.path, f"{shown(tensor.member)} ends in the middle of an array")
                raw[position : position + len(data)] = np.frombuffer(data, np.uint8)
                position += len(data)
        return np.atleast_1d(array)


@dataclasses.dataclass(frozen=True)
class PackedTensor:
    """An array in a compressed member of an archive, from the byte `start` of the member on."""

    unpacking: _Unpacking
    member: str
    start: int
    shape: Shape
    dtype: str
    order: tuple[int, ...]

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`; see `Tensor`."""
        with reading(self.unpacking.path):
            rows[...] = self.unpacking.rows(self, start, len(rows) if self.shape else 1).reshape(rows.shape)


# Each text matches in one way alone; trying several would take a time that grows without bounds.
_SIZES = rb"(\d{1,12}(?:, ?\d{1,12})*)?,?"
_HEADER = re.compile(
    rb"\s*\{\s*'descr': '([<>|]\w+)',\s*'fortran_order': (True|False),\s*'shape': \(" + _SIZES + rb"\),?\s*\}\s*"
)


def _header(path: pathlib.Path, file: IO[bytes]) -> tuple[Shape, str, tuple[int, ...]]:
    """(shape, dtype, order of the axes) of an array of numbers; the header is matched, never evaluated."""
    start = file.read(len(SIGNATURE) + 2)
    size = int.from_bytes(file.read(2 if start[-2:] == b"\1\0" else 4), "little")
    if not start.startswith(SIGNATURE) or size > MAX_HEADER:
        raise damaged(path, "a member of the archive is not a .npy array")
    found = _HEADER.fullmatch(header := file.read(size))
    if found is None:
        text = shown(header.strip(), 120)
        raise WeightsError(f"{path}: expected arrays of numbers, found one with the header {text}")
    dtype, fortran, sizes = found.groups()
    shape = tuple(int(size) for size in (sizes or b"").replace(b",", b" ").split())
    order = tuple(range(len(shape)))
    return shape, dtype.decode(), order[::-1] if fortran == b"True" else order


def _skip_header(path: pathlib.Path, file: IO[bytes]) -> None:
    """Move to the pickle. NumPy evaluates headers as Python literals; this function only compares bytes."""
    version = file.read(len(SIGNATURE) + 2)[-2:]
    size = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
    if size > MAX_HEADER:
        raise damaged(path, f"expected a header of at most {MAX_HEADER} bytes, found one of {size} bytes")
    header = file.read(size)
    if not (b"'descr': '|O'" in header and b"'shape': ()" in header):
        found = shown(header.strip(), 120)
        raise WeightsError(f"{path}: expected a dict of arrays, found an array with the header {found}")


def _named(arrays: Any, budget: Budget) -> list[tuple[int | str, Array]]:
    """(position or name, array) of a layer's arrays: in their order, or under their names, such as MMdnn's "bias".

    tensorflow-vgg's "weights" and "biases" count as the first and the second.
    """
    if isinstance(arrays, dict) and "biases" in arrays:
        arrays = [arrays.get(name) for name in ("weights", "biases")]
    if not isinstance(arrays, dict | list | tuple):
        return []
    budget.spend(len(arrays))  # The same list may be that of many layers.
    pairs: Any = arrays.items() if isinstance(arrays, dict) else enumerate(arrays)
    return [(name, array) for name, array in pairs if isinstance(array, Array)]


def _tensor(path: pathlib.Path, array: Array) -> Tensor:
    shape, dtype = array.shape, array.dtype
    if not isinstance(dtype, Dtype):
        raise damaged(path, "an array has no dtype")
    order = tuple(range(len(shape)))
    order = order[::-1] if array.fortran else order
    if isinstance(array.data, Span):
        tensor = file_tensor(path, array.data.offset, shape, dtype.name, order)
        if array.data.size != tensor.nbytes:
            raise damaged(path, f"an array of {tensor.nbytes} bytes is stored in {array.data.size} bytes")
        return tensor
    return _in_memory(path, array, dtype, order)


def _in_memory(path: pathlib.Path, array: Array, dtype: Dtype, order: tuple[int, ...]) -> Tensor:
    """An array small enough that its bytes were read with the pickle."""
    check_dtype(path, dtype.name)
    try:
        values = np.frombuffer(array.data, dtype.name).reshape([array.shape[axis] for axis in order])
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, f"an array is damaged ({error})") from error
    return ArrayTensor(path, values, order)
