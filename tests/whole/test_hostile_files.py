"""Malicious weight files: each is refused with one clear sentence, and no code in them ever runs."""

import contextlib
import os
import pathlib
import pickle
import resource
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from paths import DATA
from raw_formats import (
    caffe_blob,
    compressed_element,
    entry,
    mat,
    mat_array,
    npy,
    npy_bytes,
    onnx_node,
    proto,
    raw,
    safetensors,
    torch_tensor,
    torch_zip,
    varint,
)
from writers import arrays_of, write_published_layout

from vggfcn.errors import WeightsError
from vggfcn.networks.weights import read_weights


class Bomb:
    """Pickled, an order to run a program."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def hdf5(change):
    def write(path):
        write_published_layout(path, ((name, *pair) for name, pair in arrays_of().items()))
        with h5py.File(path, "a") as file:
            change(file)

    return write


def replaced(name="block1_conv1/block1_conv1_W_1:0", **dataset):
    def change(file):
        del file[name]
        file.create_dataset(name, **dataset)

    return hdf5(change)


def external_link(file):
    del file["block1_conv1"]
    file["block1_conv1"] = h5py.ExternalLink("/etc/hostname", "/")


def external_storage(file):
    name = "block1_conv1/block1_conv1_W_1:0"
    del file[name]
    file.create_dataset(name, (3, 3, 3, 2), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    name = "block1_conv1/block1_conv1_W_1:0"
    del file[name]
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", (3, 3, 3, 2))
    file.create_virtual_dataset(name, layout)


def endless_heap(name, value, kind):
    """An attribute in a chain that does not go on: the HDF5 library alone never comes back."""

    def write(path):
        hdf5(lambda file: file.attrs.create(name, value, dtype=kind))(path)
        data = bytearray(path.read_bytes())
        first = data.find(b"GCOL") + 16
        data[first : first + 16] = bytes(16)
        path.write_bytes(data)

    return write


def heaps_in_a_heap(path):
    """Each would be walked to the end of the file: time grows with the square of what lies there."""
    hdf5(lambda file: file.attrs.create("labels", ["x" * 3000], dtype=h5py.string_dtype()))(path)
    data = bytearray(path.read_bytes())
    text = data.find(b"x" * 3000)
    for start in range(text + -text % 16, text + 2900, 16):
        data[start : start + 16] = b"GCOL\x01\0\0\0" + (len(data) - start).to_bytes(8, "little")
    path.write_bytes(data)


def with_value(value):
    def change(file):
        file["fc2/fc2_W_1:0"][3, 4] = value

    return hdf5(change)


def zip_bomb(path):
    """A `.keras` whose weights unpack to a thousand times the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(20_000_000))


def config_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"[" * 100_000)
        archive.writestr("padding", os.urandom(10_000))
        archive.writestr("model.weights.h5", b"")


def mat_nested(depth):
    content = b""
    for _ in range(depth):
        content = mat_array(1, (1, 1), content, name=b"layers")
    return content


def cut(name, size):
    return lambda path: path.write_bytes((DATA / name).read_bytes()[:size])


def changed(name, position, value):
    def write(path):
        data = bytearray((DATA / name).read_bytes())
        data[position : position + len(value)] = value
        path.write_bytes(data)

    return write


# Hashing a tuple nested this deep overflows the stack and ends the process.
DEPTH = 300_000
DEEP_TUPLE = b"\x80\x02" + b")" + b"\x85" * DEPTH + b"."
DEEP_KEY = b"\x80\x02}" + b")" + b"\x85" * DEPTH + b"Ns."

