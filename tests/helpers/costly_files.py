"""Small files that ask for much, for each kind of cost: objects, memory, seconds, depth. `n` is how often they ask."""

import io
import struct
import zipfile

import numpy as np
from raw_formats import (
    caffe_blob,
    compressed_element,
    entry,
    mat,
    mat_array,
    mat_element,
    npy,
    onnx_node,
    proto,
    raw,
    safetensors,
    torch_dict,
    torch_pickle,
    torch_tensor,
    torch_value,
    torch_zip,
)


def pickled(opcodes):
    return npy(b"\x80\x04" + opcodes + b".")


def array_of(shape=b")", dtype=b"N", data=b"N"):
    """The opcodes for a NumPy array with this state."""
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    return start + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def arrays(value):
    """A `.npy` whose dict has this value, as opcodes, at "a"."""
    whole = b"}X\x01\x00\x00\x00a" + value + b"s"
    return pickled(array_of(dtype=b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR", data=b"]" + whole + b"a"))


def nested(depth, opcode=b"\x85", start=b")"):
    return start + opcode * depth


def doubled(times):
    """A tuple of two of the tuple before: to print it takes 2**times steps."""
    return b")" + b"2\x86" * times


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def members(items, compression=zipfile.ZIP_STORED):
    def write(path):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in items:
                archive.writestr(name, data)

    return write


def one_name_twice(path):
    members([("archive/data.pkl", torch_tensor((2,), (1,))), ("archive/data.two", b"\x80\x02}.")])(path)
    path.write_bytes(path.read_bytes().replace(b"data.two", b"data.pkl"))


def overlapping(path):
    """Two members with the bytes of one."""
    torch_zip(torch_tensor((2,), (1,), size=2), storage0=bytes(8), storage1=bytes(8))(path)
    data = bytearray(path.read_bytes())
    entries = [start for start in range(len(data)) if data[start : start + 4] == b"PK\x01\x02"]
    first, second = entries[-2:]
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    path.write_bytes(data)


def central(path, **changes):
    """Change the list of members: `changes` are (offset, bytes) within each entry."""
    data = bytearray(path.read_bytes())
    for start in range(len(data)):
        if data[start : start + 4] == b"PK\x01\x02":
            for offset, value in changes.values():
                data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


def changed_list(**changes):
    def write(path):
        torch_zip(torch_tensor((2,), (1,), size=2), storage0=bytes(8))(path)
        central(path, **changes)

    return write


def many_members(n):
    """An archive of `n` empty members, written as one."""
    local = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 1, 0) + b"a"
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, n * len(entry), len(local), 0)
    return raw(local + entry * n + end)


