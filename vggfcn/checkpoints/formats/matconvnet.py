"""Reads MatConvNet's `.mat`: a MATLAB 5 file whose variable `layers` is a cell array of structs.

The format is version 5 of MathWorks' "MAT-File Format". A variable may be compressed as a whole; it is then unpacked in
memory, up to a limit that depends on the file's size. Otherwise arrays stay in the file. MATLAB stores arrays in
column-major order.
"""

import dataclasses
import itertools
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Step
from vggfcn.checkpoints.tensors import (
    EXPANSION,
    ArrayTensor,
    Container,
    FileFormat,
    Shape,
    Tensor,
    as_array,
    check_shape,
    count,
    file_tensor,
)
from vggfcn.errors import WeightsError

SIGNATURE = b"MATLAB 5.0 MAT-file"
HEADER = 128
COMPRESSED, MATRIX = 15, 14
# Type of a data element -> NumPy's dtype. MATLAB may store an array in another type than that of its class.
DTYPES = {1: "|i1", 2: "|u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
DTYPES |= {16: "|u1", 17: "<u2", 18: "<u4"}  # text
CELL, STRUCT, OBJECT, TEXT = 1, 2, 3, 4  # Classes of arrays; 6 to 15 are numeric.
MAX_DEPTH = 12


@dataclasses.dataclass(frozen=True)
class _Bytes:
    """`size` bytes from `offset` on, in `data` if it is given, otherwise in the file."""

    path: pathlib.Path
    offset: int
    size: int
    data: bytes | None = None

    def part(self, start: int, size: int) -> "_Bytes":
        """`size` of these bytes, from `start` on; raises `WeightsError` if there are fewer."""
        if start < 0 or size < 0 or start + size > self.size:
            raise damaged(self.path, "the MATLAB file is damaged or truncated")
        return _Bytes(self.path, self.offset + start, size, self.data)

    def read(self) -> bytes:
        """Read the bytes."""
        if self.data is not None:
            return self.data[self.offset : self.offset + self.size]
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def elements(self) -> Iterator[tuple[int, "_Bytes"]]:
        """(type, content) of the data elements in these bytes, each padded to a multiple of eight bytes."""
        position = 0
        while position < self.size:
            element_type, size = struct.unpack("<II", self.part(position, 8).read())
            if element_type >> 16:  # A small element stores its content in its tag.
                yield element_type & 0xFFFF, self.part(position + 4, element_type >> 16)
                position += 8
                continue
            yield element_type, self.part(position + 8, size)
            position += 8 + size + (-size % 8 if element_type != COMPRESSED else 0)


def read(path: pathlib.Path) -> Container:
    """The arrays, named "<layer>/0" (kernel) and "<layer>/1" (bias), the mean colour and the class names."""
    try:
        variables = dict(_variables(path))
    except (RuntimeError, StopIteration, IndexError, ValueError, struct.error) as error:
        raise damaged(path, f"the MATLAB file is damaged ({error})") from None
    layers = variables.get("layers")
    if not isinstance(layers, list):
        raise WeightsError(f"{path}: expected a MatConvNet network with a variable 'layers', found {_names(variables)}")
    tensors: dict[str, Tensor] = {}
    found: list[Step] = []
    for layer in layers:
        fields = _struct(layer)
        found += _steps(fields)
        weights = fields.get("weights") or [fields.get("filters"), fields.get("biases")]
        for position, array in enumerate(weights if isinstance(weights, list) else ()):
            if _is_tensor(array):
                tensors[f"{fields.get('name')}/{position}"] = array
    meta = _struct(variables.get("meta"))
    return Container(
        *(path, FileFormat.MAT, tensors),
        preprocessing=_preprocessing(path, meta),
        labels=_labels(meta),
        steps=[*_input(meta), *found],
    )


def _steps(fields: dict[str, Any]) -> Iterator[Step]:
    """What a layer computes, as far as its fields say. A network ends in the softmax, or in training with a loss."""
    kind, name = str(fields.get("type")), str(fields.get("name"))
    stride, padding = _sides(fields.get("stride")), _sides(fields.get("pad"))
    # At even sizes the pools of some files have a row and a column of padding that they never reach.
    window = {"stride": stride, "padding": 0 if padding == (0, 1, 0, 1) and kind == "pool" else padding}
    if kind == "conv":
        window |= {"dilation": _sides(fields.get("dilate")), "arrays": name}
        yield Step(steps.CONVOLUTION, {key: value for key, value in window.items() if value is not None}, name)
    elif kind == "pool":
        window |= {"size": _sides(fields.get("pool"))}
        method = {"max": steps.MAX_POOLING, "avg": steps.AVERAGE_POOLING}.get(str(fields.get("method")), "pooling")
        yield Step(method, {key: value for key, value in window.items() if value is not None}, name)
    elif kind == "relu":
        leak = fields.get("leak")
        leaky = leak is not None and _is_tensor(leak) and as_array(leak).any()
        yield Step(steps.RELU, {"leak": True} if leaky else {}, name)
    elif kind not in ("dropout", "softmaxloss"):
        yield Step(steps.SOFTMAX if kind == "softmax" else f"a layer of the type {kind!r:.80}", {}, name)


def _sides(value: Any) -> Any:
    """A field with a number for all sides or one for each; None if it is missing."""
    if value is None or not _is_tensor(value):
        return None
    return steps.size([int(side) if side == int(side) else side for side in as_array(value).ravel().tolist()[:8]])


def _input(meta: dict[str, Any]) -> list[Step]:
    size = _sides(_struct(meta.get("normalization")).get("imageSize"))
    return [Step(steps.INPUT, dict(zip(("rows", "columns"), size, strict=False)))] if isinstance(size, tuple) else []


def _variables(path: pathlib.Path) -> Iterator[tuple[str, object]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER)
    if header[126:128] != b"IM":
        raise WeightsError(f"{path}: expected a little-endian MATLAB 5 file; save it again with -v7")
    for element_type, content in _Bytes(path, 0, size).part(HEADER, size - HEADER).elements():
        if element_type == COMPRESSED:
            element_type, content = next(_decompressed(content).elements(), (0, content))
        if element_type == MATRIX:
            yield _matrix(content, 0)


def _decompressed(content: _Bytes) -> _Bytes:
    limit = EXPANSION * content.size
    decompressor = zlib.decompressobj()
    try:
        data = decompressor.decompress(content.read(), limit)
    except zlib.error as error:
        raise damaged(content.path, f"compressed data is damaged ({error})") from None
    if decompressor.unconsumed_tail:
        raise WeightsError(f"{content.path}: unpacks to over {EXPANSION} times the file's size: a decompression bomb")
    return _Bytes(content.path, 0, len(data), data)


def _matrix(content: _Bytes, depth: int) -> tuple[str, object]:
    """(name, value) of an array; the value is a list of cells, a list of structs as dicts, a string or a tensor."""
    if depth > MAX_DEPTH:
        raise damaged(content.path, f"arrays are nested more than {MAX_DEPTH} levels deep")
    if not content.size:
        return "", None
    parts = content.elements()
    flags, dimensions, name = (part.read() for _, part in itertools.islice(parts, 3))
    shape = struct.unpack(f"<{len(dimensions) // 4}i", dimensions)
    check_shape(content.path, tuple(max(size, 1) for size in shape))
    return name.decode("latin1"), _value(content.path, flags[0], shape, parts, depth)


def _value(
    path: pathlib.Path, array_class: int, shape: Shape, parts: Iterator[tuple[int, _Bytes]], depth: int
) -> object:
    if array_class == CELL:
        return [_matrix(part, depth + 1)[1] for _, part in parts]
    if array_class in (STRUCT, OBJECT):
        return _structs(path, parts, depth)
    element_type, content = next(parts, (0, _Bytes(path, 0, 0, b"")))
    if element_type not in DTYPES or 0 in shape:
        return None
    if array_class == TEXT:
        return np.frombuffer(content.read(), DTYPES[element_type]).astype("<u4").tobytes().decode("utf-32", "replace")
    return _tensor(content, shape, DTYPES[element_type])


def _structs(path: pathlib.Path, parts: Iterator[tuple[int, _Bytes]], depth: int) -> list[dict[str, object]]:
    (_, width), (_, names) = next(parts), next(parts)
    (length,) = struct.unpack("<i", width.read()[:4])
    if not 0 < length <= 64:
        raise damaged(path, "the field names of a struct are damaged")
    text = names.read()
    fields = [text[i : i + length].split(b"\0")[0].decode("latin1") for i in range(0, len(text), length)]
    values = [_matrix(part, depth + 1)[1] for _, part in parts]
    return [
        dict(zip(fields, values[i : i + len(fields)], strict=False)) for i in range(0, len(values), len(fields) or 1)
    ]


def _tensor(content: _Bytes, shape: Shape, dtype: str) -> Tensor:
    order = tuple(reversed(range(len(shape))))
    size = count(shape) * np.dtype(dtype).itemsize
    if content.size != size:
        raise damaged(content.path, f"an array of {size} bytes is stored in {content.size} bytes")
    if content.data is None:
        return file_tensor(content.path, content.offset, shape, dtype, order)
    values = np.frombuffer(content.data, dtype, count(shape), content.offset)
    return ArrayTensor(content.path, values.reshape(shape[::-1]), order)


def _preprocessing(path: pathlib.Path, meta: dict[str, Any]) -> Preprocessing | None:
    """The mean colour; raises `WeightsError` for a mean image, which cannot be applied to images of another size."""
    mean = _struct(meta.get("normalization")).get("averageImage")
    if mean is None or not _is_tensor(mean):
        return None
    if count(mean.shape) != 3:
        raise WeightsError(f"{path}: expected a mean colour, found a mean image of shape {mean.shape}")
    return Preprocessing.checked(path, as_array(mean).ravel().tolist(), [1.0] * 3)


def _labels(meta: dict[str, Any]) -> tuple[str, ...] | None:
    names = _struct(meta.get("classes")).get("description")
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _struct(value: object) -> dict[str, Any]:
    """The first of an array of structs; empty if the value is anything else."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _is_tensor(value: object) -> bool:
    return hasattr(value, "read_into")


def _names(variables: dict[str, Any]) -> str:
    return ", ".join(map(repr, list(variables)[:10])) or "none"
