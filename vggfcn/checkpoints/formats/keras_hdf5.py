"""Reads Keras's files: HDF5 in the layout before Keras 3, HDF5 in the layout of Keras 3, and `.keras` archives.

Keras 1 first numbered the layers and their arrays: layer_0/param_0. Until Keras 3, the root attribute `layer_names`
lists groups, and the attribute `weight_names` of each group lists its arrays. In a `.weights.h5` of Keras 3, every
layer is a group with a subgroup `vars`, which holds arrays named 0, 1, ... and has the layer's name as an attribute. A
whole model saved as `.h5` keeps the layout with `layer_names` in the group `model_weights`. A `.keras` is a zip archive
with the model's configuration and a `.weights.h5`.

Root attributes may state the preprocessing: `color_order` ("RGB" or "BGR"), `mean` and `std` (in RGB order, for pixels
in [0, 255]). The root attribute `labels` may list the class names.

A whole model's configuration says what it computes. A file of arrays alone lists its layers, those without arrays too:
before Keras 3 under their names and in order, since then under their classes, each class numbered on its own.
"""

import dataclasses
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from vggfcn.checkpoints import steps, zip_members
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats import keras_config
from vggfcn.checkpoints.hdf5_groups import FILTERS, HDF5Source, child_of, opened
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Outline, Step
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, check_shape, file_tensor
from vggfcn.errors import WeightsError

ARCHIVED_WEIGHTS, ARCHIVED_CONFIG = "model.weights.h5", "config.json"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 12
MAX_LAYERS = 10_000
# Root attributes that describe the weights.
ROOT_ATTRIBUTES = ("model_config", "color_order", "mean", "std", "labels")
_MODELS = ("functional", "sequential", "model")
# The classes of layers in a `.weights.h5` and what they are; "" for those that change nothing about the result.
_CLASSES = {
    "conv2d": steps.CONVOLUTION,
    "depthwise_conv2d": steps.DEPTHWISE,
    "dense": steps.DENSE,
    "max_pooling2d": steps.MAX_POOLING,
    "average_pooling2d": steps.AVERAGE_POOLING,
    "flatten": steps.FLATTEN,
    **dict.fromkeys(("input_layer", "dropout", *_MODELS), ""),
}
_POOLS = (*(f"block{number}_pool" for number in range(1, 6)), *(f"pool{number}" for number in range(1, 6)))
# The same for the names of layers without arrays, which people may choose: Keras's own, and those of its applications.
_NAMES = {
    "flatten": steps.FLATTEN,
    **dict.fromkeys(("input", "input_layer", "dropout", "fc6/relu", "fc7/relu", "fc8/softmax"), ""),
    **dict.fromkeys(("max_pooling2d", *_POOLS), steps.MAX_POOLING),
    **dict.fromkeys(("average_pooling2d", "s2_mean", "s4_mean"), steps.AVERAGE_POOLING),
}


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
        with opened(self.source) as file:
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
    path = source.path
    with opened(source) as file:
        attributes = {name: file.attrs[name] for name in ROOT_ATTRIBUTES if name in file.attrs}
        if "model_config" in attributes:
            config = _json(path, attributes["model_config"])
        root = child_of(path, file, "model_weights") if "model_weights" in file else file
        numbered, legacy = "nb_layers" in root.attrs, "layer_names" in root.attrs or "nb_layers" in root.attrs
        read_layers = _numbered_layers if numbered else _legacy_layers if legacy else _keras3_layers
        layers = list(read_layers(path, root))
        tensors = _tensors(source, layers)
    if not tensors:
        raise WeightsError(f"{path}: expected a Keras weight file, found HDF5 without any layer's weights")
    model = keras_config.read(config)
    stated = _stated(path, attributes)
    if model and model.preprocessing and stated is None:
        stated = model.preprocessing
    labels = tuple(map(_text, np.atleast_1d(attributes["labels"]))) if "labels" in attributes else None
    return Container(
        *(path, FileFormat.KERAS_HDF5 if legacy else FileFormat.KERAS_3_HDF5, tensors),
        preprocessing=stated,
        labels=labels,
        steps=model.steps if model else None,
        outline=None if numbered else _outline(layers, legacy),
        is_model=config is not None,
    )


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A layer in the file: its name, its class if the file tells it, and its arrays by the name of their owner."""

    name: str
    kind: str | None
    arrays: list[tuple[str, h5py.Dataset]]


def _tensors(source: HDF5Source, layers: list[_Layer]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, dataset in (array for layer in layers for array in layer.arrays):
        if name in tensors:
            raise WeightsError(
                f"{source.path}: has two layers of the name {name.split('/')[0][:80]!r}; give them different names, or "
                "save the whole model and run that: vggfcn.load(path)"
            )
        tensors[name] = _tensor(source, dataset)
    return tensors


def _outline(layers: list[_Layer], ordered: bool) -> Outline:
    """The layers with arrays and the pools. What is not known gets a kind of its own."""
    found, complete = [], False
    for layer in layers:
        stem = re.sub(r"_\d+$", "", layer.kind or layer.name)
        owners = list(dict.fromkeys(name.split("/")[0] for name, _ in layer.arrays))
        if len(owners) > 1:
            found.append(Step("a model within the model, whose layers without arrays are not listed,", {}, layer.name))
        elif owners:
            trained = steps.TRAINED if layer.kind is None else _CLASSES.get(stem) or stem
            found.append(Step(trained, {"arrays": owners[0]}, layer.name))
        else:
            kind = _NAMES.get(layer.name, _NAMES.get(stem)) if layer.kind is None else _CLASSES.get(stem)
            complete |= not stem.startswith("input") and stem not in _MODELS
            if kind != "":
                found.append(Step(kind or f"the layer {stem} without arrays", {}, layer.name))
    return Outline(found, ordered, complete)


def _numbered_layers(path: pathlib.Path, root: h5py.Group) -> Iterator[_Layer]:
    """The layers of Keras 1's first layout: layer_0/param_0, layer_0/param_1, ..."""
    names = [name for name in root if name.startswith("layer_")][:MAX_LAYERS]
    for name in sorted(names, key=_number):
        group = child_of(path, root, name)
        keys = [key for key in group if key.startswith("param_")] if isinstance(group, h5py.Group) else []
        arrays = [(f"{name}/{key.removeprefix('param_')}", child_of(path, group, key)) for key in keys]
        yield _Layer(name, None, [(key, array) for key, array in arrays if isinstance(array, h5py.Dataset)])