def npz(array, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    np.save(file, array)
    return members([("a.npy", file.getvalue())], compression)


def json_text(value):
    return safetensors(value)


def metadata(**values):
    return safetensors({"__metadata__": values, "a": entry(0, 8)}, bytes(8))


BUDGET = "reading it would take over .*, more than any weight file needs"


def costly(n):
    """Name -> (function that makes the function that writes the file, the message with which it must be refused)."""
    tensor = torch_value((2,), (1,))
    return {
        "a dtype nested deep": (lambda: arrays(array_of(dtype=nested(n))), "nested over 50 levels deep"),
        "a dtype of shared tuples": (
            lambda: arrays(b"]" + array_of(dtype=doubled(40)) + b"a"),
            "an array has no dtype",
        ),
        "a name of shared tuples": (
            lambda: pickled(doubled(40) + doubled(40) + b"\x93"),
            "expected only arrays, found a reference to ''",
        ),
        "lists nested deep": (
            lambda: pickled(b"]" * (n // 10) + b"a" * (n // 10 - 1)),
            "nested over 50 levels deep",
        ),
        "lists nested deep from the outside": (
            lambda: pickled(b"]" + b"]q\x01ah\x01" * n),
            "a container changes after it was put into another",
        ),
        "dicts nested deep": (
            lambda: pickled((b"}" + text(b"a")) * (n // 10) + b"N" + b"s" * (n // 10)),
            "nested over 50",
        ),
        "persistent ids nested deep": (lambda: pickled(nested(n, b"Q")), "nested over 50 levels deep"),
        "calls nested deep": (
            lambda: pickled(nested(n, b"\x85ctorch._utils\n_rebuild_parameter\n0")),
            "nested over 50 levels deep",
        ),
        "a list in itself": (lambda: pickled(b"]q\x00h\x00a"), "a container is put into itself"),
        "shared dicts under every name": (
            lambda: torch_zip(
                torch_pickle(
                    b"}"
                    + b"".join(text(b"%d" % i) + b"Ns" for i in range(n // 10))
                    + b"q\x00"
                    + b"".join(
                        b"}"
                        + b"".join(
                            text(name) + b"h%cs" % level for name in (b"state_dict", b"model", b"net", b"params")
                        )
                        + b"q%c" % (level + 1)
                        for level in range(3)
                    )
                )
            ),
            "expected a state dict, found a dict with state_dict",
        ),
        "empty dicts": (lambda: pickled(b"}" * n), BUDGET),
        "empty lists popped": (lambda: pickled(b"]0" * n), BUDGET),
        "values popped": (lambda: pickled(b"N0" * n), BUDGET),
        "marks popped": (lambda: pickled(b"(1" * n), BUDGET),
        "duplicates": (lambda: pickled(b"N" + b"2" * n), BUDGET),
        "the memo": (lambda: pickled(b"N" + b"\x94" * n), BUDGET),
        "frames": (lambda: pickled(b"\x95\0\0\0\0\0\0\0\0" * n), BUDGET),
        "calls of torch.Size": (
            lambda: pickled(b"(" + b"K\x01" * 100 + b"tq\x00" + b"ctorch\nSize\nh\x00\x85R0" * n),
            "a shape of 100 axes|" + BUDGET,
        ),
        "encoding the same text": (
            lambda: pickled(
                text(b"x" * n)
                + b"q\x00"
                + b"c_codecs\nencode\nh\x00"
                + text(b"latin1")
                + b"\x86q\x02R0"
                + b"c_codecs\nencode\nh\x02R" * n
            ),
            BUDGET,
        ),
        "the same pairs in many dicts": (
            lambda: pickled(
                b"("
                + (text(b"a") + b"N\x86") * (n // 10)
                + b"lq\x00\x85q\x01"
                + b"ccollections\nOrderedDict\nq\x02h\x01R0"
                + b"h\x02h\x01R" * n
            ),
            BUDGET,
        ),
        "the same arguments of many calls": (
            lambda: pickled(
                b"(" + b"N" * (n // 10) + b"tq\x00" + b"cnumpy.core.multiarray\nscalar\nq\x01" + b"h\x01h\x00R" * n
            ),
            BUDGET,
        ),
        "wide text": (lambda: pickled(text("\U0001f600".encode() + b"x" * (8 * n)) * 20), BUDGET),
        "a long integer": (lambda: pickled(b"\x8a\xff" + b"\x01" * 255), "an integer of 255 bytes"),
        "keys of one hash": (
            lambda: pickled(
                b"}" + b"".join(b"\x8a\x0b" + (i * (2**61 - 1)).to_bytes(11, "little") + b"Ns" for i in range(1, n))
            ),
            "unsupported key of over 64 bits",
        ),
        "a shape of many axes": (
            lambda: torch_zip(torch_tensor((1,) * (n // 10), (1,) * (n // 10)), storage0=bytes(16)),
            "a shape of .* axes",
        ),
        "a dtype that NumPy would parse": (
            lambda: arrays(
                b"]" + array_of(b"K\x01\x85", b"cnumpy\ndtype\n(" + text(b"f4," * 10) + b"tR", b"C\x04abcd") + b"a"
            ),
            "expected arrays of numbers, found one with dtype f4",
        ),
        "long names of many arrays": (
            lambda: arrays(
                b"]"
                + array_of(b"K\x01\x85", b"cnumpy\ndtype\n(" + text(b"<f4") + b"tR", b"C\x04abcd")
                + b"q\x00a"
                + b"s"
                + text(b"x" * 2000)
                + b"("
                + b"h\x00" * (n // 10)
                + b"l"
            ),
            "an array has a name of 2,0.. characters",
        ),
        "one prefix again and again": (
            lambda: torch_zip(
                torch_pickle(torch_dict({"net." * n: tensor, "net." * n + "a": tensor})), storage0=bytes(16)
            ),
            "an array has a name of",
        ),
        "a persistent id of many parts": (
            lambda: torch_zip(
                torch_pickle(
                    b"("
                    + b"N" * (n // 10)
                    + b"tQq\x00}"
                    + b"".join(
                        text(b"%d" % i) + b"ctorch._utils\n_rebuild_tensor_v2\n(h\x00K\x00)q\x01h\x01tRs"
                        for i in range(n // 100)
                    )
                )
            ),
            "has a storage of an unknown type|expected a state dict",
        ),
        "ONNX integers one by one": (
            lambda: raw(onnx_node(proto(4, b"MaxPool"), proto(1, b""), proto(5, proto(1, b"pads") + b"\x40\x01" * n))),
            BUDGET + "|expected",
        ),
        "ONNX names of outputs": (
            lambda: raw(b"\x08\x07" + proto(7, proto(12, proto(1, b"x" * 60)) * (n // 10))),
            BUDGET + "|expected",
        ),
        "fields of two bytes": (lambda: raw(b"\x08\x01" * n + proto(7, b"")), "expected a weight file|" + BUDGET),
        "unknown fields": (lambda: raw(onnx_node(b"\x98\x06\x01" * n)), BUDGET),
        "empty messages": (lambda: raw(b"\x08\x07" + proto(7, b"\x0a\x00" * n)), BUDGET + "|expected"),
        "packed integers": (
            lambda: raw(caffe_blob(proto(5, bytes(4)), proto(7, proto(1, b"\x01" * 10_000)))),
            "impossible shape of 10,000 axes",
        ),
        "Caffe layers that change nothing": (
            lambda: raw(
                b"".join(proto(100, proto(2, b"Dropout") + proto(4, b"%d" % i)) for i in range(n // 10))
                + proto(1, b"net")
            ),
            BUDGET + "|expected",
        ),
        "a long Caffe name of many blobs": (
            lambda: raw(proto(100, proto(1, b"x" * 60_000) + proto(7, proto(5, bytes(4))) * (n // 100))),
            "a name of 60,001 characters",
        ),
        "empty MATLAB cells": (
            lambda: mat(mat_array(1, (1, 1), struct.pack("<II", 14, 0) * n, name=b"layers")),
            BUDGET,
        ),
        "MATLAB axes": (
            lambda: mat(
                mat_element(
                    14,
                    mat_element(6, bytes([7, 0, 0, 0, 0, 0, 0, 0]))
                    + mat_element(5, b"\x01\0\0\0" * n)
                    + mat_element(1, b""),
                )
            ),
            "an array has .* axes",
        ),
        "MATLAB fields": (
            lambda: mat(
                mat_array(2, (1, 1), mat_element(5, struct.pack("<i", 1)), mat_element(1, b"a" * n), name=b"layers")
            ),
            BUDGET + "|expected",
        ),
        "MATLAB texts": (lambda: mat(mat_array(4, (1, 2), mat_element(1, b"a" * (8 * n)), name=b"x") * 20), BUDGET),
        "MATLAB elements that unpack": (lambda: mat(compressed_element(bytes(100 * n)) * 30), BUDGET),
        "a large MATLAB stride": (
            lambda: mat(
                mat_array(
                    1,
                    (1, 1),
                    mat_array(
                        2,
                        (1, 1),
                        mat_element(5, struct.pack("<i", 8)),
                        mat_element(1, b"type".ljust(8, b"\0") + b"stride".ljust(8, b"\0")),
                        mat_array(4, (1, 4), mat_element(1, b"conv")),
                        mat_array(9, (n, 1), mat_element(2, bytes(n))),
                    ),
                    name=b"layers",
                )
            ),
            "numbers where a network has up to 8",
        ),
        "JSON of empty lists": (lambda: json_text(b'{"a":[' + b"[]," * n + b"1]}"), BUDGET),
        "JSON of objects": (lambda: json_text(b'{"a":[' + b'{"":0},' * n + b"1]}"), BUDGET),
        "a long header": (
            lambda: json_text(b'{"a":"' + b"x" * (9 << 20) + b'"}'),
            "the header has 9,437,.* bytes, more than any",
        ),
        "JSON nested": (
            lambda: json_text(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"),
            "the header is nested over 200 levels deep",
        ),
        "a JSON number of many digits": (
            lambda: json_text(b'{"a":' + b"9" * n + b"}"),
            "not valid JSON|no valid data_offsets",
        ),
        "offsets of many digits": (
            lambda: safetensors(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,' + b"9" * 4300 + b"]}}", bytes(8)),
            "'a' has no valid data_offsets",
        ),
        "a dtype that is a list": (lambda: safetensors({"a": {**entry(0, 8), "dtype": []}}, bytes(8)), "unknown dtype"),
        "a shape of many sizes": (
            lambda: safetensors({"a": entry(0, 8, (1,) * (n // 10))}, bytes(8)),
            "unknown dtype or an invalid shape",
        ),
        "labels of lists": (lambda: metadata(labels="[" + "[]," * 1000 + "[]]"), "labels that are no texts"),
        "labels nested deep": (lambda: metadata(labels="[" * 900 + "]" * 900), "nested over 200 levels deep"),
        "a mean of texts": (lambda: metadata(mean='["inf"]', std="[1]"), "no list of numbers"),
        "a mean that is infinite": (lambda: metadata(mean="[Infinity]", std="[1]"), "expected a mean and a positive"),
        "a million members": (lambda: many_members(100_000), "expected a list of members of up to 4,194,304 bytes"),
        "two members of one name": (lambda: one_name_twice, "two members of the name 'archive/data.pkl'"),
        "overlapping members": (lambda: overlapping, "overlaps another one"),
        "a member outside": (lambda: members([("../a.npy", b"")]), "'../a.npy', which lies outside"),
        "an LZMA bomb": (
            lambda: members([("a.npy", bytes(n))], zipfile.ZIP_LZMA),
            "expected members stored or deflated",
        ),
        "a bzip2 bomb": (
            lambda: members([("a.npy", bytes(n))], zipfile.ZIP_BZIP2),
            "expected members stored or deflated",
        ),
        "an encrypted member": (lambda: changed_list(flags=(8, b"\x01\x00")), "expected members stored or deflated"),
        "a size that is wrong": (
            lambda: changed_list(size=(24, b"\xff\xff\xff\x7f")),
            "extends beyond the end of the file",
        ),
        "a place beyond the archive": (lambda: changed_list(place=(20, b"\xff\xff\xff\x7f")), "overlaps|extends into"),
        "an npz bomb": (lambda: npz(np.zeros(100 * n, np.float32)), "decompression bomb"),
        "an npz header that could be matched in many ways": (
            lambda: members(
                [
                    (
                        "a.npy",
                        b"\x93NUMPY\x01\0\0\x08"
                        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (".ljust(2048, b"1"),
                    )
                ]
            ),
            "expected arrays of numbers, found one with the header",
        ),
        "an npz of another size": (
            lambda: members(
                [
                    (
                        "a.npy",
                        b"\x93NUMPY\x01\0\x46\0"
                        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }".ljust(70),
                    )
                ],
                zipfile.ZIP_DEFLATED,
            ),
            "does not have the size that its shape",
        ),
    }
