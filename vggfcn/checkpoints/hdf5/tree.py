"""What is in an HDF5 file, as plain data; a child process reads it."""

import contextlib
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.hdf5 import process
from vggfcn.checkpoints.tensors import EXPANSION, NUMBERS, Shape, check_shape, count, fill, itemsize, stored_dtype
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular
from vggfcn.memory import aligned_empty


@dataclasses.dataclass(frozen=True)
class Source:
    """HDF5 data: `size` bytes from `start` on in the file at `path`, or all of `unpacked`, a nameless file."""

    path: pathlib.Path
    start: int
    size: int
    unpacked: BinaryIO | None = None
    _kept: list[process.Session] = dataclasses.field(default_factory=list, repr=False, compare=False)

    @contextlib.contextmanager
    def session(self) -> Iterator[process.Session]:
        """A child process that answers questions about the data; within another session of this source, the same."""
        if self._kept:
            yield self._kept[0]
            return
        opened = open_regular(self.path) if self.unpacked is None else io.FileIO(self.unpacked.fileno(), closefd=False)
        with opened as file, process.Session(self.path, file, self.start, self.size) as session:
            self._kept.append(session)
            try:
                yield session
            finally:
                self._kept.remove(session)


def whole(path: pathlib.Path) -> Source:
    """The source of an HDF5 file."""
    return Source(path, 0, path.stat().st_size)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An array: its full name in the file, its shape, and its dtype by NumPy's name, "bfloat16", or in words.

    `offset` is its position in the HDF5 data if it is stored in one piece there. `problem` says why it cannot be read.
    """

    source: Source
    name: str
    shape: Shape
    dtype: str
    offset: int | None
    problem: str

    def check(self, name: str) -> None:
        """Raise `WeightsError` unless this is an array of numbers that can be read; `name` is for the message."""
        if self.problem:
            raise WeightsError(f"{self.source.path}: {shown(name)} {self.problem}")
        check_shape(self.source.path, self.shape)
        if self.dtype not in NUMBERS:
            raise WeightsError(
                f"{self.source.path}: expected arrays of numbers, found {shown(name)} of {shown(self.dtype)}"
            )
        if count(self.shape) * itemsize(self.dtype) > EXPANSION * self.source.size:
            raise WeightsError(
                f"{self.source.path}: {shown(name)} unpacks to over {EXPANSION} times the file: a decompression bomb"
            )

    @property
    def is_direct(self) -> bool:
        """Whether its bytes lie in the file at the source's path, in one piece."""
        return self.offset is not None and self.source.unpacked is None

    def read(self) -> np.ndarray:
        """All numbers, in the dtype in which they are stored; the bits of bfloat16 as uint16.

        TensorFlow can use float32 without a copy.
        """
        if not self.is_direct:
            return self.read_rows(0, self.shape[0] if self.shape else 0)
        values = self._empty(self.shape)
        with open_regular(self.source.path) as file:
            file.seek(self.source.start + (self.offset or 0))
            fill(self.source.path, file, values)
        return values

    def read_rows(self, start: int, number: int) -> np.ndarray:
        """The numbers of some rows, from `start` on, in the dtype that `read` gives; `number` is their number.

        An array without axes has no rows, and is read whole.
        """
        shape = (number, *self.shape[1:]) if self.shape else ()
        rows = self._empty(shape)
        with self.source.session() as session:
            session.into({"do": "read", "name": self.name, "start": start, "stop": start + number}, rows)
        return rows

    def _empty(self, shape: Shape) -> np.ndarray:
        return aligned_empty(shape) if self.dtype == "<f4" else np.empty(shape, stored_dtype(self.dtype))


@dataclasses.dataclass(frozen=True)
class Group:
    """A group: its full name, its attributes, and its members by name, None for a link to elsewhere.

    Attributes are texts, numbers, or lists of them; None for those of other types.
    """

    path: pathlib.Path
    name: str
    attributes: Mapping[str, Any]
    members: Mapping[str, "Group | Dataset | None"]

    def child(self, name: str) -> "Group | Dataset":
        """What is below the group under a name with slashes; links are refused, for they could lead to any file."""
        item: Group | Dataset | None = self
        for part in name.strip("/").split("/"):
            item = item.members.get(part) if isinstance(item, Group) else None
            if item is None:
                raise damaged(self.path, f"{shown(name)} is missing or a link")
        return item  # type: ignore[return-value]

    def group(self, name: str) -> "Group":
        """The group below under a name; raises `WeightsError` if it is anything else."""
        item = self.child(name)
        if not isinstance(item, Group):
            raise damaged(self.path, f"{shown(name)} is an array where Keras keeps none")
        return item

    def dataset(self, name: str) -> Dataset:
        """The array below under a name; raises `WeightsError` if it is anything else."""
        item = self.child(name)
        if not isinstance(item, Dataset):
            raise damaged(self.path, f"{shown(name)} is not an array")
        return item

    def text(self, name: str) -> str | None:
        """An attribute that is a text; None if there is none."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> list[str]:
        """An attribute that is a list of texts, which Keras splits into parts if it is long; [] if there is none."""
        if name in self.attributes:
            return self._list(name)
        found: list[str] = []
        part = 0
        while f"{name}{part}" in self.attributes:
            found += self._list(f"{name}{part}")
            part += 1
        return found

    def _list(self, name: str) -> list[str]:
        value = self.attributes[name]
        values = [value] if isinstance(value, str) else value
        if values == []:
            return []
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise damaged(self.path, f"the attribute {shown(name)} is not a list of texts")
        return values


def read(source: Source, budget: Budget) -> Group:
    """All that is in HDF5 data; raises `WeightsError` if it is damaged or hostile."""
    with source.session() as session:
        return _group(source, "", session.json({"do": "describe"}, budget))


def attribute_names(source: Source, budget: Budget) -> list[str]:
    """The names of the root's attributes alone, which is quick; raises `WeightsError` as `read` does."""
    with source.session() as session:
        return list(session.json({"do": "list attributes"}, budget))


def _group(source: Source, name: str, described: Mapping[str, Any]) -> Group:
    members = {key: _member(source, f"{name}/{key}", member) for key, member in described["members"].items()}
    return Group(source.path, name or "/", described["attributes"], members)


def _member(source: Source, name: str, described: Mapping[str, Any] | None) -> Group | Dataset | None:
    if described is None:
        return None
    if "members" in described:
        return _group(source, name, described)
    fields = {key: described[key] for key in ("dtype", "offset", "problem")}
    return Dataset(source, name, tuple(described["shape"]), **fields)
