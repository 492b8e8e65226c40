"""Zip archives written field by field: a member says what it is told to say, in the directory and in its own header.

The layout is that of PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16.
"""

import dataclasses
import struct
import zlib

STORED, DEFLATED = 0, 8
_DATE = 0x5821  # of 2024-01-01


@dataclasses.dataclass
class Member:
    """A member; `local` and `central` replace fields of its two headers, `offset` where the directory says it is.

    `extra` is the extra field, `between` are bytes after the member.
    """

    name: str | bytes
    data: bytes
    method: int = STORED
    local: dict = dataclasses.field(default_factory=dict)
    central: dict = dataclasses.field(default_factory=dict)
    extra: bytes = b""
    between: bytes = b""
    offset: int | None = None


def packed(data):
    compressor = zlib.compressobj(6, wbits=-15)
    return compressor.compress(data) + compressor.flush()


def archive_of(members, start=b"", end=None, comment=b""):
    """An archive after `start`; `end` replaces fields of its last record."""
    body, directory, place = [start], [], len(start)
    for member in members:
        stored = packed(member.data) if member.method == DEFLATED else member.data
        name = member.name.encode() if isinstance(member.name, str) else member.name
        fields = {"version": 20, "date": _DATE, "flags": 0x800, "method": member.method, "crc": zlib.crc32(member.data)}
        fields |= {"packed": len(stored), "size": len(member.data), "name": len(name), "extra": len(member.extra)}
        offset = place if member.offset is None else member.offset
        body += [_local(fields | member.local), name, member.extra, stored, member.between]
        directory += [_central({**fields, "offset": offset, **member.central}), name, member.extra]
        place += sum(map(len, body[-5:]))
    last = {"here": len(members), "all": len(members), "size": sum(map(len, directory)), "offset": place}
    return b"".join([*body, *directory, _end({**last, "comment": len(comment), **(end or {})}), comment])


def _local(fields):
    names = ("version", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra")
    return b"PK\3\4" + _numbers("HHHHHIIIHH", names, fields)


def _central(fields):
    names = (
        "version",
        "version",
        "flags",
        "method",
        "time",
        "date",
        "crc",
        "packed",
        "size",
        "name",
        "extra",
        "comment",
    )
    more = ("disk", "internal", "external", "offset")
    return b"PK\1\2" + _numbers("HHHHHHIIIHHHHHII", names + more, fields)


def _end(fields):
    return b"PK\5\6" + _numbers("HHHHIIH", ("disk", "disk", "here", "all", "size", "offset", "comment"), fields)


def _numbers(code, names, fields):
    """Fields of two (H) and four bytes (I). What is not given is 0, and too large numbers lose their upper bits."""
    widths = {"H": 1 << 16, "I": 1 << 32}
    values = (fields.get(name, 0) % widths[width] for width, name in zip(code, names, strict=True))
    return struct.pack(f"<{code}", *values)
