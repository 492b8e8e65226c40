"""Recognises a weight file's format by its content and reads its arrays under the file's own names."""

import os
import pathlib
from collections.abc import Callable

from vggfcn.checkpoints import protobuf, zip_members
from vggfcn.checkpoints.formats import caffe, keras_hdf5, matconvnet, npy, onnx, safetensors, torch
from vggfcn.checkpoints.tensors import EXPANSION, Container, count
from vggfcn.errors import WeightsError

Reader = Callable[[pathlib.Path], Container]
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
    try:
        with path.open("rb") as file:
            start = file.read(64)
        container = _reader(path, start)(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weight file") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    _check_size(path, container)
    return container


def _reader(path: pathlib.Path, start: bytes) -> Reader:
    if start.startswith(zip_members.SIGNATURE):
        return _zip_reader(path)
    for signature, reader in _SIGNATURES:
        if start.startswith(signature):
            return reader
    if safetensors.matches(start):
        return safetensors.read
    if protobuf.is_protobuf(path):
        return onnx.read if start[:1] == b"\x08" else caffe.read
    found = "an empty file" if not start else f"one that starts with {start[:8]!r}"
    raise WeightsError(f"{path}: expected a weight file ({FORMATS}), found {found}")


def _zip_reader(path: pathlib.Path) -> Reader:
    with zip_members.open_archive(path) as archive:
        if keras_hdf5.ARCHIVED_WEIGHTS in archive.namelist():
            return keras_hdf5.read_archive
        if torch.archive_folder(archive) is not None:
            return torch.read_zip
        found = ", ".join(archive.namelist()[:5]) or "nothing"
    raise WeightsError(f"{path}: expected a zip archive from torch or Keras, found one that contains {found[:200]}")


def _check_size(path: pathlib.Path, container: Container) -> None:
    size = path.stat().st_size
    needed = sum(4 * count(tensor.shape) for tensor in container.tensors.values())
    if needed > EXPANSION * size:
        raise WeightsError(
            f"{path}: the arrays unpack to {needed:,} bytes, over {EXPANSION} times the file's size: "
            "a decompression bomb"
        )
