"""What the child process does with an HDF5 file: describe it, or read an array. Nobody else imports h5py to read.

Whatever this module raises, or however it ends, the parent refuses the file.
"""

import io
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

from vggfcn.checkpoints.budget import ROOM
from vggfcn.checkpoints.tensors import BFLOAT16, count

# The filters that come with h5py: deflate, shuffle, Fletcher's checksum and LZF. Any other would load foreign code.
FILTERS = {1, 2, 3, 32000}
OBJECTS = 100_000  # groups, arrays and attributes
DEPTH = 40
BLOCK = 16 << 20  # bytes that are read at once
NUMBERS = 1 << 16  # in an attribute
_SEEKING = threading.Lock()


class RefusedError(Exception):
    """Why a file is refused."""


class Part(io.RawIOBase):
    """`size` bytes of an open file, from `start` on, as a read-only file."""

    def __init__(self, descriptor: int, start: int, size: int):
        self._descriptor, self._start, self._size, self._position = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        data = _read_at(self._descriptor, wanted, self._start + self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _read_at(descriptor: int, size: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, position)
    with _SEEKING:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, size)


def load_all() -> None:
    """Import all that an answer needs: a child process may open no file any more, and so import nothing."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as small, ours, theirs:
        with h5py.File(small, "w") as file:
            file.create_dataset("group/numbers", data=np.zeros((2, 2), np.float32), chunks=True, compression="gzip")
            file["pairs"], file["raw"] = np.zeros(2, [("x", "f4")]), np.zeros(1, "V2")
            attributes = file["group"].attrs
            attributes["texts"], attributes["bytes"], attributes["number"] = ["a", "b"], np.bytes_(b"c"), 1
            attributes["none"] = h5py.Empty("f4")
        size = small.seek(0, io.SEEK_END)
        answer(theirs, small.fileno(), 0, size, {"do": "describe"})
        answer(theirs, small.fileno(), 0, size, {"do": "read", "name": "group/numbers", "start": 0, "stop": 2})


def answer(connection: socket.socket, descriptor: int, start: int, size: int, request: dict[str, Any]) -> None:
    """Do what is asked with the HDF5 data in an open file, and send the result.

    A result is its length in eight bytes, little-endian, and its bytes. A refusal is sent as JSON with a negative
    length. Where the file turns out to be damaged in the middle of a result, the connection is closed.
    """
    begun = False
    try:
        with h5py.File(Part(descriptor, start, size), "r") as file:
            parts = _TASKS[request["do"]](file, size, request)
            total = next(parts)
            begun = True
            connection.sendall(total.to_bytes(8, "little", signed=True))
            for part in parts:
                connection.sendall(part)
    except ConnectionError:  # The parent has gone.
        raise
    except Exception as error:  # The library's errors are of any kind.
        if begun:  # A refusal now would be taken for the rest of the numbers.
            connection.shutdown(socket.SHUT_RDWR)
        else:
            _refuse(connection, error)


def _refuse(connection: socket.socket, error: Exception) -> None:
    text = str(error) if isinstance(error, RefusedError) else f"the HDF5 file is damaged ({str(error)[:1000]})"
    data = json.dumps(text).encode()
    connection.sendall((-len(data)).to_bytes(8, "little", signed=True) + data)


def _describe(file: h5py.File, size: int, request: dict[str, Any]) -> Iterator[Any]:
    """The tree of the file as JSON: groups as {attributes, members}, arrays as the fields of `tree.Dataset`."""
    return _json(_Description().group(file, 0))


def _list_attributes(file: h5py.File, size: int, request: dict[str, Any]) -> Iterator[Any]:
    """The names of the root's attributes as JSON."""
    return _json(list(file.attrs))


def _json(value: object) -> Iterator[Any]:
    data = json.dumps(value).encode()
    yield len(data)
    yield data


