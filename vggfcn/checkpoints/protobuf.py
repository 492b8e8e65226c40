"""The wire format of protocol buffers, read field by field; long fields stay in the file.

The format is https://protobuf.dev/programming-guides/encoding. A generated parser would hold half a gigabyte of weights
twice. Here the caller chooses which fields to enter, so a hostile file cannot nest deeper than the caller's own code.
"""

import functools
from collections.abc import Iterator
from typing import BinaryIO

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_TEXT = 1 << 16
_FIXED = {FIXED64: 8, FIXED32: 4}
# Most of the fields between the arrays are this short; longer ones are read on.
_WINDOW = 1 << 12
# Bytes of memory that a field and a message with fields take.
_FIELD, _MESSAGE = 200, 800

Value = int | bytes | Span


class Message:
    """The message in a span of a file, or in the whole file: iterates over its fields, in order, as (number, value).

    Values are integers for varints, bytes for fixed-size fields, and a `Span` for fields with a length.
    """

    def __init__(self, file: BinaryIO, budget: Budget, span: Span | None = None):
        self.file, self.budget = file, budget
        self.span = span or Span(0, budget.size)

    def __iter__(self) -> Iterator[tuple[int, Value]]:
        stream, stop = _Stream(self.file, self.budget, self.span.offset), self.span.offset + self.span.size
        while stream.position < stop:
            self.budget.spend(made=_FIELD)
            key = stream.varint()
            number, value = key >> 3, stream.value(key & 7)
            if stream.position > stop or not number:
                raise stream.damaged()
            yield number, value

    @functools.cached_property
    def _fields(self) -> dict[int, list[Value]]:
        """The values by the number of their field. They are read once, however many fields are asked for."""
        fields: dict[int, list[Value]] = {}
        for number, value in self:
            fields.setdefault(number, []).append(value)
        return fields

    def values(self, number: int) -> list[Value]:
        """All values of the field with this number."""
        return self._fields.get(number, [])

    def spans(self, number: int) -> list[Span]:
        """All values of a field that have a length."""
        return [value for value in self.values(number) if isinstance(value, Span)]

    def messages(self, number: int) -> Iterator["Message"]:
        """All values of a field, as messages."""
        for span in self.spans(number):
            self.budget.spend(made=_MESSAGE)
            yield Message(self.file, self.budget, span)

    def text(self, number: int) -> str:
        """The last value of a field, as text; empty if there is none."""
        return "".join(self._text(span) for span in self.spans(number)[-1:])

    def texts(self, number: int) -> list[str]:
        """All values of a field, as text."""
        return [self._text(span) for span in self.spans(number)]

    def integers(self, number: int) -> list[int]:
        """The integers of a repeated field, packed or not."""
        integers: list[int] = []
        for value in self.values(number):
            if isinstance(value, Span):
                integers += self._packed(value)
            elif isinstance(value, int):
                integers.append(value)
        return integers

    def _packed(self, span: Span) -> Iterator[int]:
        self._check_length(span)
        stream = _Stream(self.file, self.budget, span.offset)
        while stream.position < span.offset + span.size:
            self.budget.spend()
            yield stream.varint()

    def _text(self, span: Span) -> str:
        self._check_length(span)
        self.file.seek(span.offset)
        return self.file.read(span.size).decode("utf-8", "replace")

    def _check_length(self, span: Span) -> None:
        if span.size > MAX_TEXT:
            raise damaged(self.budget.path, "damaged, or not a protocol buffer")
        self.budget.spend(made=span.size)


class _Stream:
    """Numbers from a position of the file on, read through a small window."""

    def __init__(self, file: BinaryIO, budget: Budget, position: int):
        self.file, self.budget, self.position = file, budget, position
        self.window, self.start = b"", position

    def value(self, wire_type: int) -> Value:
        """A field's value, of which a `Span` is skipped."""
        if wire_type == VARINT:
            return self.varint()
        if wire_type == BYTES:
            size = self.varint()
            self.position += size
            return Span(self.position - size, size)
        if wire_type in _FIXED:
            return bytes(self._byte() for _ in range(_FIXED[wire_type]))
        raise self.damaged()

    def varint(self) -> int:
        """An integer of 64 bits, seven in each byte."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (1 << 64) - 1
        raise self.damaged()

    def _byte(self) -> int:
        index = self.position - self.start
        if index >= len(self.window):
            self.file.seek(min(self.position, self.budget.size))
            self.window, self.start, index = self.file.read(_WINDOW), self.position, 0
            if not self.window:
                raise self.damaged()
        self.position += 1
        return self.window[index]

    def damaged(self) -> WeightsError:
        """The error for bytes that are no fields."""
        return damaged(self.budget.path, "damaged, or not a protocol buffer")


def is_protobuf(file: BinaryIO, budget: Budget) -> bool:
    """Whether the whole file is a sequence of fields, at least one of them with a length, as in a saved network."""
    try:
        found = [isinstance(value, Span) for _, value in Message(file, budget)]
    except WeightsError:
        return False
    return any(found)
