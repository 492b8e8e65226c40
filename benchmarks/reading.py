"""Reading full-size VGG16 from each kind of file, beside a copy of the same arrays with NumPy, in turns.

Files were just written and so are in the system's cache; all must give the same arrays to the last bit. Prints the
medians of seconds, their ratio to NumPy's copy of all arrays in the same process (where axes change places, to its copy
with the axes changed too), and peak memory of one reading in a fresh process, beyond the imports, as a multiple of the
file's size. Needs 2 GB of disk.
"""

import json
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

TESTS = pathlib.Path(__file__).parent.parent / "tests" / "helpers"
sys.path.insert(0, str(TESTS))

from format_writers import caffe_name
from writers import he_arrays, to_torch, write_published_layout

from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.weights import read_weights
from vggfcn.networks.writing import write_weights

ROUNDS = 5
MEMORY = """
import hashlib, json, pathlib, resource
from vggfcn.networks.weights import read_weights
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
before = pages * resource.getpagesize()
weights = read_weights({path!r})
kept = [weights[name] for name in weights]
# Not getrusage's figure, which a process inherits from the one that started it.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 - before
checksum = hashlib.sha1()
for pair in kept:
    for array in pair:
        checksum.update(array.data)
print(json.dumps([peak, checksum.hexdigest()]))
"""
# The first round, in which the system hands out its memory, is not counted.
TIMES = """
import json, statistics, time
import numpy as np
from vggfcn.networks.weights import read_weights

def timed(job):
    start = time.perf_counter()
    kept = job()
    return time.perf_counter() - start, kept

def read():
    weights = read_weights({path!r})
    return [array for name in weights for array in weights[name]]

rounds = []
for _ in range(1 + {rounds}):
    reading, arrays = timed(read)
    copying, _ = timed(lambda: [array.copy() for array in arrays])
    turning, _ = timed(lambda: [np.ascontiguousarray(array.T) for array in arrays])
    del arrays
    rounds.append([reading, copying, turning])
print(json.dumps([statistics.median(column) for column in zip(*rounds[1:], strict=True)]))
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


def for_rgb(arrays):
    """The arrays, which are for BGR, as torchvision would have them."""
    for name, kernel, bias in arrays:
        yield name, np.ascontiguousarray(kernel[:, :, ::-1]) if name == "block1_conv1" else kernel, bias


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
        for name, kernel, bias in for_rgb(arrays):
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
        for name, kernel, bias in for_rgb(arrays):
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
    from vggfcn.networks.dialects import DIALECTS

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
    command = [sys.executable, "-c", code.format(path=str(path), rounds=ROUNDS)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(pathlib.Path(folder)))
    table = Table("", "seconds", "of a copy", "of a copy with axes changed", "peak memory / file")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


def measure(folder):
    console, sums = Console(stderr=True), set()
    for name, (write, turned) in track(KINDS.items(), "formats", console=console):
        path = folder / name.replace(" ", "-")
        write(path, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
        peak, checksum = run(MEMORY, path)
        sums.add(checksum)
        if len(sums) > 1:
            raise SystemExit(f"{name}: other arrays than from the files before")
        reading, copying, turning = run(TIMES, path)
        other = f"{reading / turning:.2f}" if turned else ""
        yield name, f"{reading:.2f}", f"{reading / copying:.2f}", other, f"{peak / path.stat().st_size:.2f}"
        if name != "keras":
            path.unlink()


if __name__ == "__main__":
    main()
