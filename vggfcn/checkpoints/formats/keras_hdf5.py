"""Reads Keras's files: HDF5 in the layout before Keras 3, HDF5 in the layout of Keras 3, and `.keras` archives.

Before Keras 3, the root attribute `layer_names` lists groups, and the attribute `weight_names` of each group lists its
arrays. In a `.weights.h5` of Keras 3, every layer is a group with a subgroup `vars`, which holds arrays named 0, 1, ...
and has the layer's name as an attribute. A whole model saved as `.h5` keeps the first layout in the group
`model_weights`. A `.keras` is a zip archive with the model's configuration and a `.weights.h5`.

Root attributes may state the preprocessing: `color_order` ("RGB" or "BGR"), `mean` and `std` (in RGB order, for pixels
in [0, 255]). The root attribute `labels` may list the class names.
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
from vggfcn.checkpoints.hdf5_stream import HDF5Stream
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, check_shape, file_tensor
from vggfcn.errors import WeightsError

ARCHIVED_WEIGHTS, ARCHIVED_CONFIG = "model.weights.h5", "config.json"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 12
MAX_LAYERS = 10_000
# Root attributes that describe the weights.
ROOT_ATTRIBUTES = ("model_config", "color_order", "mean", "std", "labels")
# The filters that come with h5py: deflate, shuffle, Fletcher's checksum and LZF. Any other would load foreign code.
FILTERS = {1, 2, 3, 32000}


@dataclasses.dataclass(frozen=True)
class HDF5Source:
    """HDF5 data: `size` bytes from `start` on in the file that `open` returns.

    That file is the one at `path` itself, or a copy of its content in memory if `unpacked`.
    """

    path: pathlib.Path
    open: Callable[[], BinaryIO]
    start: int
    size: int
    unpacked: bool = False


@dataclasses.dataclass(frozen=True)
class DatasetTensor:
    """A dataset that the HDF5 library must read, because it is compressed or in chunks."""

    source: HDF5Source
    name: str
    shape: Shape
    dtype: str

    @property
    def order(self) -> tuple[int, ...]:
        """HDF5 stores arrays in C order."""
        return tuple(range(len(self.shape)))

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`; see `Tensor`."""
        with _open(self.source) as file:
            file[self.name].read_direct(rows, np.s_[start : start + len(rows)] if self.shape else ())


def read(path: pathlib.Path) -> Container:
    """The arrays of an HDF5 file."""
    return read_source(HDF5Source(path, lambda: path.open("rb"), 0, path.stat().st_size))


def read_archive(path: pathlib.Path) -> Container:
    """The arrays in a `.keras` archive, without loading the model itself."""
    with zip_members.open_archive(path) as archive:
        config = _archived_config(path, archive)
        member = archive.getinfo(ARCHIVED_WEIGHTS)
        if member.compress_type != zipfile.ZIP_STORED:
            data = zip_members.read_member(path, archive, ARCHIVED_WEIGHTS)
            return read_source(HDF5Source(path, lambda: io.BytesIO(data), 0, len(data), unpacked=True), config)
    start, size = zip_members.stored_span(path, member)
    return read_source(HDF5Source(path, lambda: path.open("rb"), start, size), config)


def _archived_config(path: pathlib.Path, archive: zipfile.ZipFile) -> object:
    if ARCHIVED_CONFIG not in archive.namelist():
        return None
    try:
        return json.loads(zip_members.read_member(path, archive, ARCHIVED_CONFIG))
    except (ValueError, RecursionError):
        raise damaged(path, f"{ARCHIVED_CONFIG} is not valid JSON") from None


