"""Reads NumPy's `.npy` files with a pickled dict: the `vgg16.npy` of tensorflow-vgg and tensorflow-fcn.

The file is NumPy's header followed by the pickle of an array of objects. Its one element is a dict: layer name ->
[kernel, bias]. `pickle_machine` reads the pickle as data, and large arrays stay in the file until they are needed.
"""

import pathlib
from typing import Any, BinaryIO

import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickle_machine import PickleReader
from vggfcn.checkpoints.pickle_records import Array, Dtype
from vggfcn.checkpoints.tensors import ArrayTensor, Container, FileFormat, Span, Tensor, file_tensor
from vggfcn.errors import WeightsError

SIGNATURE = b"\x93NUMPY"
MAX_HEADER = 1 << 12


def read(path: pathlib.Path) -> Container:
    """The arrays of the pickled dict, named "<layer>/0" (kernel) and "<layer>/1" (bias)."""
    with path.open("rb") as file:
        _skip_header(path, file)
        pickled = PickleReader(path, file, path.stat().st_size).run()
    layers = pickled.data[0] if isinstance(pickled, Array) and isinstance(pickled.data, list) and pickled.data else None
    if not isinstance(layers, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found another pickled object")
    tensors = {}
    for layer, arrays in layers.items():
        for position, array in _numbered(arrays):
            tensors[f"{layer}/{position}"] = _tensor(path, array)
    return Container(path, FileFormat.NPY, tensors)


def _skip_header(path: pathlib.Path, file: BinaryIO) -> None:
    """Move to the pickle. NumPy evaluates headers as Python literals; this function only compares bytes."""
    version = file.read(len(SIGNATURE) + 2)[-2:]
    size = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
    if size > MAX_HEADER:
        raise damaged(path, f"expected a header of at most {MAX_HEADER} bytes, found one of {size} bytes")
    header = file.read(size)
    if not (b"'descr': '|O'" in header and b"'shape': ()" in header):
        raise WeightsError(f"{path}: expected a dict of arrays, found an array with the header {header.strip()!r:.120}")


def _numbered(arrays: Any) -> list[tuple[int, Array]]:
    """(position, array) of a layer's arrays: in their order, or kernel before bias if they have names."""
    if isinstance(arrays, dict):
        arrays = [arrays.get(name) for name in ("weights", "biases")]
    if not isinstance(arrays, list | tuple):
        return []
    return [(position, array) for position, array in enumerate(arrays) if isinstance(array, Array)]


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
