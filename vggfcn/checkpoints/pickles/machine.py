"""A safe reader for pickles of arrays: a small stack machine that imports nothing and calls nothing from the pickle.

A pickle is a program for a stack machine; Python's own machine may import any module and call anything in it. This one
looks names up in a closed table, `records.KNOWN`, whose functions only make plain records. It does not read long
byte strings but returns a `Span` with their position, so that arrays can be read straight from the file. It knows the
opcodes that pickles of arrays use in protocols 2 to 5; CPython's `pickletools` documents them.
"""

import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.pickles.nesting import Nesting
from vggfcn.checkpoints.pickles.records import KNOWN, Array, Dict, Dtype, Global, Persistent, TorchTensor
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError, shown

LONG = 1 << 12  # Byte strings longer than this stay in the file.
MAX_INTEGER = 16  # bytes
MARK = object()
_CONTAINERS = (tuple, Dict, Dtype, Array, TorchTensor)
_OBJECTS, _TEXTS = (tuple, list, dict), (str, bytes)
_CONTAINER = 300  # bytes of memory, with what is noted of it
_WIDE = re.compile(rb"[\xc4-\xff]")  # In UTF-8, the start of a character above U+00FF.


class PickleReader:
    """Reads one pickle from the current position of a binary file, and leaves the file positioned after it.

    `end` is the first byte after the data that the pickle may use. `references` lists the persistent ids it used.
    Raises `WeightsError` for names that are not in `KNOWN`, and `WeightsError` or a usual exception for everything else
    that pickles of arrays do not contain.
    """

    def __init__(self, file: BinaryIO, end: int, budget: Budget):
        self.file, self.end, self.budget = file, end, budget
        self.position = file.tell()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.nesting = Nesting()
        self.references: list[Persistent] = []

    def run(self) -> Any:
        """Run the pickle and return its value, nested no deeper than `nesting.MAX_DEPTH`."""
        while (opcode := self._read(1)) != b".":
            self.budget.spend()
            operation = _OPERATIONS.get(opcode)
            if operation is None:
                raise ValueError(f"unsupported opcode {opcode!r}")
            operation(self)
        return self.stack.pop()

    def _read(self, size: int, made: int = 0) -> bytes:
        self._advance(size)
        self.budget.spend(0, made)
        data = self.file.read(size)
        if len(data) != size:
            raise self._truncated()
        return data

    def _advance(self, size: int) -> None:
        if size < 0 or self.position + size > self.end:
            raise self._truncated()
        self.position += size

    def _truncated(self) -> WeightsError:
        return damaged(self.budget.path, "the file ends in the middle of a pickle")

    def read_number(self, code: str) -> Any:
        """Read a number in a format of `struct`."""
        return struct.unpack(code, self._read(struct.calcsize(code)))[0]

    def read_line(self) -> str:
        """Read text up to the end of the line."""
        line = self.file.readline(1 << 10)
        self._advance(len(line))
        if not line.endswith(b"\n"):
            raise ValueError("a line without an end")
        return line[:-1].decode()

    def read_text(self, code: str) -> str:
        """Read text that follows its length, a number in a format of `struct`."""
        size = self.read_number(code)
        data = self._read(size, size)
        if _WIDE.search(data):  # Every character takes as much memory as the widest.
            self.budget.spend(0, 3 * size)
        return data.decode("utf-8", "surrogatepass")

    def read_data(self, code: str) -> bytes | Span:
        """Read bytes that follow their length, or return only their position if there are many."""
        size = self.read_number(code)
        if size <= LONG:
            return self._read(size, size)
        span = Span(self.position, size)
        self._advance(size)
        self.file.seek(size, 1)
        return span

    def read_string(self, code: str) -> str | bytes | Span:
        """Read a string of Python 2: as text if it is short and ASCII, as bytes otherwise."""
        data = self.read_data(code)
        return data.decode() if isinstance(data, bytes) and data.isascii() else data

    def read_integer(self, size: int) -> int:
        """Read a little-endian integer of `size` bytes."""
        if size > MAX_INTEGER:
            raise ValueError(f"an integer of {size} bytes")
        return int.from_bytes(self._read(size), "little", signed=True)

    def push_whole(self, value: Any, parts: list[Any] | tuple[Any, ...] = ()) -> None:
        """Push a new container of these parts."""
        self.budget.spend(0, _CONTAINER)
        self.nesting.put(parts, value)
        self.push(value)

    def push_tuple(self, parts: list[Any] | tuple[Any, ...]) -> None:
        """Push a tuple of these parts. There is only one empty tuple, which needs no note."""
        if parts:
            self.push_whole(tuple(parts), parts)
        else:
            self.push(())

    def push_list(self, parts: list[Any]) -> None:
        """Push a list of these parts."""
        self.push_whole(parts, parts)

    def push(self, value: Any) -> None:
        """Push a value onto the stack."""
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        """Pop the topmost mark and everything above it; return what was above."""
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is MARK:
                values = self.stack[position + 1 :]
                del self.stack[position:]
                return values
        raise ValueError("missing mark")

    def load_persistent(self) -> None:
        """Replace a persistent id by its record."""
        parts = self.pop(1)
        reference = Persistent(*parts)
        self.references.append(reference)
        self.push_whole(reference, parts)

    def pop(self, size: int) -> tuple[Any, ...]:
        """Pop `size` values, the topmost last."""
        if len(self.stack) < size:
            raise ValueError("empty stack")
        values = tuple(self.stack[-size:])
        del self.stack[-size:]
        return values

    def load_global(self, module: Any, name: Any) -> None:
        """Push the record of an importable name; raise `WeightsError` unless `KNOWN` allows it."""
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        if full not in KNOWN:
            raise WeightsError(
                f"{self.budget.path}: expected only arrays, found a reference to {shown(full)}; it was not run. "
                "Save only the arrays; in torch: torch.save(model.state_dict(), path)"
            )
        self.push(Global(full))

    def reduce(self) -> None:
        """Replace a known name and its arguments by the record that `KNOWN` makes of them."""
        target, arguments = self.pop(2)
        if not isinstance(target, Global) or not isinstance(arguments, tuple):
            raise TypeError(f"cannot call a {type(target).__name__}")
        make = KNOWN[target.name]
        if make is None:
            raise ValueError(f"unsupported call of {target.name}")
        self._spend_for(arguments)
        made = make(*arguments)
        if made != () and isinstance(made, _CONTAINERS) and made not in self.nesting:
            self.push_whole(made, [arguments])
        else:
            self.push(made)

    def _spend_for(self, values: Any) -> None:
        """Count what is copied of the values in a tuple; the pickle may use the same ones again and again."""
        if isinstance(values, tuple):
            self.budget.spend(len(values) + sum(len(value) for value in values if isinstance(value, _OBJECTS)))
            self.budget.spend(0, sum(len(value) for value in values if isinstance(value, _TEXTS)))

    def build(self) -> None:
        """Pop a state and set it on the value below."""
        (state,) = self.pop(1)
        target = self.stack[-1]
        if not isinstance(target, Dict | Dtype | Array):
            raise TypeError(f"cannot set attributes of a {type(target).__name__}")
        self._spend_for(state)
        self.nesting.put([state], target)
        target.build(state)

    def append(self, values: list[Any]) -> None:
        """Append values to the list on top of the stack."""
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError(f"cannot append to a {type(target).__name__}")
        self.nesting.put(values, target)
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Set items of the dict on top of the stack, given as key, value, key, value, ..."""
        target = self.stack[-1]
        if not isinstance(target, Dict) or len(values) % 2:
            raise TypeError(f"cannot set items of a {type(target).__name__}")
        self.nesting.put(values, target)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target.set_item(key, value)

    def memoize(self, index: int) -> None:
        """Store the value on top of the stack in the memo."""
        self.memo[index] = self.stack[-1]
        self.budget.spend()


# Opcode -> what it does; the comments give its name in `pickletools`.
_OPERATIONS: dict[bytes, Callable[[PickleReader], Any]] = {
    b"\x80": lambda reader: reader.read_number("B"),  # PROTO
    b"\x95": lambda reader: reader.read_number("<Q"),  # FRAME
    b"(": lambda reader: reader.push(MARK),  # MARK
    b"0": lambda reader: reader.pop(1),  # POP
    b"1": lambda reader: reader.pop_to_mark(),  # POP_MARK
    b"2": lambda reader: reader.push(reader.stack[-1]),  # DUP
    b"N": lambda reader: reader.push(None),  # NONE
    b"\x88": lambda reader: reader.push(True),  # NEWTRUE
    b"\x89": lambda reader: reader.push(False),  # NEWFALSE
    b"J": lambda reader: reader.push(reader.read_number("<i")),  # BININT
    b"K": lambda reader: reader.push(reader.read_number("B")),  # BININT1
    b"M": lambda reader: reader.push(reader.read_number("<H")),  # BININT2
    b"G": lambda reader: reader.push(reader.read_number(">d")),  # BINFLOAT
    b"\x8a": lambda reader: reader.push(reader.read_integer(reader.read_number("B"))),  # LONG1
    b"T": lambda reader: reader.push(reader.read_string("<i")),  # BINSTRING
    b"U": lambda reader: reader.push(reader.read_string("B")),  # SHORT_BINSTRING
    b"B": lambda reader: reader.push(reader.read_data("<I")),  # BINBYTES
    b"C": lambda reader: reader.push(reader.read_data("B")),  # SHORT_BINBYTES
    b"\x8e": lambda reader: reader.push(reader.read_data("<Q")),  # BINBYTES8
    b"\x96": lambda reader: reader.push(reader.read_data("<Q")),  # BYTEARRAY8
    b"X": lambda reader: reader.push(reader.read_text("<I")),  # BINUNICODE
    b"\x8c": lambda reader: reader.push(reader.read_text("B")),  # SHORT_BINUNICODE
    b"\x8d": lambda reader: reader.push(reader.read_text("<Q")),  # BINUNICODE8
    b")": lambda reader: reader.push(()),  # EMPTY_TUPLE
    b"\x85": lambda reader: reader.push_tuple(reader.pop(1)),  # TUPLE1
    b"\x86": lambda reader: reader.push_tuple(reader.pop(2)),  # TUPLE2
    b"\x87": lambda reader: reader.push_tuple(reader.pop(3)),  # TUPLE3
    b"t": lambda reader: reader.push_tuple(reader.pop_to_mark()),  # TUPLE
    b"]": lambda reader: reader.push_whole([]),  # EMPTY_LIST
    b"l": lambda reader: reader.push_list(reader.pop_to_mark()),  # LIST
    b"a": lambda reader: reader.append(list(reader.pop(1))),  # APPEND
    b"e": lambda reader: reader.append(reader.pop_to_mark()),  # APPENDS
    b"}": lambda reader: reader.push_whole(Dict()),  # EMPTY_DICT
    b"s": lambda reader: reader.set_items(list(reader.pop(2))),  # SETITEM
    b"u": lambda reader: reader.set_items(reader.pop_to_mark()),  # SETITEMS
    b"q": lambda reader: reader.memoize(reader.read_number("B")),  # BINPUT
    b"r": lambda reader: reader.memoize(reader.read_number("<I")),  # LONG_BINPUT
    b"\x94": lambda reader: reader.memoize(len(reader.memo)),  # MEMOIZE
    b"h": lambda reader: reader.push(reader.memo[reader.read_number("B")]),  # BINGET
    b"j": lambda reader: reader.push(reader.memo[reader.read_number("<I")]),  # LONG_BINGET
    b"c": lambda reader: reader.load_global(reader.read_line(), reader.read_line()),  # GLOBAL
    b"\x93": lambda reader: reader.load_global(*reader.pop(2)),  # STACK_GLOBAL
    b"R": lambda reader: reader.reduce(),  # REDUCE
    b"b": lambda reader: reader.build(),  # BUILD
    b"Q": lambda reader: reader.load_persistent(),  # BINPERSID
}
