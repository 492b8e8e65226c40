"""Hostile MATLAB files: elements of sound ones changed, nested, compressed, and by the million."""

import struct
import zlib

from fuzz_sound import written
from fuzz_values import edge, flood, several
from raw_formats import mat_array, mat_element

MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, SINGLE = 1, 2, 7


def parsed(data):
    """A file's elements after its header as a list of [type, content]; that of an array is such a list.

    Small elements, whose content is in their tag, and what is no sequence of elements stay bytes.
    """
    elements, place = [], 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:
            elements.append(data[place : place + 8])
            place += 8
            continue
        content = data[place + 8 : place + 8 + size]
        if kind == COMPRESSED:
            elements.append([kind, parsed(zlib.decompress(content))])
        else:
            elements.append([kind, parsed(content) if kind == MATRIX else content])
        place += 8 + size + (-size % 8 if kind != COMPRESSED else 0)
    return elements


def serialized(elements):
    parts = []
    for element in elements:
        if isinstance(element, bytes):
            parts.append(element)
            continue
        kind, content, *length = element
        data = content if isinstance(content, bytes) else serialized(content)
        if kind == COMPRESSED:
            data = zlib.compress(data, 1)
        size = length[0] if length else len(data)
        parts.append(struct.pack("<II", kind, size) + data + (b"" if kind == COMPRESSED else b"\0" * (-len(data) % 8)))
    return b"".join(parts)


def arrays_in(elements):
    found = [elements]
    for element in elements:
        if isinstance(element, list) and isinstance(element[1], list):
            found += arrays_in(element[1])
    return found


def changed(rng, elements):
    for _ in range(several(rng)):
        target = rng.choice([each for each in arrays_in(elements) if each])
        place = rng.randrange(len(target))
        rng.choice((_value, _value, _kind, _length, _repeat, _remove, _insert, _wrap))(rng, target, place)
    return elements


def _value(rng, target, place):
    """Other bytes of the same length or of another: flags, dimensions, names and numbers alike."""
    element = target[place]
    if isinstance(element, list) and isinstance(element[1], list):
        _value(rng, element[1], rng.randrange(len(element[1]))) if element[1] else None
        return
    old = element if isinstance(element, bytes) else element[1]
    words = b"".join(struct.pack("<I", edge(rng, 4)) for _ in range(max(1, min(len(old) // 4, 40))))
    new = rng.choice((words, words[:4] + old[4:], old[:4] + words[:4] + old[8:], old[:-1], b"", b"\xff" * len(old)))
    target[place] = new if isinstance(element, bytes) else [element[0], new]


def _kind(rng, target, place):
    """Of another type: a text where numbers are expected, an array where a name is."""
    element = target[place]
    if isinstance(element, list):
        element[0] = rng.choice((*range(1, 19), 0, 255, 65_535))
    else:
        target[place] = struct.pack("<HH", rng.randrange(20), rng.choice((0, 1, 4, 5, 8, 65_535))) + element[4:]


def _length(rng, target, place):
    if isinstance(target[place], list):
        target[place] = [*target[place][:2], edge(rng, 4)]


def _repeat(rng, target, place):
    target[place:place] = [target[place]] * rng.choice((1, 1, 2, 1000))


def _remove(rng, target, place):
    del target[place]


def _insert(rng, target, place):
    shape = [rng.choice((0, 1, 3, -1, 1 << 30)) for _ in range(2)]
    target.insert(
        place, mat_array(rng.choice((*range(20), 255)), shape, mat_element(rng.randrange(20), rng.randbytes(16)))
    )


def _wrap(rng, target, place):
    """In an array of cells, or compressed, or compressed twice."""
    target[place] = rng.choice(
        (
            [
                MATRIX,
                [
                    mat_element(6, struct.pack("<II", CELL, 0)),
                    mat_element(5, struct.pack("<ii", 1, 1)),
                    b"",
                    target[place],
                ],
            ],
            [COMPRESSED, [target[place]]],
            [COMPRESSED, [[COMPRESSED, [target[place]]]]],
        )
    )


def nested(rng):
    content = mat_array(SINGLE, (1, 1), mat_element(7, bytes(4)))
    for _ in range(rng.choice((5, 12, 13, 60, 1000))):
        content = mat_array(CELL, (1, 1), content, name=b"layers")
    return content


def flooded(rng):
    """Cells, structs, variables or texts of nothing, by the million; compressed, a file of some kilobytes."""
    count = flood(rng) * rng.choice((1, 1, 5))
    empty = rng.choice(
        (struct.pack("<II", MATRIX, 0), mat_array(SINGLE, (0, 0)), mat_array(4, (1, 1), mat_element(16, b"x")))
    )
    count = min(count, (40 << 20) // len(empty))
    fields = mat_element(5, struct.pack("<i", 2)) + mat_element(1, b"a\0b\0")
    many = mat_element(5, struct.pack("<i", rng.choice((1, 64)))) + mat_element(1, b"a" * count)
    dimensions = mat_element(5, b"\1\0\0\0" * min(count, 1_000_000))
    flags = mat_element(6, struct.pack("<II", SINGLE, 0))
    return rng.choice(
        (
            mat_array(CELL, (1, count), empty * count, name=b"layers"),
            mat_array(STRUCT, (1, count), fields, empty * count, name=b"layers"),
            mat_array(STRUCT, (1, 1), many, name=b"layers"),
            mat_element(MATRIX, flags + dimensions + mat_element(1, b"layers")),
            empty * count,
            mat_array(SINGLE, (1, count), mat_element(7, bytes(4 * count)), name=b"x" * count),
        )
    )


def matlab(rng):
    start = b"MATLAB 5.0 MAT-file".ljust(124) + rng.choice((b"\0\1IM",) * 9 + (b"\1\0MI", b"\0\2IM", bytes(4)))
    how = rng.random()
    if how < 0.2:
        content = rng.choice((nested, flooded))(rng)
        return start + (content if rng.random() < 0.5 else serialized([[COMPRESSED, [content]]]))
    right = written(rng.choice((".mat", "uncompressed .mat")))
    elements = parsed(right[128:])
    if rng.random() < 0.3:  # As it is written, so that what follows the change is read as it was.
        elements = [[COMPRESSED, [element]] for element in elements]
    return start + serialized(changed(rng, elements))
