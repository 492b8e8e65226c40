"""Keras's files: HDF5 in the layout before Keras 3 and in that of its `.weights.h5`, and the `.keras` archive.

Before Keras 3, the root attribute `layer_names` lists groups, and each group's attribute `weight_names` its arrays. In
a `.weights.h5`, every layer is a group with a subgroup `vars` that holds arrays named 0, 1, ... and has the layer's
name as attribute. A whole model saved as `.h5` keeps the first layout under `model_weights`; a `.keras` is a zip
archive of the model's configuration and a `.weights.h5`.

Files may state preprocessing in root attributes: `color_order` ("RGB" or "BGR"), `mean` and `std` (in RGB order, for
pixels in [0, 255]), and `labels` (class names).
"""

import contextlib
import dataclasses
import io
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import h5py
import numpy as np

from vggfcn.checkpoints import zip_members
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats import keras_config
from vggfcn.checkpoints.hdf5_stream import Stream
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, check_shape, file_tensor
from vggfcn.errors import WeightsError

ARCHIVED_WEIGHTS, ARCHIVED_CONFIG = "model.weights.h5", "config.json"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 12
MAX_LAYERS = 10_000
# Root attributes that say something of the weights.
STATED = ("model_config", "color_order", "mean", "std", "labels")
# The filters that h5py itself brings: deflate, shuffle, Fletcher's checksum, LZF; others would load code.
FILTERS = {1, 2, 3, 32000}


@dataclasses.dataclass(frozen=True)
class Source:
    """`size` bytes of HDF5 in what `open` gives, from `start` on; the file at `path` itself unless it is `unpacked`."""

    path: pathlib.Path
    open: Callable[[], BinaryIO]
    start: int
    size: int
    unpacked: bool = False


@dataclasses.dataclass(frozen=True)
class DatasetTensor:
    """A dataset that HDF5 must unpack."""

    source: Source
    name: str
    shape: Shape
    dtype: str

    @property
    def order(self) -> tuple[int, ...]:
        """HDF5 keeps rows one after another."""
        return tuple(range(len(self.shape)))

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill `rows`, see `Tensor`."""
        with _opened(self.source) as file:
            file[self.name].read_direct(rows, np.s_[start : start + len(rows)] if self.shape else ())


def read(path: pathlib.Path) -> Container:
    """The arrays of an HDF5 file."""
    return read_source(Source(path, lambda: path.open("rb"), 0, path.stat().st_size))


def read_archive(path: pathlib.Path) -> Container:
    """The arrays in a `.keras`; the model itself is not loaded."""
    with zip_members.opened(path) as archive:
        config = _archived_config(path, archive)
        member = archive.getinfo(ARCHIVED_WEIGHTS)
        if member.compress_type != zipfile.ZIP_STORED:
            data = zip_members.content(path, archive, ARCHIVED_WEIGHTS)
            return read_source(Source(path, lambda: io.BytesIO(data), 0, len(data), unpacked=True), config)
    start, size = zip_members.span(path, member)
    return read_source(Source(path, lambda: path.open("rb"), start, size), config)


def _archived_config(path: pathlib.Path, archive: zipfile.ZipFile) -> object:
    if ARCHIVED_CONFIG not in archive.namelist():
        return None
    try:
        return json.loads(zip_members.content(path, archive, ARCHIVED_CONFIG))
    except (ValueError, RecursionError):
        raise damaged(path, f"{ARCHIVED_CONFIG} is no JSON") from None


def read_source(source: Source, config: object = None) -> Container:
    """The arrays of an HDF5 file, named "<layer>/0", "<layer>/1", ...; `config` is the model's, where known."""
    with _opened(source) as file:
        attributes = {name: file.attrs[name] for name in STATED if name in file.attrs}
        if "model_config" in attributes:
            config = _json(source.path, attributes["model_config"])
        root = _child(source.path, file, "model_weights") if "model_weights" in file else file
        legacy = "layer_names" in root.attrs
        datasets = _legacy(source.path, root) if legacy else _keras3(source.path, root)
        tensors = {name: _tensor(source, dataset) for name, dataset in datasets}
        normalized = any(name.startswith("normalization") for name in root.get("layers", ()))
    if normalized and config is None and "mean" not in attributes:
        raise WeightsError(
            f"{source.path}: was written by a model with a Normalization layer, whose mean such a file does not "
            'hold; save the whole model: model.save("model.keras")'
        )
    if not tensors:
        raise WeightsError(f"{source.path}: expected a Keras weight file, found HDF5 without any layer's weights")
    preprocessing, color_order = _preprocessing(source.path, attributes, config)
    labels = tuple(map(_text, np.atleast_1d(attributes["labels"]))) if "labels" in attributes else None
    file_format = FileFormat.KERAS_HDF5 if legacy else FileFormat.KERAS_3_HDF5
    return Container(source.path, file_format, tensors, preprocessing, color_order, labels)


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[h5py.File]:
    """The file; whatever HDF5 says of it becomes a `WeightsError`."""
    stream = Stream(source.open(), source.start, source.size)
    try:
        with stream, h5py.File(stream, "r") as file:
            yield file
    except WeightsError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = stream.damage or " ".join(str(error).split())[:200]
        raise damaged(source.path, f"the HDF5 file is damaged ({reason})") from None


