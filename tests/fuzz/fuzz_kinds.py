"""Every kind of hostile weight file: how it is made, and by what it is read.

    PYTHONPATH=tests/helpers:. python tests/fuzz/fuzz_kinds.py KIND NUMBER FILE

writes one of them: a kind and a number always give the same bytes.
"""

import pathlib
import sys

import fuzz_archives
import fuzz_configurations
import fuzz_hdf5
import fuzz_matlab
import fuzz_messages
import fuzz_pickles
from fuzz_bytes import damaged
from fuzz_sound import written
from fuzz_values import generator

WEIGHTS, MODEL, CLASSIFIER = "weights", "model", "classifier"
_BOTH = (WEIGHTS, MODEL)
# Kind -> how a file is made of random numbers, the ending of its name, and its readers.
STRUCTURES = {
    "pickles in .npy": (fuzz_pickles.npy, ".npy", (WEIGHTS,)),
    "pickles in torch's zip": (fuzz_pickles.torch_archive, ".pth", (WEIGHTS,)),
    "pickles in torch's legacy format": (fuzz_pickles.torch_legacy, ".pth", (WEIGHTS,)),
    "pickles alone": (fuzz_pickles.plain, ".pkl", _BOTH),
    "HDF5 weights, fields": (fuzz_hdf5.weight_fields, ".h5", _BOTH),
    "HDF5 models, fields": (fuzz_hdf5.model_fields, ".h5", (MODEL,)),
    "HDF5 in .keras, fields": (fuzz_hdf5.archived_fields, ".keras", _BOTH),
    "HDF5, built": (fuzz_hdf5.built, ".h5", _BOTH),
    "configurations in .keras": (fuzz_configurations.archive, ".keras", _BOTH),
    "configurations in .h5": (fuzz_configurations.hdf5, ".h5", _BOTH),
    "zip archives": (fuzz_archives.archive, ".keras", _BOTH),
    "safetensors": (fuzz_archives.safetensors, ".safetensors", (WEIGHTS,)),
    "ONNX": (fuzz_messages.onnx, ".onnx", (WEIGHTS,)),
    "caffemodel": (fuzz_messages.caffe, ".caffemodel", (WEIGHTS,)),
    "MATLAB": (fuzz_matlab.matlab, ".mat", (WEIGHTS,)),
}
_BYTES = "bytes of "


def kinds():
    """All kinds: the structures above, and each format's bytes."""
    from format_writers import FORMATS

    return [*STRUCTURES, *(_BYTES + name for name in FORMATS)]


def readers(kind):
    return STRUCTURES[kind][2] if kind in STRUCTURES else (WEIGHTS,)


def ending(kind):
    return STRUCTURES[kind][1] if kind in STRUCTURES else ".bin"


def made(kind, number):
    """The bytes of a file."""
    rng = generator(kind, number)
    return STRUCTURES[kind][0](rng) if kind in STRUCTURES else damaged(rng, written(kind.removeprefix(_BYTES)))


if __name__ == "__main__":
    pathlib.Path(sys.argv[3]).write_bytes(made(sys.argv[1], int(sys.argv[2])))