ATTACKS = {
    "a pickle that runs a program": (
        npy(pickle.dumps(Bomb(os.system, "touch harmed"))),
        "'posix.system'.*it was not run",
    ),
    "a pickle that evaluates": (npy(pickle.dumps(Bomb(eval, "open('harmed', 'w')"))), "a reference to 'builtins.eval'"),
    "a protocol 0 pickle": (npy(b"cos\nsystem\n(S'touch harmed'\ntR."), "a reference to 'os.system'"),
    "a name with a dot": (
        npy(b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93."),
        "a reference to 'torch.serialization.os'",
    ),
    "an instance": (npy(b"\x80\x02cos\nsystem\n)\x81."), "a reference to 'os.system'"),
    "an old-style instance": (npy(b"(S'x'\nios\nsystem\n."), "damaged, or not a pickle of arrays"),
    "an extension code": (npy(b"\x80\x02\x82\x01."), "unsupported opcode"),
    "a call of a plain record": (npy(b"\x80\x02cnumpy\nndarray\n)R."), "unsupported call of numpy.ndarray"),
    "attributes for a string": (npy(b"\x80\x02X\x01\x00\x00\x00a}b."), "AttributeError"),
    "a huge memo index": (
        npy(b"\x80\x02Nr\xff\xff\xff\xff."),
        "expected a dict of arrays, found another pickled object",
    ),
    "a deeply nested tuple": (npy(DEEP_TUPLE), "expected a dict of arrays"),
    "a deeply nested key": (npy(DEEP_KEY), "unsupported key of type tuple"),
    "a list in itself": (npy(b"\x80\x02]q\x00h\x00a."), "expected a dict of arrays"),
    "a dict in itself": (npy(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), "expected a dict of arrays"),
    "a string longer than the file": (npy(b"\x80\x02X\xff\xff\xff\x7fa."), "ends in the middle of a pickle"),
    "bytes longer than the file": (npy(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa."), "ends in the middle"),
    "a negative length": (npy(b"\x80\x02T\xff\xff\xff\xffa."), "ends in the middle of a pickle"),
    "an empty stack": (npy(b"\x80\x02."), "damaged, or not a pickle of arrays .IndexError"),
    "no mark": (npy(b"\x80\x02Nt."), "missing mark"),
    "an npy header with code": (
        raw(b"\x93NUMPY\x01\x00\x16\x00__import__('os').abort()\n"),
        "expected a dict of arrays",
    ),
    "an npy header of 4 GB": (
        raw(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
        "expected a header of at most 4096 bytes, found one of 4294967295",
    ),
    "a plain npy array": (
        raw(npy_bytes(np.zeros(3))),
        "expected a dict of arrays, found an array with the header .*<f8",
    ),
    "a torch program": (torch_zip(pickle.dumps(Bomb(os.system, "touch harmed"))), "'posix.system'"),
    "a torch model, not its arrays": (
        torch_zip(b"\x80\x02ctorchvision.models.vgg\nVGG\n)\x81."),
        "'torchvision.models.vgg.VGG'.*state_dict",
    ),
    "a tensor with repeats": (
        torch_zip(torch_tensor((25088, 4096), (0, 0)), storage0=bytes(16)),
        "is not stored contiguously",
    ),
    "a tensor beyond its storage": (
        torch_zip(torch_tensor((2, 4), (4, 1)), storage0=bytes(16)),
        "extends beyond its storage",
    ),
    "a negative offset": (
        torch_zip(torch_tensor((2,), (1,), offset=-1), storage0=bytes(16)),
        "extends beyond its storage",
    ),
    "a negative shape": (torch_zip(torch_tensor((-2,), (1,)), storage0=bytes(16)), "invalid shape"),
    "a missing storage": (torch_zip(torch_tensor((2,), (1,))), "belongs to the storage '0', which is missing"),
    "a torch file cut short": (cut("tiny-torchvision.pth", 100_000), "zip archive is damaged"),
    "a legacy torch file cut short": (
        cut("tiny-torchvision-legacy.pth", 100_000),
        "an array ends at byte|ends in the middle|list of storages",
    ),
    "a legacy torch file of another version": (
        changed("tiny-torchvision-legacy.pth", 18, b"\x00\x00"),
        "expected version 1001 of torch's format",
    ),
    "a zip of something else": (
        lambda p: zipfile.ZipFile(p, "w").writestr("a.txt", "b"),
        "found one that contains a.txt",
    ),
    "a zip bomb": (zip_bomb, "decompression bomb"),
    "a configuration nested deep": (config_bomb, "config.json is not valid JSON"),
    "a header longer than the file": (raw(struct.pack("<Q", 5_000_000) + b"{}"), "states a header of 5000000 bytes"),
    "a header that is no JSON": (safetensors(b"{broken"), "the header is not valid JSON"),
    "a header nested deep": (safetensors(b'{"a":' + b"[" * 100_000), "the header is not valid JSON"),
    "a name twice": (safetensors(b'{"a":1,"a":2}'), "duplicate name"),
    "offsets out of range": (safetensors({"a": entry(0, 8_000_000, (2_000_000,))}, bytes(8)), "ends at byte"),
    "negative offsets": (safetensors({"a": entry(-8, 0)}, bytes(8)), "has no valid data_offsets"),
    "overlapping arrays": (safetensors({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "overlaps another array"),
    "a gap": (safetensors({"a": entry(0, 8), "b": entry(16, 24)}, bytes(24)), "leaves a gap"),
    "a shape that does not fit": (
        safetensors({"a": entry(0, 8, (3,))}, bytes(8)),
        "overlaps another array or leaves a gap|ends at",
    ),
    "a shape that overflows": (safetensors({"a": entry(0, 8, (2**33, 2**33))}, bytes(8)), "ends at byte"),
    "an unknown dtype": (
        safetensors({"a": entry(0, 8, dtype="OBJECT")}, bytes(8)),
        "unknown dtype or an invalid shape",
    ),
    "a link to another file": (hdf5(external_link), "'block1_conv1' is missing or a link"),
    "data in another file": (hdf5(external_storage), "is not stored in this file"),
    "virtual data": (hdf5(virtual), "is not stored in this file"),
    "a soft link": (
        hdf5(lambda f: (f.move("fc1", "x"), f.__setitem__("fc1", h5py.SoftLink("/x")))),
        "missing or a link",
    ),
    "texts in an endless heap": (
        endless_heap("labels", ["cat", "dog"], h5py.string_dtype()),
        "a heap of strings is not a chain of objects",
    ),
    "heaps in a heap": (heaps_in_a_heap, "a heap of strings is not a chain of objects"),
    "numbers in an endless heap": (
        endless_heap("mean", np.array([np.zeros(3), None], object)[:1], h5py.vlen_dtype("f8")),
        "a heap of strings is not a chain of objects",
    ),
    "HDF5 that unpacks to terabytes": (
        replaced(shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024)),
        "decompression bomb",
    ),
    "weights of text": (replaced(data=np.array([b"abc"])), "expected arrays of numbers, found one with dtype .S3"),
    "weights of integers": (replaced(data=np.zeros((3, 3, 3, 2), "i4")), "in floating point, found <i4"),
    "complex weights": (replaced(data=np.zeros((3, 3, 3, 2), "c8")), "expected arrays of numbers"),
    "NaN": (with_value(np.nan), "fc2/0 or its bias holds NaN or infinite numbers"),
    "infinity": (with_value(np.inf), "fc2/0 or its bias holds NaN or infinite numbers"),
    "a scalar for a kernel": (replaced(data=np.float32(1)), "has the shape ()"),
    "a standard deviation of zero": (
        hdf5(lambda f: f.attrs.update(mean=[0.0] * 3, std=[0.0] * 3)),
        "positive standard deviation",
    ),
    "a colour order of its own": (
        hdf5(lambda f: f.attrs.update(color_order="GRB")),
        "colour order RGB or BGR, found 'GRB'",
    ),
    "a MATLAB bomb": (mat(compressed_element(bytes(50_000_000))), "decompression bomb"),
    "MATLAB nested deep": (mat(mat_nested(60)), "nested more than 12 levels deep"),
    "MATLAB cut short": (mat(struct.pack("<II", 14, 1 << 30)), "damaged or truncated"),
    "MATLAB without layers": (mat(), "expected a MatConvNet network"),
    "Caffe numbers in pieces": (raw(caffe_blob(proto(5, bytes(4)) * 2)), "found 2 pieces"),
    "Caffe with a shape of its own": (
        raw(caffe_blob(proto(5, bytes(4)), proto(7, proto(1, varint(1 << 60))))),
        "impossible shape",
    ),
    "ONNX of another kind": (raw(onnx_node(proto(4, b"LSTM"))), "expected only nodes of a VGG network, found 'LSTM'"),
    "ONNX without its arrays": (
        raw(onnx_node(proto(4, b"Conv"), proto(1, b""), proto(1, b"w"))),
        "'w', which is not stored in the file",
    ),
    "an ONNX file cut short": (cut("tiny-torch.onnx", 100_000), "expected a weight file|damaged"),
    "an empty file": (raw(b""), "expected a weight file .*, found an empty file"),
    "text": (lambda p: p.write_text("weights? what weights?"), "found one that starts with b'weights\\?'"),
    "a folder": (lambda p: p.mkdir(), "found a folder without files"),
}


@pytest.fixture
def memory():
    """No more than a gigabyte may be taken beyond what is in use."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", ATTACKS)
def test_is_refused_in_one_sentence(name, tmp_path, monkeypatch, memory):
    write, message = ATTACKS[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "attack"
    write(path)
    with pytest.raises(WeightsError, match=message) as caught:
        weights = read_weights(path)
        for layer in weights:
            weights[layer]
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 700
    assert sorted(item.name for item in tmp_path.iterdir()) == ["attack"]


def test_the_attack_works_on_the_standard_unpickler(tmp_path, monkeypatch):
    """The bombs above do go off where they are trusted."""
    monkeypatch.chdir(tmp_path)
    ATTACKS["a pickle that runs a program"][0](tmp_path / "w.npy")
    with contextlib.suppress(Exception):
        np.load(tmp_path / "w.npy", allow_pickle=True)
    assert (tmp_path / "harmed").exists()


def test_reading_pickles_imports_nothing(tmp_path):
    """Not even what the known names stand for."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from vggfcn.networks.weights import read_weights\n"
        "before = set(sys.modules)\n"
        f"weights = read_weights({str(DATA / 'tiny-torchvision-legacy.pth')!r}); weights['fc1']\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
