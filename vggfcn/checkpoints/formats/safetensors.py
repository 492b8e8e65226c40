"""Reads safetensors files: the length of a JSON header, the header, then the arrays without gaps.

The format is https://huggingface.co/docs/safetensors. The arrays stay in the file until they are needed.
"""

import pathlib
from typing import Any

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.torch import without_prefixes
from vggfcn.checkpoints.json_text import parse
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import BFLOAT16, MAX_DIMENSIONS, Container, FileFormat, Tensor, file_tensor
from vggfcn.errors import shown
from vggfcn.files import open_regular

MAX_HEADER = 100_000_000  # as in the format's own reader
METADATA = "__metadata__"
DTYPES = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def matches(start: bytes) -> bool:
    """Whether the first bytes are those of a safetensors file: eight bytes of length, then "{"."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays under their names in the header, and the metadata that `networks.writing` writes."""
    header, start = _header(path, budget)
    metadata = header.pop(METADATA, {})
    tensors: dict[str, Tensor] = {}
    end = start
    for name, entry in sorted(header.items(), key=lambda item: _offsets(path, *item)):
        first, stop = _offsets(path, name, entry)
        dtype, shape = entry.get("dtype"), entry.get("shape")
        if not isinstance(dtype, str) or dtype not in DTYPES or not _is_shape(shape):
            raise damaged(path, f"{shown(name)} has an unknown dtype or an invalid shape")
        tensor = file_tensor(path, start + first, tuple(shape), DTYPES[dtype])
        if start + first != end or tensor.nbytes != stop - first:
            raise damaged(path, f"{shown(name)} overlaps another array or leaves a gap")
        tensors[budget.name(name)] = tensor
        end = start + stop
    preprocessing, labels = _parse_metadata(budget, metadata)
    arrays = without_prefixes(path, {name: tensors[name] for name in header})
    return Container(path, FileFormat.SAFETENSORS, arrays, preprocessing, labels=labels)


def _header(path: pathlib.Path, budget: Budget) -> tuple[dict[str, Any], int]:
    """The header, and the position of the first array."""
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(MAX_HEADER, budget.size - 8):
            raise damaged(path, f"states a header of {size} bytes, but the file is shorter")
        budget.check_text(size, "the header")
        text = file.read(size)
    header = parse(budget, text, "the header", unique=True)
    if not isinstance(header, dict):
        raise damaged(path, "the header is not a JSON object")
    return header, 8 + size


def _offsets(path: pathlib.Path, name: str, entry: object) -> tuple[int, int]:
    match entry:
        case {"data_offsets": [int(first), int(stop)]} if 0 <= first <= stop < 1 << 63:
            return first, stop
    raise damaged(path, f"{shown(name)} has no valid data_offsets")


def _is_shape(shape: object) -> bool:
    return isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS and all(type(size) is int for size in shape)


def _parse_metadata(budget: Budget, metadata: object) -> tuple[Preprocessing | None, tuple[str, ...] | None]:
    """The preprocessing of RGB and the class names that the metadata states."""
    if not isinstance(metadata, dict):
        return None, None
    stated = {name: _list(budget, metadata, name) for name in ("labels", "mean", "std") if name in metadata}
    labels = stated.get("labels")
    if labels is not None and not all(isinstance(label, str) for label in labels):
        raise damaged(budget.path, "the metadata has labels that are no texts")
    names = None if labels is None else tuple(labels)
    if "mean" not in stated:
        return None, names
    mean, std = stated["mean"], stated.get("std", [])
    if not all(isinstance(number, int | float) for number in (*mean, *std)):
        raise damaged(budget.path, "the metadata has a mean or std that is no list of numbers")
    return Preprocessing.checked(budget.path, [*map(float, mean)], [*map(float, std)]), names


def _list(budget: Budget, metadata: dict[str, Any], name: str) -> list[Any]:
    """A list in JSON, which the metadata keeps as text."""
    text = metadata[name]
    value = parse(budget, text, f"the metadata's {name}") if isinstance(text, str) else None
    if not isinstance(value, list):
        raise damaged(budget.path, f"the metadata has no list of {name}")
    return value
