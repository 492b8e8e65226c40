"""Pickles read as data: a small machine that knows the opcodes of pickled arrays, imports nothing and calls nothing.

A pickle is a program for a stack machine; the standard one may import any module and call anything in it. This one
looks names up in a closed table (`pickled.KNOWN`) whose functions only make plain records of what the pickle says. Long
byte strings are not read at all: a `Span` tells where they lie, so that arrays can be read straight from the file.
Opcodes are those of protocols 2 to 5, as in CPython's `pickletools`.
"""

import pathlib
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickle_records import KNOWN, Dict, Global, Persistent
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError

LONG = 1 << 12  # bytes; longer byte strings stay in the file
MARK = object()


class PickleReader:
    """Runs one pickle at the position of a binary file; afterwards the file stands behind it.

    Raises `WeightsError` for names that are not in `KNOWN` and for whatever no pickle of weights holds.
    """

    def __init__(self, path: pathlib.Path, file: BinaryIO, end: int):
        self.path, self.file, self.end = path, file, end
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.references: list[Persistent] = []

    def run(self) -> Any:
        """The value that the pickle stands for."""
        try:
            while (opcode := self._take(1)) != b".":
                operation = _OPERATIONS.get(opcode)
                if operation is None:
                    raise ValueError(f"opcode {opcode!r}")
                operation(self)
            return self.stack.pop()
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, UnicodeError, struct.error) as error:
            raise damaged(self.path, f"damaged, or no pickle of arrays ({type(error).__name__}: {error})") from None

    def _take(self, size: int) -> bytes:
        self._check(size)
        taken = self.file.read(size)
        if len(taken) != size:
            raise damaged(self.path, "ends in the middle of a pickle")
        return taken

    def _check(self, size: int) -> None:
        if size < 0 or self.file.tell() + size > self.end:
            raise damaged(self.path, "ends in the middle of a pickle")

    def number(self, code: str) -> Any:
        """The next number in the file, in `struct`'s code."""
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def line(self) -> str:
        """Text up to the end of the line."""
        line = self.file.readline(1 << 10)
        if not line.endswith(b"\n"):
            raise ValueError("an endless line")
        return line[:-1].decode()

    def text(self, code: str) -> str:
        """Text behind its length."""
        return self._take(self.number(code)).decode("utf-8", "surrogatepass")

    def data(self, code: str) -> bytes | Span:
        """Bytes behind their length, or where they lie if they are many."""
        size = self.number(code)
        if size <= LONG:
            return self._take(size)
        self._check(size)
        span = Span(self.file.tell(), size)
        self.file.seek(size, 1)
        return span

    def string(self, code: str) -> str | bytes | Span:
        """What Python 2 called a string: text if it is short and ASCII, bytes otherwise."""
        data = self.data(code)
        return data.decode() if isinstance(data, bytes) and data.isascii() else data

    def integer(self, size: int) -> int:
        """A little-endian integer of so many bytes."""
        return int.from_bytes(self._take(size), "little", signed=True)

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Take everything down to the topmost mark off the stack."""
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is MARK:
                taken = self.stack[position + 1 :]
                del self.stack[position:]
                return taken
        raise ValueError("no mark")

    def point(self) -> None:
        """Replace a persistent id by what stands for it."""
        reference = Persistent(*self.last(1))
        self.references.append(reference)
        self.push(reference)

    def last(self, size: int) -> tuple[Any, ...]:
        """Take so many values off the stack."""
        if len(self.stack) < size:
            raise ValueError("an empty stack")
        taken = tuple(self.stack[-size:])
        del self.stack[-size:]
        return taken

    def refer(self, module: str, name: str) -> None:
        """Push a name, if it is a known one."""
        full = f"{module}.{name}"
        if full not in KNOWN:
            raise WeightsError(
                f"{self.path}: refers to {full[:100]!r}, which no file of plain arrays does; it was not run. "
                "Save the arrays alone, with torch: torch.save(model.state_dict(), path)"
            )
        self.push(Global(full))

    def reduce(self) -> None:
        """Replace a known name and its arguments by what the name makes of them."""
        target, arguments = self.last(2)
        make = KNOWN[target.name]
        if make is None:
            raise ValueError(f"a call of {target.name}")
        self.push(make(*arguments))

    def build(self) -> None:
        """Give the value on top a state."""
        (state,) = self.last(1)
        self.stack[-1].build(state)

    def append(self, values: list[Any]) -> None:
        """Append to the list on top."""
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError(f"items for a {type(target).__name__}")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Set keys, each followed by its value, in the dict on top."""
        target = self.stack[-1]
        if not isinstance(target, Dict) or len(values) % 2:
            raise TypeError(f"keys for a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target.put(key, value)


def _remember(machine: PickleReader, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


# Opcode -> what it does; names as in pickletools.
_OPERATIONS: dict[bytes, Callable[[PickleReader], Any]] = {
    b"\x80": lambda m: m.number("B"),  # PROTO
    b"\x95": lambda m: m.number("<Q"),  # FRAME
    b"(": lambda m: m.push(MARK),
    b"0": lambda m: m.last(1),  # POP
    b"1": lambda m: m.marked(),  # POP_MARK
    b"2": lambda m: m.push(m.stack[-1]),  # DUP
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"G": lambda m: m.push(m.number(">d")),
    b"\x8a": lambda m: m.push(m.integer(m.number("B"))),  # LONG1
    b"T": lambda m: m.push(m.string("<i")),
    b"U": lambda m: m.push(m.string("B")),
    b"B": lambda m: m.push(m.data("<I")),
    b"C": lambda m: m.push(m.data("B")),
    b"\x8e": lambda m: m.push(m.data("<Q")),
    b"\x96": lambda m: m.push(m.data("<Q")),  # BYTEARRAY8
    b"X": lambda m: m.push(m.text("<I")),
    b"\x8c": lambda m: m.push(m.text("B")),
    b"\x8d": lambda m: m.push(m.text("<Q")),
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.push(m.last(1)),
    b"\x86": lambda m: m.push(m.last(2)),
    b"\x87": lambda m: m.push(m.last(3)),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.marked()),
    b"a": lambda m: m.append(list(m.last(1))),
    b"e": lambda m: m.append(m.marked()),
    b"}": lambda m: m.push(Dict()),
    b"s": lambda m: m.set_items(list(m.last(2))),
    b"u": lambda m: m.set_items(m.marked()),
    b"q": lambda m: _remember(m, m.number("B")),
    b"r": lambda m: _remember(m, m.number("<I")),
    b"\x94": lambda m: _remember(m, len(m.memo)),
    b"h": lambda m: m.push(m.memo[m.number("B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": lambda m: m.refer(m.line(), m.line()),
    b"\x93": lambda m: m.refer(*m.last(2)),
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.point(),
}
