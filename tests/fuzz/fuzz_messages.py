"""Hostile protocol buffers: ONNX models and Caffe networks with fields changed, and messages made of their grammar."""

import struct

from fuzz_sound import written
from fuzz_values import edge, flood, several
from paths import DATA
from raw_formats import varint

# Message -> its fields by number: another message, "number", "text", "bytes" or "float".
ONNX = {
    "model": {1: "number", 2: "text", 7: "graph", 8: "opset", 14: "text"},
    "opset": {1: "text", 2: "number"},
    "graph": {1: "node", 2: "text", 5: "tensor", 11: "value", 12: "value", 13: "value"},
    "node": {1: "text", 2: "text", 3: "text", 4: "text", 5: "attribute", 7: "text"},
    "attribute": {
        1: "text",
        2: "float",
        3: "number",
        4: "text",
        5: "tensor",
        6: "graph",
        7: "bytes",
        8: "bytes",
        20: "number",
    },
    "tensor": {1: "number", 2: "number", 4: "bytes", 8: "text", 9: "bytes", 13: "text", 14: "number"},
    "value": {1: "text", 2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {1: "number", 2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {1: "number", 2: "text"},
}
CAFFE = {
    "net": {1: "text", 2: "old layer", 3: "text", 4: "number", 8: "shape", 100: "layer"},
    "layer": {1: "text", 2: "text", 3: "text", 4: "text", 7: "blob", 106: "convolution", 121: "convolution"},
    "old layer": {2: "text", 3: "text", 4: "text", 5: "number", 6: "blob", 10: "convolution", 1: "old layer"},
    "blob": {1: "number", 2: "number", 3: "number", 4: "number", 5: "bytes", 7: "shape", 8: "bytes"},
    "shape": {1: "number"},
    "convolution": {1: "number", 2: "number", 3: "number", 4: "number", 5: "number", 6: "number", 18: "number"},
}  # fmt: skip
TEXTS = (
    b"conv1_1",
    b"Conv",
    b"Relu",
    b"Gemm",
    b"MaxPool",
    b"kernel_shape",
    b"pads",
    b"strides",
    b"",
    b"\xff\xfe",
    b"x" * 70_000,
)


def parsed(data, grammar, kind):
    """A message as a list of [number, wire type, value]; the value of a message is such a list."""
    fields, place = [], 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
        else:
            size, place = (8, place) if wire == 1 else (4, place) if wire == 5 else _varint(data, place)
            value, place = data[place : place + size], place + size
        inner = grammar[kind].get(number)
        fields.append([number, wire, parsed(value, grammar, inner) if wire == 2 and inner in grammar else value])
    return fields


def _varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


def serialized(fields):
    """The bytes of such a list; bytes in it are taken as they are."""
    parts = []
    for field in fields:
        if isinstance(field, bytes):
            parts.append(field)
            continue
        number, wire, value = field
        key = varint(number << 3 | wire)
        if isinstance(value, int):
            parts.append(key + varint(value))
        else:
            data = value if isinstance(value, bytes) else serialized(value)
            parts.append(key + (varint(len(data)) if wire == 2 else b"") + data)
    return b"".join(parts)


def messages_in(fields):
    """A message and all in it."""
    found = [fields]
    for field in fields:
        if isinstance(field, list) and isinstance(field[2], list):
            found += messages_in(field[2])
    return found


def changed(rng, fields):
    """Change some fields, anywhere in a message."""
    for _ in range(several(rng)):
        message = rng.choice([message for message in messages_in(fields) if message] or [fields])
        place = rng.randrange(len(message)) if message else 0
        rng.choice((_value, _value, _wire, _repeat, _remove, _insert, _raw, _number))(rng, message, place)
    return fields


def _value(rng, message, place):
    number, wire, value = message[place] if isinstance(message[place], list) else (1, 0, 0)
    if isinstance(value, int):
        message[place] = [number, wire, edge(rng, 8, value)]
    elif isinstance(value, bytes):
        packed = b"".join(varint(edge(rng)) for _ in range(rng.choice((1, 4, 17, 300))))
        numbers = struct.pack("<3f", float("nan"), float("inf"), 1e38)
        message[place] = [number, wire, rng.choice((value[:-1], value + b"\0", packed, numbers, *TEXTS))]
    else:
        message[place] = [number, wire, rng.choice((b"", b"\xff" * 20, rng.randbytes(30), value[:-1]))]


def _wire(rng, message, place):
    """Another wire type than the field's, with what belongs to it, or without."""
    number = message[place][0] if isinstance(message[place], list) else 1
    wire = rng.randrange(8)
    content = {0: varint(edge(rng)), 1: bytes(8), 2: b"\4abcd", 5: b"\0\0\x80\x7f"}.get(wire, b"")
    message[place] = varint(number << 3 | wire) + content


def _repeat(rng, message, place):
    message[place:place] = [message[place]] * rng.choice((1, 1, 2, 1000))


def _remove(rng, message, place):
    del message[place]


def _insert(rng, message, place):
    other = rng.choice(message)
    message.insert(rng.randrange(len(message) + 1), list(other) if isinstance(other, list) else other)


def _raw(rng, message, place):
    """A length beyond the end, a number of ten bytes and more, a field without a number."""
    long = b"\xff" * rng.choice((9, 10, 1000)) + b"\1"
    number = rng.choice((1, 5, 7, 100, (1 << 29) - 1))
    length = varint(number << 3 | 2) + varint(edge(rng))
    message.insert(place, rng.choice((long, varint(number << 3) + long, length, b"\0\0", b"\x0b" * 1000, b"\x80")))


def _number(rng, message, place):
    if isinstance(message[place], list):
        message[place][0] = rng.choice((*range(1, 15), 20, 100, 106, 121))


def made(rng, grammar, kind, depth=6):
    """A message that follows the grammar in everything but what it says."""
    fields = []
    for number, inner in rng.sample(sorted(grammar[kind].items()), rng.randint(1, len(grammar[kind]))):
        for _ in range(rng.choice((1, 1, 2, 5))):
            if inner in grammar:
                fields.append([number, 2, made(rng, grammar, inner, depth - 1) if depth else []])
            elif inner == "number":
                fields.append([number, 0, rng.choice((1, 2, 3, edge(rng)))])
            elif inner == "float":
                fields.append([number, 5, rng.randbytes(4)])
            else:
                fields.append([number, 2, rng.choice(TEXTS[:-1])])
    return fields


def flooded(rng, grammar, kind, numbers):
    """A flood of the smallest fields, below one message or another."""
    tiny = b"".join(rng.choice((varint(number << 3 | 2) + b"\0", varint(number << 3) + b"\1")) for number in numbers)
    parts = tiny * (flood(rng) // len(numbers))
    inside = rng.choice([number for number, inner in grammar[kind].items() if inner in grammar])
    deeper = next(iter(number for number, inner in grammar[grammar[kind][inside]].items() if inner in grammar), 1)
    wrapped = [[inside, 2, [[deeper, 2, parts]]]]
    return rng.choice((parts, serialized([[inside, 2, parts]]), serialized(wrapped)))


def nested(rng, number):
    data = b""
    for _ in range(rng.choice((20, 1000, 3000))):
        data = varint(number << 3 | 2) + varint(len(data)) + data
    return data


def onnx(rng):
    how = rng.randrange(10)
    if how == 0:
        return b"\x08\x07" + flooded(rng, ONNX, "model", (1, 5, 7))
    if how == 1:
        return b"\x08\x07" + nested(rng, rng.choice((5, 6, 7)))
    if how < 4:
        return b"\x08\x07" + serialized(changed(rng, made(rng, ONNX, "model")))
    return serialized(changed(rng, parsed((DATA / "micro-torch.onnx").read_bytes(), ONNX, "model")))


def caffe(rng):
    how = rng.randrange(10)
    if how == 0:
        return b"\x0a\3net" + flooded(rng, CAFFE, "net", (1, 2, 7))
    if how == 1:
        return b"\x0a\3net" + nested(rng, rng.choice((1, 2, 100)))
    if how < 4:
        return b"\x0a\3net" + serialized(changed(rng, made(rng, CAFFE, "net")))
    return serialized(changed(rng, parsed(written(rng.choice((".caffemodel", "old .caffemodel"))), CAFFE, "net")))