class _Description:
    """Walks through a file once, and counts what it meets."""

    def __init__(self) -> None:
        self._objects = 0
        self._seen: set[int] = set()

    def group(self, group: h5py.Group, depth: int) -> dict[str, Any]:
        address = h5py.h5o.get_info(group.id).addr
        if address in self._seen:
            raise RefusedError("has a group under two names, as Keras never writes")
        self._seen.add(address)
        if depth > DEPTH:
            raise RefusedError(f"has groups nested more than {DEPTH} levels deep")
        members = {name: self._member(group, name, depth) for name in group}
        return {"attributes": self._attributes(group), "members": members}

    def _count(self) -> None:
        self._objects += 1
        if self._objects > OBJECTS:
            raise RefusedError(f"has over {OBJECTS:,} groups, arrays and attributes, more than any network")

    def _member(self, group: h5py.Group, name: str, depth: int) -> dict[str, Any] | None:
        self._count()
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        item = group[name]
        if isinstance(item, h5py.Group):
            return self.group(item, depth + 1)
        return _dataset(item) if isinstance(item, h5py.Dataset) else None

    def _attributes(self, item: h5py.Group) -> dict[str, Any]:
        values = {}
        for name in item.attrs:
            self._count()
            values[name] = _value(item, name)
        return values


def _value(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute as JSON: a text, a number, or a list of them; None for any other type."""
    stored = item.attrs.get_id(name)
    if stored.dtype.kind not in "SUOfiub" or count(stored.shape or ()) > NUMBERS:
        return None
    if stored.dtype.kind == "O" and h5py.check_string_dtype(stored.dtype) is None:
        return None
    value = item.attrs[name]
    if isinstance(value, h5py.Empty):
        return None
    values = np.asarray(value)
    if values.dtype.kind in "SUO":
        texts = [_text(each) for each in values.ravel().tolist()]
        return texts if values.ndim else texts[0]
    return values.tolist()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _dataset(dataset: h5py.Dataset) -> dict[str, Any]:
    shape, problem, offset = dataset.shape, "", None
    plan = dataset.id.get_create_plist()
    if shape is None or dataset.is_virtual or dataset.external:
        problem = "is not stored in this file"
    elif not {plan.get_filter(index)[0] for index in range(plan.get_nfilters())} <= FILTERS:
        problem = "uses an unsupported HDF5 filter; save it with gzip"
    elif dataset.chunks is None:
        offset = dataset.id.get_offset()
    try:
        dtype = dataset.dtype.str if dataset.dtype.kind in "fiub" else str(dataset.dtype)[:80]
    except TypeError:
        dtype = "a type that NumPy does not have"
    marked = _value(dataset, "dtype") if "dtype" in dataset.attrs else None
    return {
        "shape": [int(size) for size in shape or ()],
        # HDF5 has no bfloat16, which Keras 3 marks by an attribute.
        "dtype": BFLOAT16 if (dtype, marked) == ("|V2", BFLOAT16) else dtype,
        "offset": offset,
        "problem": problem,
    }


def _read(file: h5py.File, size: int, request: dict[str, Any]) -> Iterator[Any]:
    """The length of the numbers in bytes, then the numbers of some rows, in the stored dtype and C order."""
    dataset = file[request["name"]]
    start, stop = request["start"], request["stop"]
    row = count(dataset.shape[1:]) * dataset.dtype.itemsize
    # A chunk is decoded whole.
    if dataset.chunks and count(dataset.chunks) * dataset.dtype.itemsize > ROOM + 2 * size:
        raise RefusedError("has chunks far larger than the file: a decompression bomb")
    if not dataset.shape:
        yield dataset.dtype.itemsize
        yield np.asarray(dataset[()]).tobytes()
        return
    yield row * (stop - start)
    step = max(1, BLOCK // max(1, row))
    for first in range(start, stop, step):
        yield dataset[first : min(first + step, stop)].tobytes()


_TASKS: dict[str, Callable[[h5py.File, int, dict[str, Any]], Iterator[Any]]] = {
    "describe": _describe,
    "list attributes": _list_attributes,
    "read": _read,
}
