"""What pickles of arrays are made of, as plain records, and the closed table of names that they may refer to."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that a pickle refers to and `KNOWN` allows."""

    name: str


@dataclasses.dataclass(frozen=True)
class Persistent:
    """What a pickle refers to by a persistent id: for torch, a storage."""

    value: Any


@dataclasses.dataclass
class Dtype:
    """A NumPy dtype: its name, such as "<f4"."""

    name: str

    def build(self, state: Any) -> None:
        """Take over the byte order: the second of the state's items."""
        if state[1] in ("<", ">", "|") and self.name[0] not in "<>|":
            self.name = state[1] + self.name


@dataclasses.dataclass
class Array:
    """A NumPy array: what its pickle says of it; `data` is a `Span`, bytes, or a list for an array of objects."""

    shape: tuple[int, ...] = ()
    dtype: Dtype | None = None
    fortran: bool = False
    data: Any = None

    def build(self, state: Any) -> None:
        """Take over (version, shape, dtype, whether in Fortran order, data)."""
        _, shape, self.dtype, self.fortran, data = state
        self.shape = _sizes(shape)
        self.data = data.encode("latin1") if isinstance(data, str) else data


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """A torch tensor: its storage's persistent id, and the offset, shape and strides in it, in elements."""

    storage: Persistent
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Dict(dict[Any, Any]):
    """A dict that a pickle may give attributes, which are dropped: torch's state dicts carry `_metadata`."""

    def build(self, state: Any) -> None:
        """Drop the attributes."""

    def put(self, key: Any, value: Any) -> None:
        """Set a key; only of the plain kinds, as hashing a tuple nested a million deep would end the process."""
        if not isinstance(key, str | int):
            raise TypeError(f"a key of type {type(key).__name__}")
        self[key] = value


def _dict(pairs: Any = ()) -> Dict:
    made = Dict()
    for key, value in pairs:
        made.put(key, value)
    return made


def _torch_tensor(storage: Persistent, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> TorchTensor:
    if not (isinstance(storage, Persistent) and type(offset) is int and len(shape) == len(strides)):
        raise TypeError("a tensor of wrong parts")
    return TorchTensor(storage, offset, _sizes(shape), _sizes(strides))


def _sizes(values: tuple[Any, ...]) -> tuple[int, ...]:
    if not all(type(value) is int and 0 <= value < 1 << 40 for value in values):
        raise ValueError("a shape that is none")
    return tuple(values)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool"
_NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
# Name -> what it makes of its arguments; None where the name is only mentioned.
KNOWN: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _dict,
    "_codecs.encode": _encoded,
    "numpy.dtype": lambda name, *_: Dtype(name),
    "numpy.ndarray": None,
    **{f"{core}._reconstruct": lambda *_: Array() for core in _NUMPY_CORES},
    **{f"{core}.scalar": lambda *_: None for core in _NUMPY_CORES},
    "torch._utils._rebuild_tensor_v2": lambda *arguments: _torch_tensor(*arguments[:4]),
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": tuple,
    **{f"torch.{kind}Storage": None for kind in _STORAGES.split()},
}
