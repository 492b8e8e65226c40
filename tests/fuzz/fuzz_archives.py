"""Hostile zip archives of each kind that is read, and hostile safetensors files."""

import functools
import json
import struct
import zlib

from fuzz_sound import keras_file, members_of, steady, written
from fuzz_trees import changed, odd
from fuzz_values import PLACES, edge, flood, several
from fuzz_zips import DEFLATED, STORED, Member, archive_of, packed
from paths import DATA

NAMES = (
    *("config.json", "metadata.json", "model.weights.h5", "vggfcn.json", "archive/data.pkl", "archive/data/0"),
    *("conv1_1_W.npy", "archive/version", "archive/byteorder", "", "/", *PLACES, "a\0b"),
    *("x" * 60_000, b"\xff\xfe.npy", "\u202e.npy"),
)


def sound(rng):
    """The members of an archive of NumPy, Keras or torch."""
    kind = rng.randrange(3)
    if kind == 0:
        return members_of(written(rng.choice((".npz", "compressed .npz"))))
    if kind == 1:
        return members_of((DATA / "micro-torchvision.pth").read_bytes())
    return members_of(keras_file(rng, ".keras"))


def archive(rng):
    """A sound archive with some of its members or records wrong."""
    members, start, end, comment = sound(rng), b"", {}, b""
    for _ in range(several(rng)):
        member = rng.choice(members)
        rng.choice(_CHANGES)(rng, members, member)
    if rng.random() < 0.2:
        start = rng.choice(
            (rng.randbytes(100), b"PK\3\4" * 50, b"PK\5\6" + bytes(18), b"\x89HDF\r\n\x1a\n" + bytes(504))
        )
    if rng.random() < 0.2:
        end = {rng.choice(("here", "all", "size", "offset", "comment")): edge(rng, 4)}
    if rng.random() < 0.2:
        comment = rng.choice((b"x" * 65_535, b"PK\5\6" + bytes(18), b"PK\1\2" * 20, bytes(70_000)))
    data = archive_of(members, start, end, comment)
    return data + rng.choice((b"", b"", b"", bytes(100), rng.randbytes(30)))


def _twice(rng, members, member):
    other = rng.choice(members)
    members.append(Member(member.name, rng.choice((other.data, b"", member.data)), rng.choice((STORED, DEFLATED))))


def _overlapping(rng, members, member):
    """Where another member is, or somewhere in it."""
    member.offset = rng.choice((0, 1, 30, len(member.data), edge(rng, 4)))


def _renamed(rng, members, member):
    member.name = rng.choice((*NAMES, rng.choice(members).name))


def _other_name_inside(rng, members, member):
    member.local = {"name": rng.choice((0, 1, 65_535)), "extra": rng.choice((0, 4, 65_535))}


def _sizes(rng, members, member):
    fields = {rng.choice(("packed", "size", "crc")): edge(rng, 4, len(member.data)) for _ in range(2)}
    member.central |= fields
    member.local |= fields if rng.random() < 0.5 else {}


def _method(rng, members, member):
    """A method that nobody wrote the data with; LZMA and bzip2 have code of their own."""
    value = rng.choice((1, 6, 8, 9, 12, 14, 93, 95, 98, 99, 0xFFFF))
    member.central["method"] = value
    member.local |= {"method": value} if rng.random() < 0.7 else {}


def _flags(rng, members, member):
    """Encrypted, with sizes after the data, strongly encrypted, masked."""
    member.central["flags"] = rng.choice((1, 8, 9, 0x20, 0x40, 0x41, 0x2000, 0xFFFF))
    member.local |= {"flags": member.central["flags"]} if rng.random() < 0.7 else {}
    if member.central["flags"] & 8:
        member.local |= {"crc": 0, "packed": 0, "size": 0}
        member.between = b"PK\7\x08" + rng.randbytes(rng.choice((0, 12, 20)))


