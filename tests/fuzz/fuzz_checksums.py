"""The checksums of HDF5's newer structures: found in a sound file, and made right again in a changed one."""

import functools
import struct
from typing import NamedTuple

from fuzz_hdf5_fields import SIGNATURES, structures

_CHECKED = (b"FHIB", b"BTLF", b"BTIN", b"FADB", b"EAIB", b"EADB", b"EASB", b"FSHD")
_LENGTHS = {b"BTHD": 34, b"FRHP": 142, b"FAHD": 24, b"EAHD": 68}
_BLOCKS = (512, 1024, 2048, 4096)  # sizes of a fractal heap's direct blocks
LONGEST = 700  # bytes of a structure whose end is looked for


def lookup3(data):
    """Bob Jenkins's hash, `hashlittle` with the initial value 0, from burtleburtle.net/bob/c/lookup3.c."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    while len(data) > 12:
        a, b, c = _mixed(*_added(a, b, c, data[:12]))
        data = data[12:]
    return _final(*_added(a, b, c, data.ljust(12, b"\0"))) if data else c


def _added(a, b, c, data):
    first, second, third = struct.unpack("<III", data)
    return (a + first) & 0xFFFFFFFF, (b + second) & 0xFFFFFFFF, (c + third) & 0xFFFFFFFF


def _turned(value, bits):
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


def _mixed(a, b, c):
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & 0xFFFFFFFF) ^ _turned(c, bits)
        a, b, c = b, c + b & 0xFFFFFFFF, a
    return a, b, c


def _final(a, b, c):
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, bits) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b


class Span(NamedTuple):
    """A structure's bytes, and where its checksum is: after them, or among them, where it counts as zeros."""

    start: int
    stop: int
    place: int


@functools.lru_cache(512)
def spans(data):
    """Every structure of a sound file that has a checksum."""
    found = [Span(0, 44, 44)] if data[8] in (2, 3) else []
    found += [Span(start, place, place) for start, place in structures(data).headers]
    for match in SIGNATURES.finditer(data):
        at, name = match.start(), match[0]
        if name in _LENGTHS:
            found.append(Span(at, at + _LENGTHS[name], at + _LENGTHS[name]))
        elif name == b"FHDB":
            found += [Span(at, at + size, at + place) for size in _BLOCKS for place in (16, 17, 18)]
        elif name in _CHECKED:
            found += _searched(data, at)
    return [span for span in found if span.place + 4 <= len(data) and _stored(data, span.place) == checksum(data, span)]


def checksum(data, span):
    """The checksum that a structure must have."""
    covered = bytearray(data[span.start : span.stop])
    if span.place < span.stop:
        covered[span.place - span.start : span.place - span.start + 4] = bytes(4)
    return lookup3(bytes(covered))


def _searched(data, at):
    """The structure at a place, if it ends soon: its checksum tells where."""
    for end in range(at + 6, min(len(data) - 4, at + LONGEST)):
        stored = _stored(data, end)
        if stored and stored == lookup3(data[at:end]):
            return [Span(at, end, end)]
    return []


def _stored(data, place):
    return int.from_bytes(data[place : place + 4], "little")


def repair(changed, spans):
    """Write the right checksums into a file's bytes."""
    for span in spans:
        changed[span.place : span.place + 4] = checksum(changed, span).to_bytes(4, "little")


def without_times(data):
    """A sound file whose objects do not say when they were made."""
    changed = bytearray(data)
    headers = [(at, place) for at, place in structures(data).headers if data[at : at + 4] == b"OHDR"]
    dated = [Span(at, place, place) for at, place in headers if data[at + 5] & 0x20]
    for span in dated:
        changed[span.start + 6 : span.start + 22] = bytes(16)
    repair(changed, dated)
    return bytes(changed)
