"""Malicious weight files: each is refused with one clear sentence, and no code in them ever runs."""

import contextlib
import os
import pathlib
import pickle
import re
import resource
import struct
import subprocess
import sys
import time
import zipfile

import broken_hdf5
import h5py
import numpy as np
import pytest
from costly_files import BUDGET, costly
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

import vggfcn
from vggfcn.checkpoints import budget, kernels
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


def with_crash(path):
    hdf5(lambda file: None)(path)
    broken_hdf5.crash(path, "labels")


def with_hang(path):
    hdf5(lambda file: None)(path)
    broken_hdf5.hang(path)


def numbers_that_hang(path):
    hdf5(lambda file: None)(path)
    broken_hdf5.hang(path, "mean", np.array([np.zeros(3), None], object)[:1], h5py.vlen_dtype("f8"))


def huge_chunk(file):
    name = "block1_conv1/block1_conv1_W_1:0"
    del file[name]
    shape = (3, 3, 3, 2)
    file.create_dataset(name, shape, "f4", chunks=(1000, 100, 1000, 3), maxshape=(None,) * 4, compression="gzip")


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
    "an old-style instance": (npy(b"(S'x'\nios\nsystem\n."), "unsupported opcode b'S'"),
    "an extension code": (npy(b"\x80\x02\x82\x01."), "unsupported opcode"),
    "a call of a plain record": (npy(b"\x80\x02cnumpy\nndarray\n)R."), "unsupported call of numpy.ndarray"),
    "attributes for a string": (npy(b"\x80\x02X\x01\x00\x00\x00a}b."), "cannot set attributes of a str"),
    "a huge memo index": (
        npy(b"\x80\x02Nr\xff\xff\xff\xff."),
        "expected a dict of arrays, found another pickled object",
    ),
    "a deeply nested tuple": (npy(DEEP_TUPLE), "nested over 50 levels deep"),
    "a deeply nested key": (npy(DEEP_KEY), "nested over 50 levels deep"),
    "a tuple as a key": (npy(b"\x80\x02})Ns."), "unsupported key of type tuple"),
    "a list in itself": (npy(b"\x80\x02]q\x00h\x00a."), "a container is put into itself"),
    "a dict in itself": (npy(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), "a container is put into itself"),
    "a string longer than the file": (npy(b"\x80\x02X\xff\xff\xff\x7fa."), "ends in the middle of a pickle"),
    "bytes longer than the file": (npy(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa."), "ends in the middle"),
    "a negative length": (npy(b"\x80\x02T\xff\xff\xff\xffa."), "ends in the middle of a pickle"),
    "an empty stack": (npy(b"\x80\x02."), "damaged, or not what it seems .IndexError"),
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
    "texts that crash the HDF5 library": (with_crash, "the attribute 'labels' is not a list of texts"),
    "texts in an endless heap": (with_hang, "the HDF5 library crashed on it, or took more time"),
    "numbers in an endless heap": (numbers_that_hang, "the HDF5 library crashed on it, or took more time"),
    "groups in many places": (hdf5(broken_hdf5.groups_in_many_places), "a group under two names"),
    "a chunk of a gigabyte for few numbers": (hdf5(huge_chunk), "chunks far larger than the file"),
    "HDF5 that unpacks to terabytes": (
        replaced(shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024)),
        "decompression bomb",
    ),
    "weights of text": (replaced(data=np.array([b"abc"])), "expected arrays of numbers, found .* of .*S3"),
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
    "a MATLAB bomb": (mat(compressed_element(bytes(200_000_000))), "it would take over 128 MiB beyond twice its size"),
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


N = 20_000
COSTLY = costly(N)


@pytest.fixture
def small_budget(monkeypatch):
    """Files of a few kilobytes ask for as much of this as ones of megabytes of the real budget."""
    monkeypatch.setattr(budget, "OBJECTS", 15_000)
    monkeypatch.setattr(budget, "ROOM", 4 << 20)
    monkeypatch.setattr(budget, "SECONDS", 5.0)


def refused(read, path):
    """The message with which a file is refused, within two seconds of computation."""
    start = time.process_time()
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert time.process_time() - start < 2
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 700
    return str(caught.value)


def read_all(path):
    weights = read_weights(path)
    for layer in weights:
        weights[layer]


@pytest.mark.parametrize("name", COSTLY)
def test_asks_for_too_much_and_is_refused(name, tmp_path, small_budget, memory):
    make, message = COSTLY[name]
    path = tmp_path / "attack"
    make()(path)
    assert re.search(message, refused(read_all, path))
    refused(vggfcn.load, path)
    assert [item.name for item in tmp_path.iterdir()] == ["attack"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "empty dicts",
        "the memo",
        "shared dicts under every name",
        "encoding the same text",
        "wide text",
        "empty messages",
        "empty MATLAB cells",
        "MATLAB elements that unpack",
        "JSON of objects",
        "a million members",
    ],
)
def test_the_real_budget_bounds_large_files_too(name, tmp_path):
    """In a process of its own, with 300 MB and three times the file to use, and 20 seconds of computation."""
    path = tmp_path / "attack"
    make, message = costly(1_000_000)[name]
    make()(path)
    room = (300 << 20) + 3 * path.stat().st_size
    code = (
        "import pathlib, resource, sys\n"
        "from vggfcn.errors import WeightsError\n"
        "from vggfcn.networks.weights import read_weights\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {room},) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "try:\n"
        "    read_weights(sys.argv[1])\n"
        "except WeightsError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert re.search(f"{message}|{BUDGET}|the header has .* bytes", done.stdout)


def test_arrays_of_any_format_are_read_behind_the_boundary(tmp_path):
    """A file that changes after it was opened is refused as any other is."""
    path = tmp_path / "w.safetensors"
    path.write_bytes((DATA / "tiny-timm.safetensors").read_bytes())
    weights = read_weights(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="the file ends in the middle of an array"):
        weights["fc1"]
    path.unlink()
    with pytest.raises(WeightsError, match="no such weight file"):
        weights["fc1"]
    os.mkfifo(path)
    with pytest.raises(WeightsError, match="expected a file, found a pipe"):
        weights["fc1"]


def test_too_little_memory_is_said_as_such(monkeypatch):
    def refuse(shape):
        raise MemoryError

    weights = read_weights(DATA / "tiny-timm.safetensors")
    monkeypatch.setattr(kernels, "aligned_empty", refuse)
    with pytest.raises(WeightsError, match=r"tiny-timm\.safetensors: there is not enough memory to read it"):
        weights["fc1"]


@pytest.mark.parametrize("read", [read_weights, vggfcn.load])
def test_what_is_no_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("device", "a device")):
        with pytest.raises(WeightsError, match=f"found {kind}"):
            read(tmp_path / name)


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
