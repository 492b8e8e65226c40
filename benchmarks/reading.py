"""Reading full-size VGG16 from each kind of file, beside a copy of the same arrays with NumPy, in turns.

Each reading happens in a fresh process, from a file that was just written or read and so is in the system's cache.
All files must give the same arrays to the last bit. Prints seconds, their ratio to NumPy's copy of all arrays in the
same run (where axes change places, to its copy with the axes changed too), and peak memory beyond the imports as a
multiple of the file's size. Needs 2 GB of disk.
"""

import json
import pathlib
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

TESTS = pathlib.Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from format_writers import caffe_name
from writers import he_arrays, to_torch, write_published_layout

from vggfcn.architectures import ARCHITECTURES
from vggfcn.checkpoints.reading import read_weights
from vggfcn.checkpoints.writing import write_weights

ROUNDS = 3
MEASURE = """
import hashlib, json, pathlib, resource, time
from vggfcn.checkpoints.reading import read_weights
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
before = pages * resource.getpagesize()
start = time.perf_counter()
weights = read_weights({path!r})
kept = [weights[name] for name in weights]
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
checksum = hashlib.sha1()
for pair in kept:
    for array in pair:
        checksum.update(array.data)
print(json.dumps([seconds, peak, checksum.hexdigest()]))
"""
COPY = """
import json, time
import numpy as np
from vggfcn.checkpoints.reading import read_weights
weights = read_weights({path!r})
arrays = [array for name in weights for array in weights[name]]
start = time.perf_counter()
kept = [array.copy() for array in arrays]
plain = time.perf_counter() - start
del kept
start = time.perf_counter()
kept = [np.ascontiguousarray(array.T) for array in arrays]
print(json.dumps([plain, time.perf_counter() - start]))
"""


def write_npy(path, arrays):
    layers = {caffe_name(name): [kernel, bias] for name, kernel, bias in arrays}
    with path.open("wb") as file:
        np.save(file, layers, allow_pickle=True)


def write_caffe(path, arrays):
    """The wire format written out, as Caffe writes it: half a gigabyte is too much for a message built in Python."""
    with path.open("wb") as file:
        for name, kernel, bias in arrays:
            blobs = b""
            for array in (to_torch(name, kernel), bias):
                shape = b"".join(_varint(size) for size in array.shape)
                blobs += _field(7, _field(5, array.tobytes()) + _field(7, _field(1, shape)))
            file.write(_field(100, _field(1, caffe_name(name).encode()) + _field(2, b"Convolution") + blobs))


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def write_torch_safetensors(path, arrays):
    """torchvision's names and axes, as safetensors: what Hugging Face distributes."""
    header, position, names = {}, 0, _torch_names()
    shapes = [(names[name], to_torch_shape(name, kernel, bias)) for name, kernel, bias in _shapes()]
    for name, pair in shapes:
        for part, shape in zip(("weight", "bias"), pair, strict=True):
            size = 4 * int(np.prod(shape))
            header[f"{name}.{part}"] = {"dtype": "F32", "shape": shape, "data_offsets": [position, position + size]}
            position += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, kernel, bias in arrays:
            file.write(to_torch(name, kernel).data)
            file.write(bias.data)


def write_torch_legacy(path, arrays):
    """torch's legacy container, its pickles written out: torch itself need not be installed."""
    names = _torch_names()
    with path.open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(value, file, 2)
        file.write(b"\x80\x02}(")
        parts = [(names[name], part, shape) for name, pair in _torch_shapes() for part, shape in pair]
        for key, (name, part, shape) in enumerate(parts):
            file.write(_text(f"{name}.{part}") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + _text("storage"))
            file.write(b"ctorch\nFloatStorage\n" + _text(str(key)) + _text("cpu") + _int(int(np.prod(shape))) + b"NtQ")
            strides = np.append(np.cumprod(shape[:0:-1])[::-1], 1) if len(shape) > 1 else [1]
            file.write(_int(0) + _ints(shape) + _ints(strides) + b"tR")
        file.write(b"u.")
        pickle.dump([str(key) for key in range(len(parts))], file, 2)
        for name, kernel, bias in arrays:
            for array in (to_torch(name, kernel), bias):
                file.write(struct.pack("<q", array.size))
                file.write(array.data)


def _text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _int(value):
    return b"J" + struct.pack("<i", value)


def _ints(values):
    return b"(" + b"".join(_int(int(value)) for value in values) + b"t"


def _shapes():
    return ((name, *pair) for name, pair in ARCHITECTURES["vgg16"].parameter_shapes().items())


def to_torch_shape(name, kernel, bias):
    return (kernel[3], kernel[2], *kernel[:2]) if len(kernel) == 4 else kernel[::-1], bias


def _torch_shapes():
    for name, kernel, bias in _shapes():
        yield name, zip(("weight", "bias"), to_torch_shape(name, kernel, bias), strict=True)


def _torch_names():
    from vggfcn.checkpoints.dialects import DIALECTS

    torchvision = next(dialect for dialect in DIALECTS if dialect.name == "torchvision")
    return {
        name: stored.kernel.removesuffix(".weight")
        for name, stored in torchvision.layers(ARCHITECTURES["vgg16"]).items()
    }


def convert(suffix):
    def write(path, _):
        write_weights(read_weights(path.with_name("keras")), path.with_name(f"converted{suffix}"))
        path.with_name(f"converted{suffix}").rename(path)

    return write


# Name -> (how to write it, whether axes change places).
KINDS = {
    "keras": (write_published_layout, False),
    "keras 3": (convert(".weights.h5"), False),
    "vggfcn safetensors": (convert(".safetensors"), False),
    "npy": (write_npy, False),
    "torchvision safetensors": (write_torch_safetensors, True),
    "torch legacy": (write_torch_legacy, True),
    "caffemodel": (write_caffe, True),
}


def run(code, path):
    command = [sys.executable, "-c", code.format(path=str(path))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(pathlib.Path(folder)))
    table = Table("", "seconds", "of a copy", "of a copy with axes changed", "peak memory / file")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def measure(folder):
    console, sums = Console(stderr=True), set()
    for name, (write, turned) in track(KINDS.items(), "formats", console=console):
        path = folder / name.replace(" ", "-")
        arrays = he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0))
        write(path, arrays)
        size = path.stat().st_size
        read, copied = [], []
        for _ in range(ROUNDS):
            read.append(run(MEASURE, path))
            copied.append(run(COPY, path))
        sums.update(checksum for *_, checksum in read)
        if len(sums) > 1:
            raise SystemExit(f"{name}: other arrays than from the files before")
        seconds, peak = (statistics.median(column) for column in list(zip(*read, strict=True))[:2])
        plain, changed = (statistics.median(column) for column in zip(*copied, strict=True))
        other = f"{seconds / changed:.2f}" if turned else ""
        yield name, f"{seconds:.2f}", f"{seconds / plain:.2f}", other, f"{peak / size:.2f}"
        if name != "keras":
            path.unlink()


if __name__ == "__main__":
    main()
