"""NumPy's `.npy` with a pickled dict in it: `vgg16.npy` of tensorflow-vgg and tensorflow-fcn.

The file is NumPy's header, then the pickle of an array of objects whose one element is a dict: layer name -> [kernel,
bias]. The pickle is read as data (see `pickles`), and the arrays stay in the file until they are wanted.
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
    """The tensors of a pickled dict, named "<layer>/0" and "<layer>/1"."""
    with path.open("rb") as file:
        _skip_header(path, file)
        pickled = PickleReader(path, file, path.stat().st_size).run()
    layers = pickled.data[0] if isinstance(pickled, Array) and isinstance(pickled.data, list) and pickled.data else None
    if not isinstance(layers, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found something else")
    tensors = {}
    for layer, arrays in layers.items():
        for position, array in _parts(arrays):
            tensors[f"{layer}/{position}"] = _tensor(path, array)
    return Container(path, FileFormat.NPY, tensors)


def _skip_header(path: pathlib.Path, file: BinaryIO) -> None:
    """Go to the pickle. NumPy's own reader of headers evaluates them as Python; this one only compares."""
    version = file.read(len(SIGNATURE) + 2)[-2:]
    size = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
    if size > MAX_HEADER:
        raise damaged(path, f"states a header of {size} bytes, more than any has")
    header = file.read(size)
    if not (b"'descr': '|O'" in header and b"'shape': ()" in header):
        raise WeightsError(f"{path}: expected a dict of arrays, found an array with the header {header.strip()!r:.120}")


def _parts(arrays: Any) -> list[tuple[int, Array]]:
    """The arrays of a layer, numbered as they lie, or kernel before bias where they have names."""
    if isinstance(arrays, dict):
        arrays = [arrays.get(name) for name in ("weights", "biases")]
    if not isinstance(arrays, list | tuple):
        return []
    return [(position, array) for position, array in enumerate(arrays) if isinstance(array, Array)]


def _tensor(path: pathlib.Path, array: Array) -> Tensor:
    shape, dtype = array.shape, array.dtype
    if not isinstance(dtype, Dtype):
        raise damaged(path, "an array without a dtype")
    order = tuple(range(len(shape)))
    order = order[::-1] if array.fortran else order
    if isinstance(array.data, Span):
        tensor = file_tensor(path, array.data.offset, shape, dtype.name, order)
        if array.data.size != tensor.nbytes:
            raise damaged(path, f"an array of {tensor.nbytes} bytes in {array.data.size}")
        return tensor
    return _in_memory(path, array, dtype, order)


def _in_memory(path: pathlib.Path, array: Array, dtype: Dtype, order: tuple[int, ...]) -> Tensor:
    """An array so small that the pickle's bytes were read with it."""
    try:
        values = np.frombuffer(array.data, dtype.name).reshape([array.shape[axis] for axis in order])
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, f"an array is damaged ({error})") from None
    return ArrayTensor(path, values, order)
