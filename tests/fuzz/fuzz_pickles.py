"""Hostile pickles: programs of all opcodes, right pickles with wrong parts, attacks; in `.npy` and torch's files."""

import pickle
import pickletools
import struct

from fuzz_sound import members_of, written
from fuzz_values import CODE, ORDER, edge, flood, several, signed_edge
from fuzz_zips import archive_of
from paths import DATA
from raw_formats import NPY_HEADER

KNOWN = (
    "collections OrderedDict,_codecs encode,numpy dtype,numpy ndarray,numpy.core.multiarray _reconstruct,"
    "numpy._core.multiarray scalar,torch._utils _rebuild_tensor_v2,torch._utils _rebuild_parameter,torch Size,"
    "torch FloatStorage,torch BFloat16Storage"
)
UNKNOWN = (
    "os system,posix system,builtins eval,builtins exec,builtins getattr,builtins __import__,subprocess Popen,"
    "runpy _run_code,torch serialization.os.system,numpy f2py.os.system,copyreg _reconstructor,operator attrgetter,"
    "codecs decode,numpy.core.multiarray __builtins__,torch load,a\u202eb c"
)
NAMES = [name.split(" ") for name in f"{KNOWN},{UNKNOWN}".split(",")]


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    """An integer of any size, as protocol 2 writes it."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data if len(data) < 256 else b"\x8b" + struct.pack("<i", len(data)) + data


def name_of(rng):
    module, name = rng.choice(NAMES)
    if rng.random() < 0.5:
        return f"c{module}\n{name}\n".encode()
    return text(module) + text(name) + b"\x93"


def call(rng):
    """An order to run a program, by each of the opcodes that call."""
    how = rng.randrange(6)
    module, name, argument = rng.choice((("os", "system", ORDER), ("builtins", "eval", CODE)))
    target, arguments = f"c{module}\n{name}\n".encode(), text(argument)
    return (
        target + arguments + b"\x85R",
        target + arguments + b"\x85\x81",
        target + arguments + b"\x85}\x92",
        b"(" + arguments + f"i{module}\n{name}\n".encode(),
        b"(" + target + arguments + b"o",
        target + b")R" + arguments + b"b",
    )[how]


# Opcodes that push something, or should not be there.
_CONSTANTS = (
    *(b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"I01\n", b"I00\n", b"Inan\n", b"S'text'\n", b"Ftext\n"),
    *(struct.pack(">cd", b"G", number) for number in (float("nan"), float("inf"), 1e308, 0.5)),
    *(
        b"I" + b"9" * 5000 + b"\n",
        b"V\\ud800\n",
        b"F1e999\n",
        b"K\xff",
        b"M\xff\xff",
        b"P0\n",
        b"g0\n",
        b"h\0",
        b"j\0\0\0\0",
    ),
    *(text("weight"), text("\u202e\x1b[31m\n"), text("x" * 5000)),
    *(b"\x82\x01", b"\x83\xff\xff", b"\x84\xff\xff\xff\x7f", b"\x97", b"\x97\x98", b"2", b"0", b"1", b"("),
)


def leaf(rng):
    """Opcodes for one value: a number, a text, a name, a call, something of the memo, or nothing."""
    number, data = signed_edge(rng), rng.randbytes(rng.choice((0, 1, 8, 200)))
    code, size = rng.choice(((b"U", "B"), (b"C", "B"), (b"T", "<I"), (b"B", "<I"), (b"\x8e", "<Q"), (b"\x96", "<Q")))
    made = (
        *(integer(number), f"I{number}\n".encode(), f"L{number:#x}L\n".encode(), name_of(rng), name_of(rng), call(rng)),
        *(code + struct.pack(size, len(data)) + data, struct.pack("<cI", b"j", edge(rng, 4))),
        struct.pack("<ci", b"J", number % (1 << 31) - (1 << 30)),
    )
    return rng.choice(rng.choice((_CONSTANTS, made)))


def value(rng, depth=3):
    """Opcodes that push a value, more or less."""
    if not depth or rng.random() < 0.3:
        return leaf(rng)
    parts = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    ends = (b"t", b"l", b"d", b"\x90", b"\x91", b"o", b"1N")
    kinds = [b"(" + b"".join(parts) + end for end in ends]
    kinds += [start + b"(" + b"".join(parts) + end for start, end in ((b"]", b"e"), (b"}", b"u"), (b"\x8f", b"\x90"))]
    arguments = b"(" + b"".join(parts) + b"t"
    kinds += [name_of(rng) + arguments + end for end in (b"R", b"R", b"R", b"\x81", b"}\x92")]
    kinds += [arguments + b"Q", b"".join(parts) + b"b", b"".join(parts) + b"Q", b"".join(parts) + b"\x87"]
    return rng.choice(kinds) + rng.choice((b"", b"q\0", b"\x94", b"p0\n", struct.pack("<cI", b"r", edge(rng, 4))))


def program(rng):
    return b"".join(value(rng) for _ in range(rng.choice((1, 1, 3, 30))))


def doubled(rng):
    """A value of a few hundred bytes that has two, three ... times as many parts at every level."""
    steps = rng.choice((20, 40, 200, 250))
    double = rng.choice((b"h%ch%c\x86", b"h%ch%ch%c\x87", b"](h%ch%ce", b"](h%ch%c\x90", b"(h%ch%cl", b"(h%ch%cd"))
    rounds = (double.replace(b"%c", bytes([step])) + b"q" + bytes([step + 1]) for step in range(steps))
    return rng.choice((b"K\1", b")", b"]", text("x" * 1000))) + b"q\0" + b"".join(rounds)


def appended(rng):
    """A list that gets all of its own items once more, again and again."""
    return b"](" + leaf(rng) * 3 + b"eq\0" + b"(h\0h\0h\0e" * rng.choice((10, 10_000))


def doubled_text(rng):
    """A long text under many keys, or encoded again and again."""
    size = rng.choice((4000, 1_000_000))
    again = b"h\0" + text("latin1") + b"\x86R0"
    encode = b"c_codecs\nencode\nq\1" + text("\xff" * size) + b"q\0" + (b"0h\1" + again) * rng.choice((10, 300, 3000))
    arrays = text("a" * size) + b"q\0(" + b"h\0" * rng.choice((1000, 100_000)) + b"l"
    return rng.choice((encode, arrays))


def flooded(rng):
    """As many objects as a file of that size can ask for."""
    each = rng.choice(
        (b"(", b")", b"]", b"}", b"N2", b"2", b"K\1", b"]]", b"G12345678", b"\x8f", b"\x94", b"ctorch\nSize\n")
    )
    body = b"N" + each * flood(rng)
    return body + rng.choice((b"", b"t", b"l", b"(l", b"1", b"0" * 1000))


def calls_by_the_thousand(rng):
    names = (b"ccollections\nOrderedDict\n)R", b"ctorch\nSize\n(K\1K\2tR", b"cnumpy\ndtype\n" + text("f4") + b"\x85R")
    return b"(" + rng.choice(names) * min(flood(rng), 100_000) + b"l"


def nested(rng):
    """As deep as stacks are, and deeper."""
    depth = rng.choice((50, 900, 5000, 300_000))
    wrap = rng.choice((b"\x85", b"\x86", b"l", b"R", b"Q", b"a", b"b", b"s"))
    start = rng.choice((b")", b"(" * depth, b"]" * depth, b"}N" * depth, b"ctorch\nSize\n" * min(depth, 9000)))
    return start + wrap * depth + rng.choice((b"", b"N", b"Q", b"q\0h\0\x86"))


def lengths(rng):
    """A text or a number of more bytes than there are."""
    code, size = rng.choice(
        ((b"X", 4), (b"\x8d", 8), (b"B", 4), (b"\x8e", 8), (b"\x96", 8), (b"T", 4), (b"\x8b", 4), (b"\x95", 8))
    )
    return code + edge(rng, size).to_bytes(size, "little") + rng.randbytes(rng.choice((0, 10, 5000)))


def big_numbers(rng):
    size = rng.choice((1000, 100_000, 3_000_000))
    return rng.choice(
        (b"\x8b" + struct.pack("<i", size) + b"\x7f" * size, b"L" + b"9" * size + b"L\n", b"I" + b"1" * size + b"\n")
    )


ATTACKS = (doubled, appended, doubled_text, flooded, calls_by_the_thousand, nested, lengths, big_numbers, program, call)


def pieces(payload):
    """The opcodes of a pickle with their arguments; what follows the pickle is left out."""
    starts = [position for _, _, position in pickletools.genops(payload)]
    return [payload[start:stop] for start, stop in zip(starts, [*starts[1:], starts[-1] + 1], strict=True)]


def changed(rng, payload):
    """A right pickle with wrong values in places of others, without some, with some twice, or in another order."""
    parts = pieces(payload)
    for _ in range(several(rng)):
        place = rng.randrange(len(parts))
        how = rng.randrange(8)
        if how == 0:
            del parts[place]
        elif how == 1:
            parts[place] *= rng.choice((2, 2, 1000))
        elif how == 2:
            other = rng.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        elif how == 3:
            parts.insert(place, rng.choice(ATTACKS)(rng))
        else:
            places = [index for index, part in enumerate(parts) if part[:1] in _ALIKE[how % 4]]
            if places:
                parts[rng.choice(places)] = rng.choice((leaf(rng), value(rng), integer(signed_edge(rng)), name_of(rng)))
    return b"".join(parts)


# Numbers; texts and names; calls; and all of them: what may be replaced by a value of another type.
_ALIKE = (b"KMJI\x8a\x88\x89G", b"X\x8cUTcBC\x93V", b"RbQ\x81\x85\x86\x87t", b"KMJX\x8cUcRbQthj)]}N")


def payload_of(rng, right):
    """The pickle instead of a right one, without its end half of the time if it makes none itself."""
    if rng.random() < 0.5:
        return changed(rng, right)
    protocol = bytes([0x80, rng.choice((0, 1, 2, 2, 3, 4, 5, 5, 255))])
    body = rng.choice(ATTACKS)(rng)
    if rng.random() < 0.3:  # Where arrays are expected.
        body = b"}" + text("features.0.weight") + body + b"s"
    return rng.choice((protocol, protocol, b"")) + body + rng.choice((b".", b".", b""))


def npy(rng):
    right = written(rng.choice((".npy", ".npy of protocol 2", "MMdnn's .npy")))
    start = 10 + int.from_bytes(right[8:10], "little")
    return NPY_HEADER + payload_of(rng, right[start:])


def torch_archive(rng):
    members = members_of((DATA / "micro-torchvision.pth").read_bytes())
    pickled = next(member for member in members if member.name.endswith("data.pkl"))
    pickled.data = payload_of(rng, pickled.data)
    return archive_of(members)


def torch_legacy(rng):
    """One of the five pickles of the legacy format is another, mostly that of the arrays or of the storages' keys."""
    data = (DATA / "micro-torchvision-legacy.pth").read_bytes()
    parts = []
    for _ in range(5):
        part = b"".join(pieces(data))
        parts, data = [*parts, part], data[len(part) :]
    place = rng.choice((0, 1, 2, 3, 3, 3, 3, 4, 4))
    parts[place] = payload_of(rng, parts[place])
    return b"".join(parts) + data


def plain(rng):
    """A pickle alone, which is no weight file."""
    return payload_of(rng, pickle.dumps({"a": [1.0]}, protocol=rng.randrange(6)))
