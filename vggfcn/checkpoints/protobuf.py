"""The wire format of protocol buffers, read field by field; long fields stay in the file.

The format is https://protobuf.dev/programming-guides/encoding. A generated parser would hold half a gigabyte of weights
twice. Here the caller chooses which fields to enter, so a hostile file cannot nest deeper than the caller's own code.
"""

import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_TEXT = 1 << 16


class Message:
    """The message in a span of a file, or in the whole file: iterates over its fields, in order, as (number, value).

    Values are integers for varints, bytes for fixed-size fields, and a `Span` for fields with a length.
    """

    def __init__(self, path: pathlib.Path, file: BinaryIO, span: Span | None = None):
        self.path, self.file = path, file
        self.start = span.offset if span else 0
        self.stop = span.offset + span.size if span else path.stat().st_size

    def __iter__(self) -> Iterator[tuple[int, int | bytes | Span]]:
        position = self.start
        while position < self.stop:
            self.file.seek(position)
            key = self._varint()
            number, wire_type = key >> 3, key & 7
            value = self._value(wire_type)
            position = self.file.tell()
            if isinstance(value, Span):
                position = value.offset + value.size
            if position > self.stop or not number:
                raise self._damaged()
            yield number, value

    def _value(self, wire_type: int) -> int | bytes | Span:
        if wire_type == VARINT:
            return self._varint()
        if wire_type == BYTES:
            size = self._varint()
            return Span(self.file.tell(), size)
        if wire_type in (FIXED64, FIXED32):
            return self.file.read(8 if wire_type == FIXED64 else 4)
        raise self._damaged()

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1)
            if not byte:
                raise self._damaged()
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value & (1 << 64) - 1
        raise self._damaged()

    def _damaged(self) -> WeightsError:
        return damaged(self.path, "damaged, or not a protocol buffer")

    def values(self, number: int) -> list[Any]:
        """All values of the field with this number."""
        return [value for found, value in self if found == number]

    def spans(self, number: int) -> list[Span]:
        """All values of a field that have a length."""
        return [value for value in self.values(number) if isinstance(value, Span)]

    def messages(self, number: int) -> Iterator["Message"]:
        """All values of a field, as messages."""
        return (Message(self.path, self.file, span) for span in self.spans(number))

    def text(self, number: int) -> str:
        """The last value of a field, as text; empty if there is none."""
        return ["", *self.texts(number)][-1]

    def texts(self, number: int) -> list[str]:
        """All values of a field, as text."""
        return [self._bytes(span).decode("utf-8", "replace") for span in self.spans(number)]

    def integers(self, number: int) -> list[int]:
        """The integers of a repeated field, packed or not."""
        integers: list[int] = []
        for value in self.values(number):
            if isinstance(value, Span):
                self._check_length(value)
                self.file.seek(value.offset)
                while self.file.tell() < value.offset + value.size:
                    integers.append(self._varint())
            elif isinstance(value, int):
                integers.append(value)
        return integers

    def _check_length(self, span: Span) -> None:
        if span.size > MAX_TEXT:
            raise self._damaged()

    def _bytes(self, span: Span) -> bytes:
        self._check_length(span)
        self.file.seek(span.offset)
        return self.file.read(span.size)


def is_protobuf(path: pathlib.Path) -> bool:
    """Whether the whole file is a sequence of fields, at least one of them with a length, as in a saved network."""
    with path.open("rb") as file:
        try:
            return any(isinstance(value, Span) for _, value in Message(path, file))
        except WeightsError:
            return False
