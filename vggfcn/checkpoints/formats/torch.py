"""Reads torch's files: a pickled state dict and the storages that hold its tensors, in either of two containers.

Since torch 1.6, the file is a zip archive with `<folder>/data.pkl` and one uncompressed member per storage. Before, it
was a sequence of five pickles followed by the storages. The pickles are a magic number, a protocol version, properties
of the machine that wrote the file, the state dict, and the keys of the storages in their order in the file. Each
storage is its number of elements (int64) and its bytes.
"""

import itertools
import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

from vggfcn.checkpoints import zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickles.machine import PickleReader
from vggfcn.checkpoints.pickles.records import Dict, Global, Persistent, TorchTensor
from vggfcn.checkpoints.tensors import BFLOAT16, Container, FileFormat, FileTensor, Shape, Tensor, count, file_tensor
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

PICKLE = "data.pkl"
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_SIGNATURE = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")
LEGACY_VERSION = 1001
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
# Keys under which training scripts save the state dict.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
# Prefixes that wrappers and people's own classes add to every name, in any order and number.
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "backbone.",
    "encoder.",
    "net.",
    "network.",
    "vgg.",
    "base.",
    "base_model.",
)
MAX_NESTING = 4
_WITH_VIEW = 6  # parts of a persistent id in the legacy format, the last for a part of a storage


def archive_folder(archive: zipfile.ZipFile) -> str | None:
    """The folder with torch's pickle in the archive, ending in "/", or None if this is not a torch file."""
    return next((name.removesuffix(PICKLE) for name in archive.namelist() if name.endswith(f"/{PICKLE}")), None)


def read_zip(path: pathlib.Path, budget: Budget) -> Container:
    """The tensors of the state dict in a zip archive, under torch's names."""
    with zip_members.open_archive(path) as archive:
        folder = archive_folder(archive)
        if f"{folder}constants.pkl" in archive.namelist():
            raise WeightsError(
                f"{path}: expected a state dict, found a TorchScript program; save only the arrays: "
                "torch.save(model.state_dict(), path)"
            )
        order = f"{folder}byteorder"
        if order in archive.namelist() and zip_members.read_member(path, archive, order, budget) != b"little":
            raise WeightsError(f"{path}: was written on a big-endian machine; save it on a little-endian one")
        members = {member.filename: member for member in archive.infolist()}
    start, size = zip_members.stored_span(path, members[f"{folder}{PICKLE}"])
    with open_regular(path) as file:
        file.seek(start)
        value = PickleReader(file, start + size, budget).run()
    data = f"{folder}data/"
    spans = {
        name.removeprefix(data): zip_members.stored_span(path, member)
        for name, member in members.items()
        if name.startswith(data)
    }
    return Container(path, FileFormat.TORCH_ZIP, _tensors(budget, value, spans))


def read_legacy(path: pathlib.Path, budget: Budget) -> Container:
    """The tensors of the state dict in a file of torch before 1.6, under torch's names."""
    with open_regular(path) as file:
        magic, version, system = (PickleReader(file, budget.size, budget).run() for _ in range(3))
        if magic != MAGIC or version != LEGACY_VERSION:
            raise WeightsError(f"{path}: expected version {LEGACY_VERSION} of torch's format, found {shown(version)}")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise WeightsError(f"{path}: was written on a big-endian machine; save it on a little-endian one")
        reader = PickleReader(file, budget.size, budget)
        value = reader.run()
        keys = PickleReader(file, budget.size, budget).run()
        spans = _legacy_spans(path, file, reader, keys)
        return Container(path, FileFormat.TORCH_LEGACY, _tensors(budget, value, spans))


def _legacy_spans(path: pathlib.Path, file: BinaryIO, reader: PickleReader, keys: Any) -> dict[str, tuple[int, int]]:
    """(first byte, number of bytes) of each storage, by its key."""
    dtypes = {key: dtype for key, dtype, _ in (_storage(path, value) for value in reader.references)}
    spans = {}
    for key in keys if isinstance(keys, list) else ():
        header = file.read(8)
        if len(header) < 8 or not isinstance(key, str) or key not in dtypes:
            raise damaged(path, "the list of storages is damaged")
        (elements,) = struct.unpack("<q", header)
        tensor = file_tensor(path, file.tell(), (elements,), dtypes[key]) if elements else None
        size = elements * tensor.itemsize if tensor else 0
        spans[key] = file.tell(), size
        file.seek(size, os.SEEK_CUR)
    return spans


