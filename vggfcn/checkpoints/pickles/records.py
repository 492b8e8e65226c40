"""Plain records for the objects in a pickle of arrays, and the closed table of names that a pickle may refer to."""

import dataclasses
from collections.abc import Callable
from typing import Any

from vggfcn.checkpoints.tensors import MAX_DIMENSIONS
from vggfcn.errors import shown


@dataclasses.dataclass(frozen=True)
class Global:
    """An importable name that a pickle refers to, and that `KNOWN` allows."""

    name: str


@dataclasses.dataclass(frozen=True)
class Persistent:
    """An object outside the pickle, by its persistent id; in torch's files a storage."""

    value: Any


@dataclasses.dataclass
class Dtype:
    """A NumPy dtype: its name, such as "<f4"."""

    name: str

    def build(self, state: Any) -> None:
        """Set the byte order, which is the second item of the pickled state."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if isinstance(order, str) and order in ("<", ">", "|") and self.name[:1] not in ("<", ">", "|"):
            self.name = order + self.name


@dataclasses.dataclass
class Array:
    """A NumPy array as pickled; `data` is a `Span`, bytes, or a list for an array of objects."""

    shape: tuple[int, ...] = ()
    dtype: Dtype | None = None
    fortran: bool = False
    data: Any = None

    def build(self, state: Any) -> None:
        """Set everything from the pickled state: (version, shape, dtype, whether in Fortran order, data)."""
        _, shape, self.dtype, self.fortran, data = state
        self.shape = _checked_sizes(shape)
        self.data = data.encode("latin1") if isinstance(data, str) else data


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """A torch tensor: its storage, and its offset, shape and strides there, in elements."""

    storage: Persistent
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Dict(dict[Any, Any]):
    """A dict that ignores the attributes a pickle sets on it, such as `_metadata` on torch's state dicts."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Ignore the attributes."""

    def set_item(self, key: Any, value: Any) -> None:
        """Set a key: a text or an integer of 64 bits. Many longer integers can have the same hash."""
        if not isinstance(key, str | int):
            raise TypeError(f"unsupported key of type {type(key).__name__}")
        if isinstance(key, int) and key.bit_length() > 63:
            raise ValueError("unsupported key of over 64 bits")
        self[key] = value


def _make_dict(pairs: Any = ()) -> Dict:
    result = Dict()
    for key, value in _checked_pairs(pairs):
        result.set_item(key, value)
    return result


def _checked_pairs(pairs: Any) -> Any:
    """The pairs if they are lists or tuples in a list or tuple; anything else could be long to unpack."""
    if not isinstance(pairs, list | tuple) or not all(isinstance(pair, list | tuple) for pair in pairs):
        raise TypeError("malformed pairs of an OrderedDict")
    return pairs


def _make_dtype(name: Any) -> Dtype:
    if not isinstance(name, str) or len(name) > 100:
        raise TypeError("malformed NumPy dtype")
    return Dtype(name)


def _make_torch_tensor(
    storage: Persistent, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]
) -> TorchTensor:
    if not (isinstance(storage, Persistent) and type(offset) is int):
        raise TypeError("malformed torch tensor")
    tensor = TorchTensor(storage, offset, _checked_sizes(shape), _checked_sizes(strides))
    if len(tensor.shape) != len(tensor.strides):
        raise TypeError("malformed torch tensor")
    return tensor


def _checked_sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list):
        raise TypeError("a shape that is no tuple")
    if len(values) > MAX_DIMENSIONS:
        raise ValueError(f"a shape of {len(values):,} axes")
    if not all(type(value) is int and 0 <= value < 1 << 40 for value in values):
        raise ValueError("invalid shape")
    return tuple(values)


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"unsupported encoding {shown(encoding)}")
    return text.encode("latin1")


_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool"
_NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
# Name -> the function that turns call arguments into a record; None for names that are never called.
KNOWN: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _make_dict,
    "_codecs.encode": _encode,
    "numpy.dtype": lambda name, *_: _make_dtype(name),
    "numpy.ndarray": None,
    **{f"{core}._reconstruct": lambda *_: Array() for core in _NUMPY_CORES},
    **{f"{core}.scalar": lambda *_: None for core in _NUMPY_CORES},
    "torch._utils._rebuild_tensor_v2": lambda *arguments: _make_torch_tensor(*arguments[:4]),
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": _checked_sizes,
    **{f"torch.{kind}Storage": None for kind in _STORAGES.split()},
}
