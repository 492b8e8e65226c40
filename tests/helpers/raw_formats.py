"""Weight files made byte by byte, as no library would write them: for attacks and for rare layouts of a format."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np

NPY_HEADER = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"


def raw(data):
    """A function that writes these bytes to a path, as all functions here that are named after a format."""
    return lambda path: path.write_bytes(data)


def npy(payload):
    """A `.npy` file for an array of objects, with this pickle."""
    return raw(NPY_HEADER + payload)


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def torch_zip(payload, extra=(), **members):
    """torch's zip archive with this pickle; `storage0=data` is the storage "0", `extra` are (name, data) pairs."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
            for name, data in members.items():
                archive.writestr(f"archive/data/{name.removeprefix('storage')}", data)
            for name, data in extra:
                archive.writestr(f"archive/{name}", data)

    return write


def torch_value(shape, strides, offset=0, size=4, storage="Float"):
    """The opcodes for a torch tensor in the storage "0", which has `size` elements."""
    numbers = [b"(" + b"".join(map(_int, values)) + b"t" for values in (shape, strides)]
    name = f"torch\n{storage}Storage\n".encode()
    reference = b"(" + _text("storage") + b"c" + name + _text("0") + _text("cpu") + _int(size) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + _int(offset) + b"".join(numbers) + b"tR"


def torch_dict(items):
    """The opcodes for a dict with text keys, whose values are opcodes."""
    return b"}" + b"".join(_text(key) + value + b"s" for key, value in items.items())


def torch_tensor(*arguments, **options):
    """The pickle of {"features.0.weight": a tensor}; the parameters are those of `torch_value`."""
    return torch_pickle(torch_dict({"features.0.weight": torch_value(*arguments, **options)}))


def torch_pickle(opcodes):
    return b"\x80\x02" + opcodes + b"."


def _int(value):
    return b"J" + struct.pack("<i", value)


def _text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return raw(struct.pack("<Q", len(text)) + text + data)


def entry(start, stop, shape=(2,), dtype="F32"):
    """What a safetensors header says of an array."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def mat(*elements):
    return raw(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements))


def mat_element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def mat_array(array_class, shape, *content, name=b""):
    """A MATLAB array: its flags, its dimensions, its name and its content."""
    flags = mat_element(6, struct.pack("<II", array_class, 0))
    return mat_element(
        14, flags + mat_element(5, struct.pack("<ii", *shape)) + mat_element(1, name) + b"".join(content)
    )


def compressed_element(content):
    packed = zlib.compress(content)
    return struct.pack("<II", 15, len(packed)) + packed


def varint(value):
    digits = b""
    while value > 0x7F:
        digits, value = digits + bytes([value & 0x7F | 0x80]), value >> 7
    return digits + bytes([value])


def proto(number, content):
    """A field of a protocol buffer: with a length for bytes, a varint for an integer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffe_blob(*fields):
    """A Caffe network with one layer, "conv1_1", with one blob."""
    return proto(100, proto(1, b"conv1_1") + proto(7, b"".join(fields)))


def onnx_node(*fields):
    """An ONNX network with one node."""
    return b"\x08\x07" + proto(7, proto(1, b"".join(fields)))
