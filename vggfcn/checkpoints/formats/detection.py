"""Recognises a weight file's format by its content and reads its arrays under the file's own names."""

import contextlib
import os
import pathlib
from collections.abc import Callable

from vggfcn.checkpoints import protobuf, zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.formats import caffe, keras_hdf5, matconvnet, npy, onnx, safetensors, torch
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.tensors import EXPANSION, Container, count
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

Reader = Callable[[pathlib.Path, Budget], Container]
# First bytes of a file -> its reader.
_SIGNATURES: tuple[tuple[bytes, Reader], ...] = (
    (keras_hdf5.SIGNATURE, keras_hdf5.read),
    (npy.SIGNATURE, npy.read),
    (torch.LEGACY_SIGNATURE, torch.read_legacy),
    (matconvnet.SIGNATURE, matconvnet.read),
)
FORMATS = "Keras HDF5 or .keras, .npy, torch, safetensors, caffemodel, MatConvNet, ONNX"


def read_container(path: str | os.PathLike[str]) -> Container:
    """The arrays of a file of any known format, under the file's own names and not yet read.

    Raises `WeightsError` if the file is missing, damaged, hostile or of another format.
    """
    path = pathlib.Path(path)
    with contextlib.suppress(OSError):  # `reading` says it.
        if path.is_dir():
            raise WeightsError(f"{path}: expected a weight file, found a folder{_folder(path)}")
    with reading(path) as budget:
        container = _reader(path, budget)(path, budget)
        _check_size(container, budget)
    return container


def _folder(path: pathlib.Path) -> str:
    """What is in a folder, as far as people take folders for weight files, and what to do."""
    if (path / "saved_model.pb").is_file():
        return (
            " with a TensorFlow SavedModel, which is a program; save the model as one file in the Keras that made it: "
            'model.save("model.keras")'
        )
    files = sorted(file.name for file in path.iterdir())[:5]
    return f"; give the path of a file in it: {', '.join(files)}" if files else " without files"


def _reader(path: pathlib.Path, budget: Budget) -> Reader:
    with open_regular(path) as file:
        start = file.read(64)
        if start.startswith(zip_members.SIGNATURE):
            return _zip_reader(path)
        for signature, reader in _SIGNATURES:
            if start.startswith(signature):
                return reader
        if safetensors.matches(start):
            return safetensors.read
        if protobuf.is_protobuf(file, budget):
            return onnx.read if start[:1] == b"\x08" else caffe.read
    found = "an empty file" if not start else f"one that starts with {shown(start[:8])}"
    raise WeightsError(f"{path}: expected a weight file ({FORMATS}), found {_known(path, start) or found}")


def _known(path: pathlib.Path, start: bytes) -> str | None:
    """The format of a file that people have networks in, but that is not read, and what to do."""
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model; use the Keras model that it was made from"
    if start.startswith(b"MATLAB 7.3"):
        return "a MATLAB 7.3 file; save it again with -v7"
    if start[:4] == b"GGUF":
        return "a GGUF file of a language model"
    if path.suffix in (".index", ".meta") or ".data-0000" in path.name:
        return 'part of a TensorFlow checkpoint; save the model as one file in Keras: model.save("model.keras")'
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        return "a Python pickle; save arrays only, with torch.save(model.state_dict(), path) or numpy"
    return None


def _zip_reader(path: pathlib.Path) -> Reader:
    with zip_members.open_archive(path) as archive:
        if keras_hdf5.ARCHIVED_WEIGHTS in archive.namelist():
            return keras_hdf5.read_archive
        if torch.archive_folder(archive) is not None:
            return torch.read_zip
        if archive.namelist() and all(name.endswith(npy.ARCHIVE_SUFFIX) for name in archive.namelist()):
            return npy.read_archive
        found = ", ".join(archive.namelist()[:5]) or "nothing"
    raise WeightsError(f"{path}: expected a zip archive from torch, Keras or NumPy, found one that contains {found}")


def _check_size(container: Container, budget: Budget) -> None:
    needed = sum(4 * count(tensor.shape) for tensor in container.tensors.values())
    if needed > EXPANSION * budget.size:
        raise WeightsError(
            f"{container.path}: the arrays unpack to {needed:,} bytes, over {EXPANSION} times the file's size: "
            "a decompression bomb"
        )