def _legacy(path: pathlib.Path, root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer in map(_text, root.attrs["layer_names"]):
        if layer not in root:
            raise damaged(path, f"lists a layer {layer[:80]!r} that it does not hold")
        group = _child(path, root, layer)
        counts: dict[str, int] = {}
        for name in map(_text, group.attrs.get("weight_names", ())):
            # A model within the model keeps its layers' names before its arrays'.
            owner = name.split("/")[-2] if "/" in name else layer
            counts[owner] = counts.get(owner, -1) + 1
            if not isinstance(dataset := _child(path, group, name), h5py.Dataset):
                raise damaged(path, f"{name[:80]!r} of {layer[:80]!r} is no array")
            yield f"{owner}/{counts[owner]}", dataset


def _keras3(path: pathlib.Path, group: h5py.Group, depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    if depth > MAX_DEPTH or len(group) > MAX_LAYERS:
        raise damaged(path, "nested deeper or wider than any network")
    for name in group:
        if name == "optimizer":
            continue
        child = _child(path, group, name)
        if isinstance(child, h5py.Group) and name == "vars":
            layer = _text(child.attrs.get("name", group.name.split("/")[-1]))
            yield from ((f"{layer}/{key}", array) for key in child if _is_array(array := _child(path, child, key)))
        elif isinstance(child, h5py.Group):
            yield from _keras3(path, child, depth + 1)


def _is_array(item: object) -> bool:
    return isinstance(item, h5py.Dataset)


def _child(path: pathlib.Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What lies below a group, if it lies in this very file: links could lead to any other."""
    for part in name.strip("/").split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise damaged(path, f"{name[:80]!r} is missing or a link")
        group = group[part]
    return group


def _tensor(source: Source, dataset: h5py.Dataset) -> Tensor:
    path, shape, dtype = source.path, dataset.shape, dataset.dtype.str
    if shape is None or dataset.is_virtual or dataset.external:
        raise damaged(path, f"{dataset.name[:80]!r} does not lie in this file")
    check_shape(path, shape)
    if dataset.chunks is None and not source.unpacked and (offset := dataset.id.get_offset()) is not None:
        return file_tensor(path, source.start + offset, shape, dtype)
    plan = dataset.id.get_create_plist()
    filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
    if not filters <= FILTERS:
        raise WeightsError(f"{path}: {dataset.name[:80]!r} is packed in a way that is not known; save it with gzip")
    return DatasetTensor(source, dataset.name, shape, dtype)


def _preprocessing(
    path: pathlib.Path, attributes: dict[str, Any], config: object
) -> tuple[Preprocessing | None, str | None]:
    """What root attributes or the model's configuration say of preprocessing, and the colour order."""
    order = _text(attributes["color_order"]) if "color_order" in attributes else None
    if order not in ("RGB", "BGR", None):
        raise WeightsError(f"{path}: expected the colour order RGB or BGR, found {order[:80]!r}")
    if "mean" in attributes and "std" in attributes:
        try:
            mean, std = (np.asarray(attributes[name], np.float64).ravel().tolist() for name in ("mean", "std"))
        except (ValueError, TypeError):
            mean = std = []
        return Preprocessing.checked(path, mean, std), order
    found = keras_config.preprocessing(path, config)
    return found, order or ("RGB" if found else None)


def _json(path: pathlib.Path, text: object) -> object:
    try:
        return json.loads(_text(text))
    except (ValueError, RecursionError):
        raise damaged(path, "the model's configuration is no JSON") from None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
