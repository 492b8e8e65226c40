"""Recognises files and folders that are not Keras models, and says what they are and what to do with them."""

import pathlib
import re

from vggfcn.checkpoints import protobuf, zip_members
from vggfcn.checkpoints.budget import TEXT, Budget
from vggfcn.checkpoints.json_text import parse
from vggfcn.checkpoints.reading import reading
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

_KERAS = "expected a Keras model, .keras or .h5"
_SAVE = 'load it in the TensorFlow that wrote it, and save it with model.save("model.h5")'
_REBUILD = (
    "build the network in Keras, set its weights, and save that; vggfcn reads the published VGG weights as they are"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
# First bytes -> what such a file is, and the way out.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", "unpack it (gunzip, tar xzf) and give the model inside"),
    (b"BZh", "a bzip2 archive", "unpack it and give the model inside"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it and give the model inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give the model inside"),
    (b"Rar!", "a RAR archive", "unpack it and give the model inside"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "run git lfs pull, or download the file"),
    (b"\x93NUMPY", "a NumPy array", _REBUILD),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a torch file in the legacy format", _REBUILD),
    (
        b"\x80",
        "a Python pickle, which can run any code",
        "load it where it was made, and save the model with model.save",
    ),
)
_PICKLED_SUFFIXES = {".pkl", ".pickle", ".joblib", ".sav"}


def refuse(path: pathlib.Path) -> None:
    """Raise `WeightsError` unless there is an HDF5 file or a zip archive of Keras at the path."""
    try:
        problem = _problem(path)
    except OSError as error:  # Such as a folder that only others may look into.
        problem = f"cannot be read ({error.strerror or error})"
    if problem:
        raise WeightsError(f"{path}: {problem}")


def _problem(path: pathlib.Path) -> str:
    """What is at a path instead of a Keras model, and what to do; "" if it may be one."""
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        beside = (
            [name.name for name in (path.parent.glob(f"{_escaped(path.name)}.*"))][:3] if path.parent.is_dir() else []
        )
        if any(name.endswith(".index") or ".data-" in name for name in beside):
            return f"is a TensorFlow checkpoint ({', '.join(beside)}), which has weights alone; {_SAVE}"
        return f"no such file; {_KERAS}"
    with reading(path) as budget:
        with open_regular(path) as file:
            start = file.read(2048)
        return "" if start.startswith(_HDF5) else _file(path, start, budget)


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _folder(path: pathlib.Path) -> str:
    names = {each.name for each in path.iterdir()}
    if names & {"saved_model.pb", "saved_model.pbtxt"}:
        return f"is a TensorFlow SavedModel folder; {_SAVE} or use the package tf_keras; {_KERAS}"
    if any(name.endswith(".index") for name in names):
        return f"is a folder of TensorFlow checkpoints, which have weights alone; {_SAVE}; {_KERAS}"
    if "model.json" in names:
        return f"is a folder of a TensorFlow.js model; {_tfjs()}; {_KERAS}"
    models = sorted(name for name in names if name.endswith((".keras", ".h5", ".hdf5")))
    if models:
        return f"is a folder; give the model inside, {', '.join(models[:3])}"
    return f"is a folder; {_KERAS}"


def _tfjs() -> str:
    return "convert it with tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras"


def _file(path: pathlib.Path, start: bytes, budget: Budget) -> str:
    """What a file is that starts with these bytes and is not HDF5."""
    if not start:
        return f"is empty; download it again; {_KERAS}"
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if path.name.endswith(".index") or re.search(r"\.data-\d+-of-\d+$", path.name):
        return f"is part of a TensorFlow checkpoint, which has weights alone; {_SAVE}; {_KERAS}"
    if start[4:8] == b"TFL3":
        return f"is a TensorFlow Lite model, which cannot be turned back; find the Keras model it came from; {_KERAS}"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return f"is a web page: the download failed; download the file itself; {_KERAS}"
    if text.startswith(b"{"):
        return _json(path, budget)
    for signature, kind, way_out in _SIGNATURES:
        if start.startswith(signature) and (signature != b"\x80" or start[1:2] in b"\x02\x03\x04\x05"):
            return f"is {kind}; {way_out}; {_KERAS}"
    if path.suffix in _PICKLED_SUFFIXES:
        return (
            f"is a Python pickle, which can run any code; load it where it was made, and save with model.save; {_KERAS}"
        )
    if int.from_bytes(start[:8], "little") < 1 << 27 and start[8:9] == b"{":
        return f"is a safetensors file, which has weights alone; {_REBUILD}; {_KERAS}"
    return _protobuf(path, start, budget)


def _protobuf(path: pathlib.Path, start: bytes, budget: Budget) -> str:
    known = {
        ".onnx": ("an ONNX model", "convert it where it was made; Keras cannot load it"),
        ".pb": ("a TensorFlow graph (frozen, or of a SavedModel)", f"give the SavedModel's folder, or {_SAVE}"),
        ".mlmodel": ("a Core ML model", "find the Keras model it came from"),
        ".caffemodel": ("a Caffe model", _REBUILD),
    }
    if path.suffix in known or start[:1] == b"\x08":
        with open_regular(path) as file:
            is_protobuf = protobuf.is_protobuf(file, budget)
        if is_protobuf and path.suffix in known:
            kind, way_out = known[path.suffix]
            return f"is {kind}; {way_out}; {_KERAS}"
        if is_protobuf:
            return f"is an ONNX or a Core ML model; convert it where it was made; {_KERAS}"
    return f"{_KERAS}, with stock layers and no code; found a file that starts with {shown(start[:8])}"


def _json(path: pathlib.Path, budget: Budget) -> str:
    try:
        with open_regular(path) as file:
            data = parse(budget, file.read(), path.name) if budget.size <= TEXT else {}
    except WeightsError:
        data = {}
    if isinstance(data, dict) and ("modelTopology" in data or "weightsManifest" in data):
        return f"is a TensorFlow.js model; {_tfjs()}; {_KERAS}"
    if isinstance(data, dict) and "class_name" in data:
        return (
            f"is a model's configuration without weights; give the weights, and this file as the architecture; {_KERAS}"
        )
    return f"is a JSON file; {_KERAS}"


def _archive(path: pathlib.Path) -> str:
    """What a zip archive is; "" if it may be a `.keras`."""
    try:
        with zip_members.open_archive(path) as archive:
            names = archive.namelist()
    except WeightsError as error:
        return f"{str(error).removeprefix(f'{path}: ')}; {_KERAS}"
    if "config.json" in names:
        if any(name.startswith("model.weights.") and not name.endswith(".h5") for name in names):
            return 'keeps its weights in another format than HDF5; save the model with model.save("model.keras")'
        return ""
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return f"is a torch file; {_REBUILD}; {_KERAS}"
    if "saved_model.pb" in last:
        return f"is a zip archive of a TensorFlow SavedModel; {_SAVE}; {_KERAS}"
    if any(name.endswith(".mlmodel") or ".mlpackage/" in name for name in names):
        return f"is a Core ML package; find the Keras model it came from; {_KERAS}"
    if last and all(name.endswith(".npy") for name in last):
        return f"is a NumPy archive of arrays; {_REBUILD}; {_KERAS}"
    models = [name for name in names if name.endswith((".keras", ".h5", ".hdf5"))]
    if models:
        return f"is a zip archive with {', '.join(models[:3])} inside: unpack it and give that file"
    return f"is a zip archive of {', '.join(names[:3]) or 'nothing'}; unpack it if the model is inside; {_KERAS}"