def _legacy_layers(path: pathlib.Path, root: h5py.Group) -> Iterator[_Layer]:
    for layer in map(_text, root.attrs["layer_names"]):
        if layer not in root:
            raise damaged(path, f"lists a layer {layer[:80]!r} that is not in the file")
        group = child_of(path, root, layer)
        arrays: list[tuple[str, h5py.Dataset]] = []
        counts: dict[str, int] = {}
        names = list(map(_text, group.attrs.get("weight_names", ())))
        # In a nested model, the layer's name comes before the array's name. In a layer it may have got a number.
        owners = [name.split("/")[-2] if "/" in name else layer for name in names]
        nested = len(set(owners)) > 1
        for name, owner in zip(names, owners if nested else [layer] * len(names), strict=True):
            counts[owner] = counts.get(owner, -1) + 1
            if not isinstance(dataset := child_of(path, group, name), h5py.Dataset):
                raise damaged(path, f"{name[:80]!r} of {layer[:80]!r} is not an array")
            arrays.append((f"{owner}/{counts[owner]}", dataset))
        yield _Layer(layer, None, arrays)


def _keras3_layers(path: pathlib.Path, group: h5py.Group, depth: int = 0) -> Iterator[_Layer]:
    if depth > MAX_DEPTH or len(group) > MAX_LAYERS:
        raise damaged(path, "nested deeper or wider than any network")
    for name in sorted(group, key=_number):
        # An optimizer's state and the seeds of dropout are not the network's.
        if (depth == 0 and name == "optimizer") or name == "seed_generator":
            continue
        child = child_of(path, group, name)
        if isinstance(child, h5py.Group) and name == "vars":
            kind = group.name.split("/")[-1]
            layer = _text(child.attrs.get("name", kind))
            arrays = [(f"{layer}/{key}", array) for key in child if _is_array(array := child_of(path, child, key))]
            if depth or arrays:
                yield _Layer(layer, kind, arrays)
        elif isinstance(child, h5py.Group):
            yield from _keras3_layers(path, child, depth + 1)


def _number(name: str) -> tuple[str, int]:
    """A group's class and its number: Keras calls the layers of a class conv2d, conv2d_1, conv2d_2, ..."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdecimal() and len(number) < 10 else (name, 0)


def _is_array(item: object) -> bool:
    return isinstance(item, h5py.Dataset)


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


def _stated(path: pathlib.Path, attributes: dict[str, Any]) -> Preprocessing | None:
    """The preprocessing that the root attributes state; None if one of them is missing."""
    order = _text(attributes.get("color_order", "RGB"))
    if order not in ("RGB", "BGR"):
        raise WeightsError(f"{path}: expected the colour order RGB or BGR, found {order[:80]!r}")
    if not {"mean", "std", "color_order"} <= attributes.keys():
        return None
    try:
        mean, std = (np.asarray(attributes[name], np.float64).ravel().tolist() for name in ("mean", "std"))
    except (ValueError, TypeError):
        mean = std = []
    return Preprocessing.checked(path, mean, std, order)


def _json(path: pathlib.Path, text: object) -> object:
    try:
        return json.loads(_text(text))
    except (ValueError, RecursionError):
        raise damaged(path, "the model's configuration is not valid JSON") from None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
