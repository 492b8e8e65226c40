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
import pathlib
import re
import weakref
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from vggfcn.checkpoints import steps, zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats import keras_config
from vggfcn.checkpoints.hdf5 import tree
from vggfcn.checkpoints.hdf5.tree import Dataset, Group, Source
from vggfcn.checkpoints.json_text import parse
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Outline, Step
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, file_tensor, numbers
from vggfcn.errors import WeightsError, shown

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

    dataset: Dataset

    @property
    def shape(self) -> Shape:
        """The dataset's shape."""
        return self.dataset.shape

    @property
    def dtype(self) -> str:
        """The dtype in which the dataset is stored."""
        return self.dataset.dtype

    @property
    def order(self) -> tuple[int, ...]:
        """HDF5 stores arrays in C order."""
        return tuple(range(len(self.shape)))

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Read numbers into `rows`; see `Tensor`."""
        rows[...] = numbers(self.dataset.read_rows(start, len(rows)), self.dtype)


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays of an HDF5 file."""
    return _read(tree.whole(path), budget)


def read_archive(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays in a `.keras` archive, without loading the model itself."""
    with zip_members.open_archive(path) as archive:
        config = None
        if ARCHIVED_CONFIG in archive.namelist():
            config = parse(budget, zip_members.read_member(path, archive, ARCHIVED_CONFIG, budget), ARCHIVED_CONFIG)
        return _read(archived_weights(path, archive, budget), budget, config)


def archived_weights(path: pathlib.Path, archive: zipfile.ZipFile, budget: Budget) -> Source:
    """The HDF5 data in a `.keras` archive: where it lies, or a nameless file if it is compressed there."""
    member = archive.getinfo(ARCHIVED_WEIGHTS)
    if member.compress_type == zipfile.ZIP_STORED:
        return Source(path, *zip_members.stored_span(path, member))
    unpacked = zip_members.unpack(path, archive, ARCHIVED_WEIGHTS, budget)
    source = Source(path, 0, unpacked.seek(0, 2), unpacked)
    weakref.finalize(source, unpacked.close)
    return source


def _read(source: Source, budget: Budget, config: object = None) -> Container:
    """The arrays of HDF5 data, named "<layer>/0", "<layer>/1", ...

    `config` is the model's configuration, if it is known from outside the HDF5 data.
    """
    path, file = source.path, tree.read(source, budget)
    attributes = {name: file.attributes[name] for name in ROOT_ATTRIBUTES if name in file.attributes}
    if "model_config" in attributes:
        config = parse(budget, file.text("model_config") or "", "model_config")
    root = file.group("model_weights") if "model_weights" in file.members else file
    numbered = "nb_layers" in root.attributes
    legacy = numbered or "layer_names" in root.attributes
    read_layers = _numbered_layers if numbered else _legacy_layers if legacy else _keras3_layers
    layers = list(read_layers(root))
    tensors = _tensors(source, layers)
    if not tensors:
        raise WeightsError(f"{path}: expected a Keras weight file, found HDF5 without any layer's weights")
    model = keras_config.read(config)
    stated = _stated(path, attributes)
    if model and model.preprocessing and stated is None:
        stated = model.preprocessing
    labels = tuple(file.texts("labels")) if "labels" in attributes else None
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
    arrays: list[tuple[str, Dataset]]


def _tensors(source: Source, layers: list[_Layer]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, dataset in (array for layer in layers for array in layer.arrays):
        if name in tensors:
            raise WeightsError(
                f"{source.path}: has two layers of the name {shown(name.split('/')[0])}; give them different names, or "
                "save the whole model and run that: vggfcn.load(path)"
            )
        tensors[name] = _tensor(dataset)
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


def _numbered_layers(root: Group) -> Iterator[_Layer]:
    """The layers of Keras 1's first layout: layer_0/param_0, layer_0/param_1, ..."""
    names = [name for name in root.members if name.startswith("layer_")]
    for name in sorted(names, key=_number):
        group = root.group(name)
        keys = [key for key in group.members if key.startswith("param_")]
        arrays = [(f"{name}/{key.removeprefix('param_')}", group.dataset(key)) for key in keys]
        yield _Layer(name, None, arrays)


def _legacy_layers(root: Group) -> Iterator[_Layer]:
    for layer in root.texts("layer_names"):
        group = root.group(layer)
        arrays: list[tuple[str, Dataset]] = []
        counts: dict[str, int] = {}
        names = group.texts("weight_names")
        # In a nested model, the layer's name comes before the array's name. In a layer it may have got a number.
        owners = [name.split("/")[-2] if "/" in name else layer for name in names]
        nested = len(set(owners)) > 1
        for name, owner in zip(names, owners if nested else [layer] * len(names), strict=True):
            counts[owner] = counts.get(owner, -1) + 1
            arrays.append((f"{owner}/{counts[owner]}", group.dataset(name)))
        yield _Layer(layer, None, arrays)


def _keras3_layers(group: Group, depth: int = 0) -> Iterator[_Layer]:
    if depth > MAX_DEPTH or len(group.members) > MAX_LAYERS:
        raise damaged(group.path, "nested deeper or wider than any network")
    for name in sorted(group.members, key=_number):
        # An optimizer's state and the seeds of dropout are not the network's.
        if (depth == 0 and name == "optimizer") or name == "seed_generator":
            continue
        child = group.child(name)
        if isinstance(child, Group) and name == "vars":
            kind = group.name.split("/")[-1]
            layer = child.text("name") or kind
            members = [(f"{layer}/{key}", child.child(key)) for key in child.members]
            arrays = [(key, array) for key, array in members if isinstance(array, Dataset)]
            if depth or arrays:
                yield _Layer(layer, kind, arrays)
        elif isinstance(child, Group):
            yield from _keras3_layers(child, depth + 1)


def _number(name: str) -> tuple[str, int]:
    """A group's class and its number: Keras calls the layers of a class conv2d, conv2d_1, conv2d_2, ..."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdecimal() and len(number) < 10 else (name, 0)


def _tensor(dataset: Dataset) -> Tensor:
    dataset.check(dataset.name)
    if dataset.is_direct:
        start = dataset.source.start + (dataset.offset or 0)
        return file_tensor(dataset.source.path, start, dataset.shape, dataset.dtype)
    return DatasetTensor(dataset)


def _stated(path: pathlib.Path, attributes: dict[str, Any]) -> Preprocessing | None:
    """The preprocessing that the root attributes state; None if one of them is missing."""
    order = attributes.get("color_order", "RGB")
    if order not in ("RGB", "BGR"):
        raise WeightsError(f"{path}: expected the colour order RGB or BGR, found {shown(order)}")
    if not {"mean", "std", "color_order"} <= attributes.keys():
        return None
    try:
        mean, std = (np.asarray(attributes[name], np.float64).ravel().tolist() for name in ("mean", "std"))
    except (ValueError, TypeError):
        mean = std = []
    return Preprocessing.checked(path, mean, std, order)
