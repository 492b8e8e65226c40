"""Damage done to image files: a kind and a number give the same bytes every time."""

import random
import re
import struct
import zlib

from fuzz_seeds import KINDS, bombs, seeds

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "gif": ".gif", "bmp": ".bmp"}
BOMBS = "bombs"
# Sides that a header may declare: none, below Pillow's limit for a square and above it, and what wraps around.
SIDES = (0, 1, 2, 255, 5000, 9000, 9500, 16383, 20_000, 65_500, 65_535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
EXTREMES = (0, 1, 2, 3, 7, 8, 9, 16, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# (offset, bytes, byte order, whether it is the image's width or height)
Field = tuple[int, int, str, bool]


def jpeg_fields(data):
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        yield place + 2, 2, "big", False
        if marker in (0xC0, 0xC1, 0xC2):
            yield place + 4, 1, "big", False
            yield from ((place + offset, 2, "big", True) for offset in (5, 7))
            yield from ((place + 9 + offset, 1, "big", False) for offset in range(1 + 3 * data[place + 9]))
        if marker == 0xDA:
            return
        place += 2 + length


def png_fields(data):
    place = 8
    while place + 8 <= len(data):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        yield place, 4, "big", False
        if name in (b"IHDR", b"fcTL"):
            start = place + (8 if name == b"IHDR" else 12)
            yield from ((start + offset, 4, "big", True) for offset in (0, 4))
            yield from ((start + offset, 1, "big", False) for offset in range(8, 13))
        elif name in (b"tRNS", b"PLTE", b"iCCP", b"acTL", b"zTXt", b"iTXt"):
            yield from ((place + 8 + offset, 1, "big", False) for offset in range(min(length, 8)))
        place += 12 + length


def tiff_fields(data):
    """Those of the first directory, and of the file's start; of TIFF and of EXIF, which is one."""
    match = re.search(rb"II\*\0|MM\0\*|II\+\0|MM\0\+", data)
    if not match:
        return
    start, order = match.start(), "little" if match[0].startswith(b"II") else "big"
    big = b"+" in match[0]
    place, width, entry, number = (start + 8, 8, 20, 8) if big else (start + 4, 4, 12, 2)
    yield place, width, order, False
    directory = start + int.from_bytes(data[place : place + width], order)
    for index in range(int.from_bytes(data[directory : directory + number], order)):
        at = directory + number + entry * index
        tag = int.from_bytes(data[at : at + 2], order)
        value = 2 if data[at + 2 : at + 4] in (b"\3\0", b"\0\3") else width
        yield from ((at, 2, order, False), (at + 2, 2, order, False), (at + 4, width, order, False))
        yield at + 4 + width, value, order, tag in (256, 257)


def webp_fields(data):
    yield 4, 4, "little", False
    place = 12
    while place + 8 <= len(data):
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        yield place + 4, 4, "little", False
        body = place + 8
        if name == b"VP8X":
            yield from ((body, 1, "little", False), (body + 4, 3, "little", True), (body + 7, 3, "little", True))
        elif name == b"VP8 ":
            yield from ((body + 6, 2, "little", True), (body + 8, 2, "little", True))
        elif name == b"VP8L":
            yield from ((body + 1, 2, "little", True), (body + 3, 2, "little", True))
        elif name == b"ANMF":
            yield from ((body + offset, 3, "little", True) for offset in (0, 3, 6, 9))
        place = body + length + length % 2


def gif_fields(data):
    yield from ((6, 2, "little", True), (8, 2, "little", True), (10, 1, "little", False), (11, 1, "little", False))
    for match in re.finditer(rb"\x2c....[\x00-\x40]\0[\x00-\x40]\0.", data, re.DOTALL):
        at = match.start()
        yield from ((at + offset, 2, "little", offset > 4) for offset in (1, 3, 5, 7))
        yield from ((at + 9, 1, "little", False), (at + 10, 1, "little", False))
    for match in re.finditer(rb"\x21[\xf9\xfe\xff]", data):
        yield from ((match.start() + offset, 1, "little", False) for offset in (1, 2, 3, 6))


def bmp_fields(data):
    yield from ((offset, 4, "little", False) for offset in (2, 10, 14, 30, 34, 46, 50))
    yield from ((18, 4, "little", True), (22, 4, "little", True), (26, 2, "little", False), (28, 2, "little", False))


_FIELDS = {
    "jpeg": jpeg_fields,
    "png": png_fields,
    "tiff": tiff_fields,
    "webp": webp_fields,
    "gif": gif_fields,
    "bmp": bmp_fields,
}


def fields(kind, data):
    found = list(_FIELDS[kind](data))
    if kind in ("jpeg", "png", "webp"):
        found += tiff_fields(data)
    return [(at, size, *rest) for at, size, *rest in found if at + size <= len(data)]


def put(data, field, value):
    at, size, order, _ = field
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)


def truncate(rng, kind, data):
    del data[place(rng, kind, data) :]


def flip_bits(rng, kind, data):
    for _ in range(rng.choice((1, 3, 20))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def replace_bytes(rng, kind, data):
    at, count = place(rng, kind, data), rng.choice((1, 4, 40))
    data[at : at + count] = rng.choice((b"\0" * count, b"\xff" * count, rng.randbytes(count)))


def move_block(rng, kind, data):
    start, stop = block(rng, kind, data)
    taken = data[start:stop]
    del data[start:stop]
    at = place(rng, kind, data)
    data[at:at] = taken


def double_block(rng, kind, data):
    start, stop = block(rng, kind, data)
    data[stop:stop] = data[start:stop] * rng.choice((1, 1, 30))


def remove_block(rng, kind, data):
    start, stop = block(rng, kind, data)
    del data[start:stop]


def extreme_field(rng, kind, data):
    found = fields(kind, data)
    for field in rng.sample(found, min(len(found), rng.choice((1, 2)))):
        put(data, field, rng.choice((*EXTREMES, rng.getrandbits(32))))


def huge_size(rng, kind, data):
    for field in fields(kind, data):
        if field[3]:
            put(data, field, rng.choice(SIDES))


def orientation_junk(rng, kind, data):
    """In EXIF and TIFF, where the orientation's tag is, its type, count and value; in other files, the first bytes."""
    match = re.search(rb"\x12\x01\x03\0|\x01\x12\0\x03", data)
    at = match.start() if match else rng.randrange(min(40, len(data)))
    for _ in range(rng.choice((1, 3))):
        position = min(len(data) - 1, at + rng.randrange(2, 12))
        data[position] = rng.choice((0, 1, 2, 9, 255, rng.randrange(256)))


def palette_junk(rng, kind, data):
    """A palette that is too short, or whose length is wrong; in files without one, the bytes after the header."""
    match = re.search(rb"PLTE|tRNS", data)
    starts = {"gif": 13, "bmp": 54, "png": match.end() if match else 40}
    at = min(len(data) - 1, starts.get(kind, 30))
    count = rng.choice((1, 3, 64, 700))
    data[at : at + count] = rng.choice((b"", rng.randbytes(count), b"\xff" * count))


def append_junk(rng, kind, data):
    other = rng.choice(KINDS)
    data += rng.choice((rng.randbytes(1000), bytes(5000), rng.choice(list(seeds(other).values()))))


def nothing(rng, kind, data):
    """For what the file's name alone may do."""


MUTATIONS = (
    truncate,
    flip_bits,
    replace_bytes,
    move_block,
    double_block,
    remove_block,
    extreme_field,
    extreme_field,
    huge_size,
    orientation_junk,
    palette_junk,
    append_junk,
    nothing,
)


def place(rng, kind, data):
    """Somewhere, or where the format has a boundary."""
    found = fields(kind, data) if rng.random() < 0.5 else ()
    return rng.choice(found)[0] if found else rng.randrange(len(data) or 1)


def block(rng, kind, data):
    start, stop = sorted((place(rng, kind, data), place(rng, kind, data)))
    return start, max(start + 1, stop)


def with_checksums(data):
    """A PNG whose chunks have the checksums that they need: else the first damaged chunk hides all that follow."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4


def damaged(kind, number):
    """The bytes of a damaged file, and the ending of its name, which one time in eight is another kind's."""
    rng = random.Random(f"{kind} {number}")
    data = bytearray(rng.choice(list(seeds(kind).values())))
    # Every kind of damage is the first on as many files; more follow on every other.
    for count in range(rng.choice((1, 1, 2, 3))):
        change = rng.choice(MUTATIONS) if count else MUTATIONS[number % len(MUTATIONS)]
        if data:
            change(rng, kind, data)
    if kind == "png" and rng.random() < 0.75:
        with_checksums(data)
    other = rng.random() < 1 / 8
    return bytes(data), rng.choice((*SUFFIXES.values(), "", ".txt")) if other else SUFFIXES[kind]


def hostile(kind, count):
    """(bytes, the ending of a name) of so many damaged files, or of every bomb."""
    if kind == BOMBS:
        return bombs()
    return (damaged(kind, number) for number in range(count))
