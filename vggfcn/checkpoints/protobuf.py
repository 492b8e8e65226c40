"""Protocol buffers' wire format, read field by field; long fields stay in the file.

The format is https://protobuf.dev/programming-guides/encoding. A generated parser would hold half a gigabyte of
weights twice; here the caller says which fields it enters, so nesting is as deep as the caller's own code.
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
    """A message that fills bytes [start, stop) of a file: its fields, in order, as (number, value).

    Values are integers for varints, bytes for fixed ones, and a `Span` for whatever has a length.
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
            number, kind = key >> 3, key & 7
            value = self._value(kind)
            position = self.file.tell()
            if isinstance(value, Span):
                position = value.offset + value.size
            if position > self.stop or not number:
                raise self._damaged()
            yield number, value

    def _value(self, kind: int) -> int | bytes | Span:
        if kind == VARINT:
            return self._varint()
        if kind == BYTES:
            size = self._varint()
            return Span(self.file.tell(), size)
        if kind in (FIXED64, FIXED32):
            return self.file.read(8 if kind == FIXED64 else 4)
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
        return damaged(self.path, "damaged, or no protocol buffer")

    def all(self, number: int) -> list[Any]:
        """Every value of one field."""
        return [value for found, value in self if found == number]

    def spans(self, number: int) -> list[Span]:
        """Every value of a field that has a length."""
        return [value for value in self.all(number) if isinstance(value, Span)]

    def messages(self, number: int) -> Iterator["Message"]:
        """Every value of a field as a message."""
        return (Message(self.path, self.file, span) for span in self.spans(number))

    def text(self, number: int) -> str:
        """The last value of a field as text; empty if there is none."""
        return ["", *self.texts(number)][-1]

    def texts(self, number: int) -> list[str]:
        """Every value of a field as text."""
        return [self._bytes(span).decode("utf-8", "replace") for span in self.spans(number)]

    def integers(self, number: int) -> list[int]:
        """The integers of a repeated field, packed or not."""
        found: list[int] = []
        for value in self.all(number):
            if isinstance(value, Span):
                self._bytes(value)
                self.file.seek(value.offset)
                while self.file.tell() < value.offset + value.size:
                    found.append(self._varint())
            elif isinstance(value, int):
                found.append(value)
        return found

    def _bytes(self, span: Span) -> bytes:
        if span.size > MAX_TEXT:
            raise self._damaged()
        self.file.seek(span.offset)
        return self.file.read(span.size)


def looks_like(path: pathlib.Path) -> bool:
    """Whether the file as a whole is a sequence of fields with lengths, as a network is."""
    with path.open("rb") as file:
        try:
            return any(isinstance(value, Span) for _, value in Message(path, file))
        except WeightsError:
            return False
