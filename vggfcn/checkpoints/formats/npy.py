"""Reads NumPy's `.npy` files with a pickled dict, and `.npz` archives.

The `vgg16.npy` of tensorflow-vgg and tensorflow-fcn is NumPy's header followed by the pickle of an array of objects.
Its one element is a dict: layer name -> [kernel, bias]. In MMdnn's, a layer is a dict of "weights" and "bias".
`pickle_machine` reads the pickle as data, and large arrays stay in the file until they are needed.

A `.npz` is a zip archive of `.npy` members: Frossard's `vggNN_weights.npz` has `conv1_1_W`, `conv1_1_b`, `fc6_W`, ...
"""

import io
import pathlib
import re
import zipfile
from typing import Any, BinaryIO

import numpy as np

from vggfcn.checkpoints import zip_members
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickle_machine import PickleReader
from vggfcn.checkpoints.pickle_records import Array, Dtype
from vggfcn.checkpoints.tensors import (
    ArrayTensor,
    Container,
    FileFormat,
    Span,
    Tensor,
    check_dtype,
    check_shape,
    file_tensor,
)
from vggfcn.errors import WeightsError

ARCHIVE_SUFFIX = ".npy"
SIGNATURE = b"\x93NUMPY"
MAX_HEADER = 1 << 12


def read(path: pathlib.Path) -> Container:
    """The arrays of the pickled dict, named "<layer>/0" (kernel) and "<layer>/1" (bias), or as in MMdnn's dicts."""
    with path.open("rb") as file:
        _skip_header(path, file)
        pickled = PickleReader(path, file, path.stat().st_size).run()
    layers = pickled.data[0] if isinstance(pickled, Array) and isinstance(pickled.data, list) and pickled.data else None
    if not isinstance(layers, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found another pickled object")
    tensors = {}
    for layer, arrays in layers.items():
        for name, array in _named(arrays):
            tensors[f"{layer}/{name}"] = _tensor(path, array)
    return Container(path, FileFormat.NPY, tensors)


def read_archive(path: pathlib.Path) -> Container:
    """The arrays of a `.npz`, under the names of its members.

    A member is a `.npy` of plain numbers; one of objects would be a pickle and is refused.
    """
    tensors: dict[str, Tensor] = {}
    with zip_members.open_archive(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(ARCHIVE_SUFFIX)
            if member.compress_type == zipfile.ZIP_STORED:
                start, size = zip_members.stored_span(path, member)
                with path.open("rb") as file:
                    file.seek(start)
                    shape, dtype, fortran = _header(path, file)
                    order = tuple(range(len(shape)))
                    tensor = file_tensor(path, file.tell(), shape, dtype, order[::-1] if fortran else order)
                    if file.tell() + tensor.nbytes != start + size:
                        raise damaged(path, f"{name[:80]!r} does not have the size that its shape {shape} needs")
                    tensors[name] = tensor
            else:
                tensors[name] = _unpacked(path, io.BytesIO(zip_members.read_member(path, archive, member.filename)))
    return Container(path, FileFormat.NPY, tensors)


_HEADER = re.compile(
    rb"\s*\{\s*'descr': '([<>|]\w+)',\s*'fortran_order': (True|False),\s*'shape': \(((?:\d{1,12},? ?)*)\),?\s*\}\s*"
)


def _unpacked(path: pathlib.Path, file: BinaryIO) -> Tensor:
    shape, dtype, fortran = _header(path, file)
    check_shape(path, shape)
    check_dtype(path, dtype)
    order = tuple(range(len(shape)))
    try:
        values = np.frombuffer(file.read(), dtype).reshape(shape[::-1] if fortran else shape)
    except ValueError as error:
        raise damaged(path, f"an array is damaged ({error})") from None
    return ArrayTensor(path, values, order[::-1] if fortran else order)


def _header(path: pathlib.Path, file: BinaryIO) -> tuple[tuple[int, ...], str, bool]:
    """(shape, dtype, whether in Fortran order) of an array of numbers; the header is matched, never evaluated."""
    start = file.read(len(SIGNATURE) + 2)
    size = int.from_bytes(file.read(2 if start[-2:] == b"\1\0" else 4), "little")
    if not start.startswith(SIGNATURE) or size > MAX_HEADER:
        raise damaged(path, "a member of the archive is not a .npy array")
    found = _HEADER.fullmatch(header := file.read(size))
    if found is None:
        raise WeightsError(f"{path}: expected arrays of numbers, found one with the header {header.strip()!r:.120}")
    dtype, fortran, sizes = found.groups()
    return tuple(int(size) for size in sizes.replace(b",", b" ").split()), dtype.decode(), fortran == b"True"


def _skip_header(path: pathlib.Path, file: BinaryIO) -> None:
    """Move to the pickle. NumPy evaluates headers as Python literals; this function only compares bytes."""
    version = file.read(len(SIGNATURE) + 2)[-2:]
    size = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
    if size > MAX_HEADER:
        raise damaged(path, f"expected a header of at most {MAX_HEADER} bytes, found one of {size} bytes")
    header = file.read(size)
    if not (b"'descr': '|O'" in header and b"'shape': ()" in header):
        raise WeightsError(f"{path}: expected a dict of arrays, found an array with the header {header.strip()!r:.120}")


def _named(arrays: Any) -> list[tuple[int | str, Array]]:
    """(position or name, array) of a layer's arrays: in their order, or under their names, such as MMdnn's "bias".

    tensorflow-vgg's "weights" and "biases" count as the first and the second.
    """
    if isinstance(arrays, dict) and "biases" in arrays:
        arrays = [arrays.get(name) for name in ("weights", "biases")]
    pairs: Any = arrays.items() if isinstance(arrays, dict) else ()
    if isinstance(arrays, list | tuple):
        pairs = enumerate(arrays)
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
    try:
        values = np.frombuffer(array.data, dtype.name).reshape([array.shape[axis] for axis in order])
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, f"an array is damaged ({error})") from None
    return ArrayTensor(path, values, order)