def _storage(path: pathlib.Path, reference: Persistent) -> tuple[str, str, int]:
    """(key, dtype, number of elements) of the storage that a persistent id names."""
    value = reference.value
    if isinstance(value, tuple) and len(value) == _WITH_VIEW and value[-1] is None:
        value = value[:-1]
    match value:
        case ("storage", Global(name), str(key), _, int(size)) if name in DTYPES:
            return key, DTYPES[name], size
    raise WeightsError(f"{path}: has a storage of an unknown type; save model.state_dict() again")


def _tensors(budget: Budget, pickled: Any, spans: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """The tensors of a pickled state dict by name; `spans` gives each storage's (first byte, number of bytes).

    Raises `WeightsError` if there is no state dict, or if a tensor extends beyond its storage.
    """
    tensors: dict[str, Tensor] = {}
    for key, value in _state_dict(budget.path, pickled).items():
        if isinstance(value, TorchTensor) and count(value.shape):
            name = budget.name(key)
            tensors[name] = _tensor(budget.path, name, value, spans)
    return without_prefixes(budget.path, tensors)


def without_prefixes(path: pathlib.Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what wrappers put before every name, and without DataParallel's "module" within names."""
    common, length = os.path.commonprefix(list(tensors)), 0  # noqa: RUF071 - Characters are what is compared.
    while prefix := next((prefix for prefix in PREFIXES if common.startswith(prefix, length)), ""):
        length += len(prefix)
    shorter = {name[length:].replace(".module.", "."): tensor for name, tensor in tensors.items()}
    if len(shorter) != len(tensors):
        raise WeightsError(f'{path}: has names that differ only by DataParallel\'s "module"; save one network alone')
    return shorter


def _state_dict(path: pathlib.Path, pickled: Any) -> Dict:
    """The state dict, which is the pickled object itself or one of its values."""
    candidates = [pickled]
    for _ in range(MAX_NESTING):
        for candidate in candidates:
            if isinstance(candidate, Dict) and any(isinstance(value, TorchTensor) for value in candidate.values()):
                return candidate
        inner = [item[key] for item in candidates if isinstance(item, Dict) for key in STATE_DICT_KEYS if key in item]
        candidates = list({id(item): item for item in inner}.values())  # Each once, however often it is in others.
    if isinstance(pickled, Dict):
        found = f"a dict with {', '.join(str(key)[:40] for key in itertools.islice(pickled, 20)) or 'nothing'}"
    else:
        found = f"a pickled {type(pickled).__name__}"
    raise WeightsError(f"{path}: expected a state dict, found {found}; save model.state_dict()")


def _tensor(path: pathlib.Path, name: str, tensor: TorchTensor, spans: Mapping[str, tuple[int, int]]) -> FileTensor:
    key, dtype, _ = _storage(path, tensor.storage)
    if key not in spans:
        raise damaged(path, f"{name} belongs to the storage {shown(key)}, which is missing")
    start, size = spans[key]
    order = _order(tensor.shape, tensor.strides)
    if order is None:
        raise WeightsError(f"{path}: {name} is not stored contiguously; save tensor.contiguous() instead")
    itemsize = file_tensor(path, start, tensor.shape, dtype, order).itemsize
    first = tensor.offset * itemsize
    if tensor.offset < 0 or first + itemsize * count(tensor.shape) > size:
        raise damaged(path, f"{name} extends beyond its storage")
    return file_tensor(path, start + first, tensor.shape, dtype, order)


def _order(shape: Shape, strides: Shape) -> tuple[int, ...] | None:
    """The axes, slowest first, if the tensor is contiguous in some order of its axes; otherwise None."""
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return None
        step *= shape[axis]
    return tuple(order)