def _large(rng, members, member):
    """Zip64: sizes of eight bytes, right, wrong, or missing."""
    numbers = [rng.choice((len(member.data), edge(rng))) for _ in range(3)]
    member.extra = struct.pack("<HH", 1, 24) + struct.pack("<3Q", *numbers)[: rng.choice((0, 8, 16, 24))]
    member.central |= {"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF} | rng.choice(({}, {"offset": 0xFFFFFFFF}))


def _extra(rng, members, member):
    member.extra = rng.choice((b"\1", b"\1\0\xff\xff", rng.randbytes(50), b"\x75\x70\5\0\1\0\0\0\0", bytes(60_000)))


def _removed(rng, members, member):
    if len(members) > 1:
        members.remove(member)


def _replaced(rng, members, member):
    """With the data of another, with nothing, junk, or an archive."""
    other = rng.choice(members).data
    member.data = rng.choice(
        (other, b"", rng.randbytes(200), member.data[:-1], archive_of([Member("a", b"b")]), member.data * 2)
    )


def _bomb(rng, members, member):
    """A member that unpacks to a thousand times its size."""
    size = rng.choice((10, 100, 400)) << 20
    member.data, member.method = zeros(size, rng.choice((b"\0", b" ", b"["))), DEFLATED
    member.local = member.central = {"method": DEFLATED, "size": rng.choice((size, 100, len(member.data)))}
    member.method = STORED


@functools.cache
def zeros(size, byte):
    """One byte again and again, deflated."""
    compressor = zlib.compressobj(1, wbits=-15)
    parts = [compressor.compress(byte * (1 << 20)) for _ in range(size >> 20)]
    return b"".join(parts) + compressor.flush()


def _cut(rng, members, member):
    """Deflated data that ends early, or that something follows."""
    data = packed(member.data)
    member.local = member.central = {"method": DEFLATED, "size": len(member.data), "crc": zlib.crc32(member.data)}
    member.data = rng.choice((data[: len(data) // 2], data + b"\0" * 1000, data[:-1], rng.randbytes(100)))
    member.method = STORED


def _flooded(rng, members, member):
    """Members by the thousand."""
    name = rng.choice(("a", "archive/data/%d", "%d.npy", "config.json"))
    count = rng.choice((1000, 20_000, 60_000))
    members += [Member(name % number if "%" in name else name, b"") for number in range(count)]


_CHANGES = (
    *(_twice, _overlapping, _renamed, _other_name_inside, _sizes, _method, _flags, _large, _extra, _removed, _replaced),
    *(_bomb, _cut, _flooded),
)


def safetensors(rng):
    """A header with changed values, another length, or what is no header; the data may be shorter or longer."""
    data = steady(written(rng.choice(("own .safetensors", "timm .safetensors"))))
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    changed_header = rng.random() < 0.6
    text = json.dumps(_header(rng, header)).encode() if changed_header else rng.choice(_HEADERS)(rng, header)
    length = len(text) if rng.random() < 0.8 else edge(rng, 8, len(text))
    return struct.pack("<Q", length) + text + rng.choice((body, body, body, b"", body[:-1], body + b"\0"))


def _many(rng, header):
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({f"t{number}": empty for number in range(rng.choice((1000, 50_000)))}).encode()


_HEADERS = (
    lambda rng, header: rng.choice(
        (b'{"a":' + b"[" * 50_000, b"{" + b'"":' * 50_000, b"{}", b"\xff\xfe{}", b'{"a":1,"a":2}')
    ),
    lambda rng, header: rng.choice((b"[" + b"[]," * flood(rng) + b"1]", b" " * flood(rng) + b"{}")),
    lambda rng, header: json.dumps(header).encode() + rng.choice((b"\0", b" " * 7, b"}")),
    _many,
)


def _header(rng, header):
    if rng.random() < 0.5:
        return changed(rng, header)
    for _ in range(several(rng)):
        entry = header[rng.choice([name for name in header if name != "__metadata__"])]
        part = rng.choice(("shape", "data_offsets", "dtype"))
        numbers = [rng.choice((edge(rng), -1, 0, 1, 2)) for _ in range(rng.choice((0, 1, 2, 2, 4, 70)))]
        dtype = rng.choice(("F64", "BF16", "I8", "BOOL", "F8_E4M3", "U64", "C64", "", 3, None))
        entry[part] = (
            rng.choice((numbers, numbers, odd(rng), dtype)) if part != "dtype" else rng.choice((dtype, odd(rng)))
        )
    return header
