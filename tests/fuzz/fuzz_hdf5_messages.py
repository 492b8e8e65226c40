"""The fields of HDF5's object header messages, as (name of the message, first byte, size)."""

WORD = 8
SHORT = 20  # fields of what may be long, such as an attribute's value


def message_fields(data, kind, at, length):
    """The fields of a message of this kind, whose `length` bytes start at `at`."""
    name, read = _MESSAGES.get(kind, (f"message {kind}", words))
    return [(name, start, size) for start, size in read(data, at, at + length) if start + size <= at + length]


def number(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


def sizes(at, *widths):
    for width in widths:
        yield at, width
        at += width


def words(data, at, end):
    """The first byte, and what follows as words of eight bytes."""
    yield from sizes(at, 1, 1, 1, 1)
    yield from sizes(at, *(WORD,) * min(SHORT, (end - at) // WORD))


def dataspace(data, at, end):
    head = (1, 1, 1, 1) if data[at] == 2 else (1, 1, 1, 5)
    yield from sizes(at, *head, *(WORD,) * 2 * min(data[at + 1], 32))


def datatype(data, at, end, depth=0):
    """Class and version, bit field, size, then what the class has; of members and base types the same."""
    yield from sizes(at, 1, 1, 1, 1, 4)
    kind, members, place = data[at] & 15, number(data, at + 1, 2), at + 8
    if kind in (0, 1, 4):
        yield from sizes(place, 2, 2, 1, 1, 1, 1, 4)
    elif kind in (8, 9, 10) and depth < 4:
        if kind == 10:
            rank = data[place]
            yield from sizes(place, 1, *(4,) * min(rank, 8))
            place += 1 + 4 * rank if data[at] >> 4 > 2 else 4 + 8 * rank
        yield from datatype(data, place, end, depth + 1)
    elif kind == 6:
        for _ in range(min(members, 8)):
            stop = data.find(b"\0", place, end) + 1
            name = stop - place
            offset = place + (name if data[at] >> 4 > 2 else name + -name % 8)
            yield from sizes(offset, 1, 1, 1, 1)
            place = offset + (4 if data[at] >> 4 < 2 else 1)
            yield from datatype(data, place, end, 4)
            return


def fill_value(data, at, end):
    yield from sizes(at, 1, 1, 1, 1, 4, 4, WORD)


def layout(data, at, end):
    version, kind = data[at], data[at + 1]
    if kind == 2 and version == 3:
        yield from sizes(at, 1, 1, 1, WORD, *(4,) * min(data[at + 2], 32))
    elif kind == 2:
        width = min(data[at + 4], 8)
        yield from sizes(at, 1, 1, 1, 1, 1, *(width,) * min(data[at + 3], 32), 1, 1, 1, 1, 1, 1, WORD)
    elif kind == 0:
        yield from sizes(at, 1, 1, 2)
    else:
        yield from sizes(at, 1, 1, WORD, WORD)


def filters(data, at, end):
    yield from sizes(at, 1, 1)
    place = at + (8 if data[at] == 1 else 2)
    for _ in range(min(data[at + 1], 8)):
        yield from sizes(place, 2, 2, 2, 2, 4, 4)
        name = number(data, place + 2, 2) if data[at] == 1 else 0
        place += 8 + name + 4 * number(data, place + 6 - 2 * (data[at] == 2), 2)


def link(data, at, end):
    flags, place = data[at + 1], at + 2
    for bit, size in ((8, 1), (4, WORD), (16, 1)):
        if flags & bit:
            yield place, size
            place += size
    width = 1 << (flags & 3)
    yield from sizes(at, 1, 1)
    yield from sizes(place, width)
    yield from sizes(place + width + number(data, place, width), 2)
    yield from sizes(place + width + number(data, place, width), WORD)


def attribute(data, at, end):
    """Sizes of the name, of the datatype and of the dataspace, these themselves, and the start of the value."""
    old = data[at] == 1
    lengths = [number(data, at + 2 + 2 * index, 2) for index in range(3)]
    yield from sizes(at, 1, 1, 2, 2, 2)
    place = at + (8 if data[at] < 3 else 9)
    for length, read in zip(lengths, (text, datatype, dataspace), strict=True):
        if place + length <= end:
            yield from read(data, place, place + length)
        place += length + (-length % 8 if old else 0)
    yield from sizes(place, 4, WORD, 4, 4, WORD, 4)


def text(data, at, end):
    yield from sizes(at, 1, 1)


def addresses(data, at, end):
    yield from sizes(at, *(WORD,) * min(SHORT, (end - at) // WORD))


def information(data, at, end):
    """Of links and attributes that are kept apart: version, flags, then addresses."""
    tracked = number(data, at + 1, 1) & 1
    yield from sizes(at, 1, 1, *((2,) if tracked and end - at < 32 else ()), *(WORD,) * 4)
    yield from sizes(at + 2 + 8 * tracked, *(WORD,) * 3)


_MESSAGES = {
    0x01: ("dataspace", dataspace),
    0x02: ("link information", information),
    0x03: ("datatype", datatype),
    0x04: ("old fill value", fill_value),
    0x05: ("fill value", fill_value),
    0x06: ("link", link),
    0x07: ("external files", words),
    0x08: ("layout", layout),
    0x0B: ("filters", filters),
    0x0C: ("attribute", attribute),
    0x10: ("continuation", addresses),
    0x11: ("symbol table", addresses),
    0x15: ("attribute information", information),
}