def read_source(source: HDF5Source, config: object = None) -> Container:
    """The arrays of HDF5 data, named "<layer>/0", "<layer>/1", ...

    `config` is the model's configuration, if it is known from outside the HDF5 data.
    """
    with _open(source) as file:
        attributes = {name: file.attrs[name] for name in ROOT_ATTRIBUTES if name in file.attrs}
        if "model_config" in attributes:
            config = _json(source.path, attributes["model_config"])
        root = _child(source.path, file, "model_weights") if "model_weights" in file else file
        legacy = "layer_names" in root.attrs
        datasets = _legacy_datasets(source.path, root) if legacy else _keras3_datasets(source.path, root)
        tensors = {name: _tensor(source, dataset) for name, dataset in datasets}
        normalized = any(name.startswith("normalization") for name in root.get("layers", ()))
    if normalized and config is None and "mean" not in attributes:
        raise WeightsError(
            f"{source.path}: was written by a model with a Normalization layer, but does not contain its mean; "
            'save the whole model: model.save("model.keras")'
        )
    if not tensors:
        raise WeightsError(f"{source.path}: expected a Keras weight file, found HDF5 without any layer's weights")
    preprocessing, color_order = _preprocessing(source.path, attributes, config)
    labels = tuple(map(_text, np.atleast_1d(attributes["labels"]))) if "labels" in attributes else None
    file_format = FileFormat.KERAS_HDF5 if legacy else FileFormat.KERAS_3_HDF5
    return Container(source.path, file_format, tensors, preprocessing, color_order, labels)


@contextlib.contextmanager
def _open(source: HDF5Source) -> Iterator[h5py.File]:
    """Open HDF5 data; any error of the HDF5 library becomes a `WeightsError`."""
    stream = HDF5Stream(source.open(), source.start, source.size)
    try:
        with stream, h5py.File(stream, "r") as file:
            yield file
    except WeightsError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = stream.damage or " ".join(str(error).split())[:200]
        raise damaged(source.path, f"the HDF5 file is damaged ({reason})") from None


def _legacy_datasets(path: pathlib.Path, root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer in map(_text, root.attrs["layer_names"]):
        if layer not in root:
            raise damaged(path, f"lists a layer {layer[:80]!r} that is not in the file")
        group = _child(path, root, layer)
        counts: dict[str, int] = {}
        for name in map(_text, group.attrs.get("weight_names", ())):
            # In a nested model, the layer's name comes before the array's name.
            owner = name.split("/")[-2] if "/" in name else layer
            counts[owner] = counts.get(owner, -1) + 1
            if not isinstance(dataset := _child(path, group, name), h5py.Dataset):
                raise damaged(path, f"{name[:80]!r} of {layer[:80]!r} is not an array")
            yield f"{owner}/{counts[owner]}", dataset


def _keras3_datasets(path: pathlib.Path, group: h5py.Group, depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
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
            yield from _keras3_datasets(path, child, depth + 1)


def _is_array(item: object) -> bool:
    return isinstance(item, h5py.Dataset)


def _child(path: pathlib.Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """The group or array below a group; links are refused, because they could lead to any other file."""
    for part in name.strip("/").split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise damaged(path, f"{name[:80]!r} is missing or a link")
        group = group[part]
    return group


def _tensor(source: HDF5Source, dataset: h5py.Dataset) -> Tensor:
    path, shape, dtype = source.path, dataset.shape, dataset.dtype.str
    if shape is None or dataset.is_virtual or dataset.external:
        raise damaged(path, f"{dataset.name[:80]!r} is not stored in this file")
    check_shape(path, shape)
    if dataset.chunks is None and not source.unpacked and (offset := dataset.id.get_offset()) is not None:
        return file_tensor(path, source.start + offset, shape, dtype)
    plan = dataset.id.get_create_plist()
    filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
    if not filters <= FILTERS:
        raise WeightsError(f"{path}: {dataset.name[:80]!r} uses an unsupported HDF5 filter; save it with gzip")
    return DatasetTensor(source, dataset.name, shape, dtype)


def _preprocessing(
    path: pathlib.Path, attributes: dict[str, Any], config: object
) -> tuple[Preprocessing | None, str | None]:
    """The preprocessing and the colour order that the root attributes or the model's configuration state."""
    order = _text(attributes["color_order"]) if "color_order" in attributes else None
    if order not in ("RGB", "BGR", None):
        raise WeightsError(f"{path}: expected the colour order RGB or BGR, found {order[:80]!r}")
    if "mean" in attributes and "std" in attributes:
        try:
            mean, std = (np.asarray(attributes[name], np.float64).ravel().tolist() for name in ("mean", "std"))
        except (ValueError, TypeError):
            mean = std = []
        return Preprocessing.checked(path, mean, std), order
    stated = keras_config.preprocessing(path, config)
    return stated, order or ("RGB" if stated else None)


def _json(path: pathlib.Path, text: object) -> object:
    try:
        return json.loads(_text(text))
    except (ValueError, RecursionError):
        raise damaged(path, "the model's configuration is not valid JSON") from None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
