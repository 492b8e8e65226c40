"""The fields of an HDF5 file's structures, found by parsing it.

The layout is that of the "HDF5 File Format Specification", version 3. Object headers of version 1 have no signature:
they are found by the entries of symbol tables. All other structures are found by their signatures.
"""

import functools
import re
from typing import NamedTuple

from fuzz_hdf5_messages import message_fields

SIGNATURES = re.compile(
    b"TREE|HEAP|SNOD|GCOL|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FSHD|FSSE|FAHD|FADB|EA[HISD]B|EAHD"
)
# Sizes of the fields after a signature and the version, and how many words of eight bytes follow them.
_FIELDS = {
    b"HEAP": ((3, 8, 8, 8), 0),
    b"BTHD": ((1, 4, 2, 2, 1, 1, 8, 2, 8), 0),
    b"FRHP": ((2, 2, 1, 4, *(8,) * 12, 2, 8, 8, 2, 2, 8, 2), 0),
    b"FHDB": ((8, 4, 4), 4),
    b"FHIB": ((8, 4), 6),
    b"BTLF": ((1,), 8),
    b"BTIN": ((1,), 8),
    b"FSHD": ((1, *(8,) * 4, 2, 2, 2, 2, *(8,) * 4), 0),
    b"FAHD": ((1, 1, 1, 8, 8), 0),
    b"EAHD": ((1, 1, 1, 1, 1, 1, 1, *(8,) * 7), 0),
}
_SUPERBLOCKS = {
    0: (*(1,) * 7, 2, 2, 4, *(8,) * 6, 4, 4, 8, 8),
    1: (*(1,) * 7, 2, 2, 4, 2, 2, *(8,) * 6, 4, 4, 8, 8),
    2: (1, 1, 1, *(8,) * 4),
    3: (1, 1, 1, *(8,) * 4),
}


class Field(NamedTuple):
    """A field: the kind of structure it is in, where it starts, and its size in bytes."""

    structure: str
    at: int
    size: int


class Structures(NamedTuple):
    """A file's fields, the places of its structures, and its object headers of version 2 as (start, checksum)."""

    fields: list[Field]
    places: list[int]
    headers: list[tuple[int, int]]


def sized(structure, at, sizes):
    """Fields of these sizes, one after another."""
    for size in sizes:
        yield Field(structure, at, size)
        at += size


@functools.lru_cache(512)
def structures(data):
    """Everything that is found in a sound file without a user block."""
    fields = list(sized("superblock", 8, (1, *_SUPERBLOCKS[data[8]])))
    places, headers = [0], []
    for match in SIGNATURES.finditer(data):
        at, name = match.start(), match[0]
        places.append(at)
        if name in (b"OHDR", b"OCHK"):
            headers += header(data, at, fields)
        else:
            fields += _READERS.get(name, _plain)(data, at)
    for at in first_headers(data):
        places.append(at)
        fields += old_header(data, at)
    return Structures([field for field in fields if field.at + field.size <= len(data)], places, headers)


def number(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


def _plain(data, at):
    name = data[at : at + 4]
    sizes, words = _FIELDS.get(name, ((8, 8), 4))
    return sized(name.decode(), at + 4, (1, *sizes, *(8,) * words))


def _tree(data, at):
    entries = min(number(data, at + 6, 2), 20)
    return sized("TREE", at + 4, (1, 1, 2, *(8,) * (3 + 2 * entries)))


def _symbols(data, at):
    entry = (8, 8, 4, 4, 8, 8)
    return sized("SNOD", at + 4, (1, 1, 2, *entry * min(number(data, at + 6, 2), 20)))


def _strings(data, at):
    """A global heap: a header, then objects of an index, a count of references and a size, with their bytes."""
    yield from sized("GCOL", at + 4, (1, 3, 8))
    place, end = at + 16, min(len(data), at + number(data, at + 8, 8))
    while place + 16 <= end:
        yield from sized("GCOL", place, (2, 2, 4, 8))
        index, size = number(data, place, 2), number(data, place + 8, 8)
        place += 16 + size + -size % 8
        if not index:
            return


_READERS = {b"TREE": _tree, b"SNOD": _symbols, b"GCOL": _strings}


def first_headers(data):
    """Where object headers of version 1 start: those of the root and of every entry of a symbol table."""
    found = [] if data[8] > 1 else [number(data, 64 + 4 * data[8], 8)]
    for match in re.finditer(b"SNOD\1", data):
        count = number(data, match.start() + 6, 2)
        found += [number(data, match.start() + 16 + 40 * index, 8) for index in range(min(count, 32))]
    return [at for at in dict.fromkeys(found) if data[at : at + 2] == b"\1\0"]


def old_header(data, at):
    """The fields of an object header of version 1 and of its messages, those in continuations too."""
    yield from sized("header", at, (1, 1, 2, 4, 4))
    blocks, seen = [(at + 16, number(data, at + 8, 4))], 0
    while blocks and seen < 20:
        place, size = blocks.pop(0)
        seen, end = seen + 1, min(place + size, len(data))
        while place + 8 <= end:
            kind, length = number(data, place, 2), number(data, place + 2, 2)
            yield from sized("message", place, (2, 2, 1))
            yield from named(message_fields(data, kind, place + 8, length))
            if kind == 0x10:
                blocks.append((number(data, place + 8, 8), number(data, place + 16, 8)))
            place += 8 + length


def header(data, at, fields):
    """Add the fields of an object header of version 2, or a part of one; returns where it starts and its checksum."""
    first = data[at : at + 4] == b"OHDR"
    flags = data[at + 5] if first else _flags_before(data, at)
    width = 1 << (flags & 3)
    place = at + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    fields += sized("header", at + 4, (1, 1, *((width,) if first else ())))
    if first:
        end = place + width + number(data, place, width)
        place += width
    else:
        place, end = at + 4, at + _length_of(data, at) - 4
    prefix = 6 if flags & 4 else 4
    checksum = end
    while place + prefix <= min(end, len(data)):
        kind, length = data[place], number(data, place + 1, 2)
        fields += sized("message", place, (1, 2, 1))
        fields += named(message_fields(data, kind, place + prefix, length))
        place += prefix + length
    return [(at, checksum)] if checksum + 4 <= len(data) else []


def _flags_before(data, at):
    """The flags of the object header that this is a part of, taken as the last before it."""
    start = data.rfind(b"OHDR", 0, at)
    return data[start + 5] if start >= 0 else 0


def _length_of(data, at):
    """The size of a part of an object header, as the message that leads to it says; 0 if there is none."""
    place = data.find(at.to_bytes(8, "little"))
    return number(data, place + 8, 8) if place >= 0 else 0


def named(fields):
    """(structure, at, size) as fields."""
    return [Field(*field) for field in fields]
