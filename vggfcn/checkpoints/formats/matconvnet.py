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
from typing import Any, BinaryIO

import numpy as np

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Step
from vggfcn.checkpoints.tensors import (
    MAX_DIMENSIONS,
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
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

SIGNATURE = b"MATLAB 5.0 MAT-file"
HEADER = 128
COMPRESSED, MATRIX = 15, 14
# Type of a data element -> NumPy's dtype. MATLAB may store an array in another type than that of its class.
DTYPES = {1: "|i1", 2: "|u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
DTYPES |= {16: "|u1", 17: "<u2", 18: "<u4"}  # text
CELL, STRUCT, OBJECT, TEXT = 1, 2, 3, 4  # Classes of arrays; 6 to 15 are numeric.
MAX_DEPTH = 12
MAX_FIELD_NAME = 64
# Numbers of a size, a stride or a mean colour.
MAX_NUMBERS = 8
# Bytes of memory that an element and a field take.
_ELEMENT, _FIELD = 500, 100
# Copies of a text while it is decoded, in up to four bytes a character.
_TEXT_COPIES = 12
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Bytes:
    """`size` bytes from `offset` on, in `data` if it is given, otherwise in the file."""

    file: BinaryIO
    budget: Budget
    offset: int
    size: int
    data: bytes | bytearray | None = None

    @property
    def path(self) -> pathlib.Path:
        """The file's path, for messages."""
        return self.budget.path

    def part(self, start: int, size: int) -> "_Bytes":
        """`size` of these bytes, from `start` on; raises `WeightsError` if there are fewer."""
        if start < 0 or size < 0 or start + size > self.size:
            raise damaged(self.path, "the MATLAB file is damaged or truncated")
        return dataclasses.replace(self, offset=self.offset + start, size=size)

    def read(self) -> bytes:
        """Read the bytes."""
        self.budget.spend(0, self.size)
        if self.data is not None:
            return bytes(self.data[self.offset : self.offset + self.size])
        self.file.seek(self.offset)
        return self.file.read(self.size)

    def elements(self) -> Iterator[tuple[int, "_Bytes"]]:
        """(type, content) of the data elements in these bytes, each padded to a multiple of eight bytes."""
        position = 0
        while position < self.size:
            self.budget.spend(made=_ELEMENT)
            element_type, size = struct.unpack("<II", self.part(position, 8).read())
            if element_type >> 16:  # A small element stores its content in its tag.
                yield element_type & 0xFFFF, self.part(position + 4, element_type >> 16)
                position += 8
                continue
            yield element_type, self.part(position + 8, size)
            position += 8 + size + (-size % 8 if element_type != COMPRESSED else 0)


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays, named "<layer>/0" (kernel) and "<layer>/1" (bias), the mean colour and the class names."""
    with open_regular(path) as file:
        variables = dict(_variables(file, budget))
    layers = variables.get("layers")
    if not isinstance(layers, list):
        raise WeightsError(f"{path}: expected a MatConvNet network with a variable 'layers', found {_names(variables)}")
    tensors: dict[str, Tensor] = {}
    found: list[Step] = []
    for layer in layers:
        fields = _struct(layer)
        found += _steps(path, fields)
        weights = fields.get("weights") or [fields.get("filters"), fields.get("biases")]
        for position, array in enumerate(weights if isinstance(weights, list) else ()):
            if _is_tensor(array):
                tensors[budget.name(_text(fields.get("name")), position)] = array
    meta = _struct(variables.get("meta"))
    return Container(
        *(path, FileFormat.MAT, tensors),
        preprocessing=_preprocessing(path, meta),
        labels=_labels(meta),
        steps=[*_input(path, meta), *found],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _steps(path: pathlib.Path, fields: dict[str, Any]) -> Iterator[Step]:
    """What a layer computes, as far as its fields say. A network ends in the softmax, or in training with a loss."""
    kind, name = _text(fields.get("type")), _text(fields.get("name"))
    stride, padding = _sides(path, fields.get("stride")), _sides(path, fields.get("pad"))
    # At even sizes the pools of some files have a row and a column of padding that they never reach.
    window = {"stride": stride, "padding": 0 if padding == (0, 1, 0, 1) and kind == "pool" else padding}
    if kind == "conv":
        window |= {"dilation": _sides(path, fields.get("dilate")), "arrays": name}
        yield Step(steps.CONVOLUTION, {key: value for key, value in window.items() if value is not None}, name)
    elif kind == "pool":
        window |= {"size": _sides(path, fields.get("pool"))}
        method = {"max": steps.MAX_POOLING, "avg": steps.AVERAGE_POOLING}.get(_text(fields.get("method")), "pooling")
        yield Step(method, {key: value for key, value in window.items() if value is not None}, name)
    elif kind == "relu":
        leaky = any(_numbers(path, fields.get("leak")) or ())
        yield Step(steps.RELU, {"leak": True} if leaky else {}, name)
    elif kind not in ("dropout", "softmaxloss"):
        yield Step(steps.SOFTMAX if kind == "softmax" else f"a layer of the type {shown(kind)}", {}, name)


def _numbers(path: pathlib.Path, value: Any) -> list[float] | None:
    """The few numbers of a field; None if it is missing."""
    if value is None or not _is_tensor(value):
        return None
    if count(value.shape) > MAX_NUMBERS:
        raise damaged(path, f"has {count(value.shape):,} numbers where a network has up to {MAX_NUMBERS}")
    numbers: list[float] = as_array(value).ravel().tolist()
    return numbers


def _sides(path: pathlib.Path, value: Any) -> Any:
    """A field with a number for all sides or one for each; None if it is missing."""
    numbers = _numbers(path, value)
    return None if numbers is None else steps.size([int(side) if side.is_integer() else side for side in numbers])


def _input(path: pathlib.Path, meta: dict[str, Any]) -> list[Step]:
    size = _sides(path, _struct(meta.get("normalization")).get("imageSize"))
    return [Step(steps.INPUT, dict(zip(("rows", "columns"), size, strict=False)))] if isinstance(size, tuple) else []


def _variables(file: BinaryIO, budget: Budget) -> Iterator[tuple[str, object]]:
    whole = _Bytes(file, budget, 0, budget.size)
    if whole.part(0, HEADER).read()[126:128] != b"IM":
        raise WeightsError(f"{budget.path}: expected a little-endian MATLAB 5 file; save it again with -v7")
    for element_type, content in whole.part(HEADER, whole.size - HEADER).elements():
        if element_type == COMPRESSED:
            element_type, content = next(_decompressed(content).elements(), (0, content))
        if element_type == MATRIX:
            yield _matrix(content, 0)


def _decompressed(content: _Bytes) -> _Bytes:
    data, decompressor = bytearray(), zlib.decompressobj()
    for start in range(0, content.size, _BLOCK):
        packed = content.part(start, min(_BLOCK, content.size - start)).read()
        while packed and not decompressor.eof:
            piece = decompressor.decompress(packed, _BLOCK)
            content.budget.spend(0, len(piece))
            data += piece
            packed = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise damaged(content.path, "compressed data ends too early")
    return dataclasses.replace(content, offset=0, size=len(data), data=data)


def _matrix(content: _Bytes, depth: int) -> tuple[str, object]:
    """(name, value) of an array; the value is a list of cells, a list of structs as dicts, a string or a tensor."""
    if depth > MAX_DEPTH:
        raise damaged(content.path, f"arrays are nested more than {MAX_DEPTH} levels deep")
    if not content.size:
        return "", None
    parts = content.elements()
    (_, flags), (_, dimensions), (_, name) = itertools.islice(parts, 3)
    if dimensions.size > 4 * MAX_DIMENSIONS:
        raise damaged(content.path, f"an array has {dimensions.size // 4:,} axes")
    shape = struct.unpack(f"<{dimensions.size // 4}i", dimensions.read())
    check_shape(content.path, tuple(max(size, 1) for size in shape))
    return name.read().decode("latin1"), _value(content, flags.part(0, 1).read()[0], shape, parts, depth)


def _value(content: _Bytes, array_class: int, shape: Shape, parts: Iterator[tuple[int, _Bytes]], depth: int) -> object:
    if array_class == CELL:
        return [_matrix(part, depth + 1)[1] for _, part in parts]
    if array_class in (STRUCT, OBJECT):
        return _structs(content, parts, depth)
    element_type, content = next(parts, (0, content))
    if element_type not in DTYPES or 0 in shape:
        return None
    if array_class == TEXT:
        content.budget.spend(0, _TEXT_COPIES * content.size)
        return np.frombuffer(content.read(), DTYPES[element_type]).astype("<u4").tobytes().decode("utf-32", "replace")
    return _tensor(content, shape, DTYPES[element_type])


def _structs(content: _Bytes, parts: Iterator[tuple[int, _Bytes]], depth: int) -> list[dict[str, object]]:
    (_, width), (_, names) = itertools.islice(parts, 2)
    (length,) = struct.unpack("<i", width.part(0, 4).read())
    if not 0 < length <= MAX_FIELD_NAME:
        raise damaged(content.path, "the field names of a struct are damaged")
    content.budget.spend(names.size // length, made=_FIELD * (names.size // length))
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
    return ", ".join(map(shown, itertools.islice(variables, 10))) or "none"
