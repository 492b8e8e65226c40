"""HDF5 files from outside, group by group: links, arrays in other files and unknown filters are refused."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import h5py
import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.hdf5_stream import HDF5Stream
from vggfcn.checkpoints.tensors import BFLOAT16, EXPANSION, Shape, check_shape, count, file_tensor
from vggfcn.errors import WeightsError
from vggfcn.memory import aligned_empty

# The filters that come with h5py: deflate, shuffle, Fletcher's checksum and LZF. Any other would load foreign code.
FILTERS = {1, 2, 3, 32000}


@dataclasses.dataclass(frozen=True)
class HDF5Source:
    """HDF5 data: `size` bytes from `start` on in the file that `open` returns.

    That file is the one at `path` itself, or a copy of its content in memory if `unpacked`.
    """

    path: pathlib.Path
    open: Callable[[], BinaryIO]
    start: int
    size: int
    unpacked: bool = False


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array of a file, by its own name, which `read` reads in the dtype in which it is stored.

    TensorFlow can use what `read` returns for float32 without a copy.
    """

    name: str
    shape: Shape
    dtype: str
    read: Callable[[], np.ndarray]


@contextlib.contextmanager
def opened(source: HDF5Source) -> Iterator[h5py.File]:
    """Open HDF5 data; any error of the HDF5 library becomes a `WeightsError`."""
    stream = HDF5Stream(source.open(), source.start, source.size)
    try:
        with stream, h5py.File(stream, "r") as file:
            yield file
    except WeightsError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = stream.damage or " ".join(str(error).split())[:200]
        raise damaged(source.path, f"the HDF5 file is damaged ({reason})") from None


def child_of(path: pathlib.Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """The group or array below a group; links are refused, because they could lead to any other file."""
    for part in name.strip("/").split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise damaged(path, f"{name[:80]!r} is missing or a link")
        group = group[part]
    return group


def stored_array(source: HDF5Source, group: h5py.Group, key: str, name: str) -> StoredArray:
    """The array under a key of a group, unread; `name` is how messages call it."""
    dataset = child_of(source.path, group, key)
    if not isinstance(dataset, h5py.Dataset):
        raise damaged(source.path, f"{name[:80]!r} is not an array")
    if dataset.shape is None or dataset.is_virtual or dataset.external:
        raise damaged(source.path, f"{name[:80]!r} is not stored in this file")
    check_shape(source.path, dataset.shape)
    if dataset.dtype.kind not in "fiub":
        raise WeightsError(f"{source.path}: expected arrays of numbers, found {name[:80]!r} of {dataset.dtype}")
    if count(dataset.shape) * dataset.dtype.itemsize > EXPANSION * source.size:
        raise WeightsError(f"{source.path}: {name[:80]!r} unpacks to over {EXPANSION} times the file: a bomb")
    plan = dataset.id.get_create_plist()
    if not {plan.get_filter(index)[0] for index in range(plan.get_nfilters())} <= FILTERS:
        raise WeightsError(f"{source.path}: {name[:80]!r} uses an unsupported HDF5 filter; save it with gzip")
    where, shape = dataset.name, tuple(map(int, dataset.shape))
    # Keras 3 marks bfloat16 by an attribute.
    dtype = BFLOAT16 if text(dataset, "dtype") == BFLOAT16 else dataset.dtype.str
    offset = None if dataset.chunks or source.unpacked else dataset.id.get_offset()
    # Read past the HDF5 library, whose reads of a large array pass through copies of it.
    direct = None if offset is None or dtype != "<f4" else file_tensor(source.path, source.start + offset, shape, dtype)

    def read() -> np.ndarray:
        if direct is not None:
            values = aligned_empty(shape)
            direct.read_into(values, 0)
            return values
        with opened(source) as file:
            if dtype != "<f4":
                return np.asarray(file[where][()])
            values = aligned_empty(shape)
            file[where].read_direct(values)
            return values

    return StoredArray(name, shape, dtype, read)


def texts(group: h5py.Group, name: str) -> list[str]:
    """An attribute that is a list of texts, which Keras splits into parts if it is long; [] if there is none."""
    if name in group.attrs:
        return [_text(value) for value in np.atleast_1d(group.attrs[name])]
    found: list[str] = []
    part = 0
    while f"{name}{part}" in group.attrs:
        found += [_text(value) for value in np.atleast_1d(group.attrs[f"{name}{part}"])]
        part += 1
    return found


def text(group: h5py.Group, name: str) -> str | None:
    """An attribute that is a text; None if there is none."""
    return _text(group.attrs[name]) if name in group.attrs else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
