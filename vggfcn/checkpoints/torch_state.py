"""torch's pickled state dicts: which of their tensors lie where; the two containers differ in where storages are."""

import pathlib
from collections.abc import Mapping
from typing import Any

from vggfcn.checkpoints.pickled import Dict, Global, Persistent, TorchTensor
from vggfcn.checkpoints.tensors import BFLOAT16, FileTensor, Shape, Tensor, count, file_tensor
from vggfcn.errors import WeightsError

DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
    "torch.BoolStorage": "|b1",
}
# Where training scripts put the state dict among other things.
KEYS = ("state_dict", "model_state_dict", "model", "net")
# What wrappers put before every name.
PREFIXES = ("module.", "model.", "_orig_mod.")


def storage(path: pathlib.Path, reference: Persistent) -> tuple[str, str, int]:
    """(key, dtype, number of elements) of the storage that a persistent id stands for."""
    match reference.value:
        case ("storage", Global(name), str(key), _, int(size), *view) if name in DTYPES and view in ([], [None]):
            return key, DTYPES[name], size
    raise WeightsError(f"{path}: a storage of a kind that is not known; save model.state_dict() anew")


def tensors(path: pathlib.Path, root: Any, spans: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """The tensors of a state dict by name; `spans` gives each storage's (first byte, number of bytes).

    Raises `WeightsError` if there is no state dict, or if a tensor reaches beyond its storage.
    """
    found: dict[str, Tensor] = {
        name: _tensor(path, str(name), value, spans)
        for name, value in _state_dict(path, root).items()
        if isinstance(value, TorchTensor) and count(value.shape)
    }
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _state_dict(path: pathlib.Path, root: Any) -> Dict:
    candidates = [root, *(root.get(key) for key in KEYS)] if isinstance(root, Dict) else []
    for candidate in candidates:
        if isinstance(candidate, Dict) and any(isinstance(value, TorchTensor) for value in candidate.values()):
            return candidate
    found = ", ".join(str(key)[:40] for key in list(root)[:20]) if isinstance(root, Dict) else type(root).__name__
    raise WeightsError(f"{path}: expected a state dict, found {found or 'nothing'}; save model.state_dict()")


def _tensor(path: pathlib.Path, name: str, tensor: TorchTensor, spans: Mapping[str, tuple[int, int]]) -> FileTensor:
    key, dtype, _ = storage(path, tensor.storage)
    if key not in spans:
        raise WeightsError(f"{path}: {name} lies in the storage {key[:40]!r}, which is missing; get the file anew")
    start, size = spans[key]
    order = _order(tensor.shape, tensor.strides)
    if order is None:
        raise WeightsError(f"{path}: {name} has gaps or repeats between its numbers; save it after .contiguous()")
    made = file_tensor(path, start, tensor.shape, dtype, order)
    first = tensor.offset * made.itemsize
    if tensor.offset < 0 or first + made.itemsize * count(tensor.shape) > size:
        raise WeightsError(f"{path}: {name} reaches beyond its storage; get the file anew")
    return file_tensor(path, start + first, tensor.shape, dtype, order)


def _order(shape: Shape, strides: Shape) -> tuple[int, ...] | None:
    """The axes, slowest first, if they lie densely in some order; None otherwise."""
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return None
        step *= shape[axis]
    return tuple(order)
