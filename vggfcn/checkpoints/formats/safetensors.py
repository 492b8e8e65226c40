"""Reads safetensors files: the length of a JSON header, the header, then the arrays without gaps.

The format is https://huggingface.co/docs/safetensors. The arrays stay in the file until they are needed.
"""

import json
import pathlib
from typing import Any

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.torch import without_prefixes
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import BFLOAT16, Container, FileFormat, Tensor, file_tensor

MAX_HEADER = 100_000_000
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


def read(path: pathlib.Path) -> Container:
    """The arrays under their names in the header, and the metadata that `networks.writing` writes."""
    header, start = _header(path)
    metadata = header.pop(METADATA, {})
    tensors: dict[str, Tensor] = {}
    end = start
    for name, entry in sorted(header.items(), key=lambda item: _offsets(path, *item)):
        first, stop = _offsets(path, name, entry)
        if entry.get("dtype") not in DTYPES or not _is_shape(entry.get("shape")):
            raise damaged(path, f"{name[:80]!r} has an unknown dtype or an invalid shape")
        tensor = file_tensor(path, start + first, tuple(entry["shape"]), DTYPES[entry["dtype"]])
        if start + first != end or tensor.nbytes != stop - first:
            raise damaged(path, f"{name[:80]!r} overlaps another array or leaves a gap")
        tensors[name] = tensor
        end = start + stop
    preprocessing, labels = _parse_metadata(path, metadata)
    arrays = without_prefixes(path, {name: tensors[name] for name in header})
    return Container(path, FileFormat.SAFETENSORS, arrays, preprocessing, labels=labels)


def _header(path: pathlib.Path) -> tuple[dict[str, Any], int]:
    """The header, and the position of the first array."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(MAX_HEADER, path.stat().st_size - 8):
            raise damaged(path, f"states a header of {size} bytes, but the file is shorter")
        text = file.read(size)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"the header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise damaged(path, "the header is not a JSON object")
    return header, 8 + size


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate name")
    return dict(pairs)


def _offsets(path: pathlib.Path, name: str, entry: object) -> tuple[int, int]:
    match entry:
        case {"data_offsets": [int(first), int(stop)]} if 0 <= first <= stop:
            return first, stop
    raise damaged(path, f"{name[:80]!r} has no valid data_offsets")


def _is_shape(shape: object) -> bool:
    return isinstance(shape, list) and all(type(size) is int for size in shape)


def _parse_metadata(path: pathlib.Path, metadata: object) -> tuple[Preprocessing | None, tuple[str, ...] | None]:
    """The preprocessing of RGB and the class names that the metadata states."""
    if not isinstance(metadata, dict):
        return None, None
    try:
        labels = json.loads(metadata["labels"]) if "labels" in metadata else None
        labels = None if labels is None else tuple(map(str, labels))
        if "mean" not in metadata:
            return None, labels
        mean, std = (tuple(map(float, json.loads(metadata[key]))) for key in ("mean", "std"))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise damaged(path, f"the metadata is damaged ({error})") from None
    return Preprocessing.checked(path, mean, std), labels
