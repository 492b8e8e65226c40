"""Reads whole Keras models as data: the configuration and the arrays, both unread by Keras.

A `.keras` is a zip archive, or a folder, of `config.json`, `metadata.json` and `model.weights.h5`. An `.h5` keeps the
configuration in the root attribute `model_config` and the arrays in the group `model_weights`. Files of weights alone
have either layout of arrays without a configuration.
"""

import contextlib
import dataclasses
import pathlib
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from vggfcn.checkpoints import foreign_files, zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.keras_hdf5 import (
    ARCHIVED_CONFIG,
    ARCHIVED_WEIGHTS,
    MAX_DEPTH,
    MAX_LAYERS,
    SIGNATURE,
    archived_weights,
)
from vggfcn.checkpoints.hdf5 import tree
from vggfcn.checkpoints.hdf5.tree import Dataset, Group, Source
from vggfcn.checkpoints.json_text import parse
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.tensors import Shape
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

ARCHIVED_METADATA = "metadata.json"
# Groups of what training keeps beside the model.
_OF_TRAINING = {"optimizer", "metrics", "_metrics", "compile_metrics", "_compile_metrics", "loss_tracker"}
_SEEDS = {"seed_generator", "_random_generator", "random_generator"}


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array of a file, by its own name."""

    name: str
    dataset: Dataset

    @property
    def dtype(self) -> str:
        """The dtype in which it is stored: NumPy's name, or "bfloat16"."""
        return self.dataset.dtype

    @property
    def shape(self) -> Shape:
        """The array's shape."""
        return self.dataset.shape

    def read(self) -> np.ndarray:
        """All numbers in the dtype in which they are stored; see `Dataset.read`."""
        with reading(self.dataset.source.path):
            return self.dataset.read()


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A model's configuration, the version of Keras that wrote it, and its unread arrays.

    - `config`: the configuration as JSON, or None if the file has weights alone.
    - `by_layer`: the layout of the arrays. If true, `groups` has the arrays of each outermost layer under its name, in
      the order of the file and under their own names. If false, it has them by the path of their layer, such as
      "layers/functional/layers/conv2d", as "0", "1", ...
    - `names`: for the second layout, the name of the layer at a path, where it is stated.
    - `training`: what the file says of the training, as JSON or its text, None if it says nothing.
    """

    path: pathlib.Path
    config: object
    version: str
    by_layer: bool
    groups: Mapping[str, Mapping[str, StoredArray]]
    names: Mapping[str, str]
    training: object = None

    @property
    def arrays(self) -> list[StoredArray]:
        """All arrays."""
        return [array for group in self.groups.values() for array in group.values()]

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Within this block one child process reads all arrays that need one."""
        with contextlib.ExitStack() as stack:
            if packed := [array.dataset for array in self.arrays if not array.dataset.is_direct]:
                stack.enter_context(packed[0].source.session())
            yield


def read(path: pathlib.Path) -> StoredModel:
    """The model in a file or in an unpacked `.keras` folder; raises `WeightsError` if it is anything else."""
    if path.is_dir() and (path / ARCHIVED_WEIGHTS).is_file() and (path / ARCHIVED_CONFIG).is_file():
        return _read_folder(path)
    foreign_files.refuse(path)
    with reading(path) as budget:
        with open_regular(path) as file:
            start = file.read(len(SIGNATURE))
        if start.startswith(zip_members.SIGNATURE):
            return _read_archive(path, budget)
        stored = _read_hdf5(tree.whole(path), budget)
    if stored.config is None and not stored.arrays:
        raise WeightsError(
            f"{path}: expected a Keras model, found HDF5 data that Keras did not write; "
            'save the model with model.save("model.keras")'
        )
    return stored


def read_configuration(path: pathlib.Path) -> object:
    """The JSON configuration that `model.to_json()` gives, in a file."""
    with reading(path) as budget, open_regular(path) as file:
        budget.check_text(path.stat().st_size, path.name)
        return parse(budget, file.read(), path.name)


def _read_folder(path: pathlib.Path) -> StoredModel:
    weights = path / ARCHIVED_WEIGHTS
    with reading(weights) as budget:
        stored = _read_hdf5(tree.whole(weights), budget)
    metadata = read_configuration(path / ARCHIVED_METADATA) if (path / ARCHIVED_METADATA).is_file() else None
    config = read_configuration(path / ARCHIVED_CONFIG)
    return _with_configuration(dataclasses.replace(stored, path=path), config, metadata)


def _read_archive(path: pathlib.Path, budget: Budget) -> StoredModel:
    with zip_members.open_archive(path) as archive:
        names = archive.namelist()
        if ARCHIVED_CONFIG not in names or ARCHIVED_WEIGHTS not in names:
            raise WeightsError(
                f"{path}: expected {ARCHIVED_CONFIG} and {ARCHIVED_WEIGHTS} in the archive, as Keras writes, found "
                f'{", ".join(names[:4])[:120] or "nothing"}; save the model again: model.save("model.keras")'
            )
        config = _member(path, archive, ARCHIVED_CONFIG, budget)
        metadata = _member(path, archive, ARCHIVED_METADATA, budget) if ARCHIVED_METADATA in names else None
        stored = _read_hdf5(archived_weights(path, archive, budget), budget)
    return _with_configuration(stored, config, metadata)


def _with_configuration(stored: StoredModel, config: object, metadata: object) -> StoredModel:
    training = config.get("compile_config") if isinstance(config, dict) else None
    return dataclasses.replace(stored, config=config, version=_version(metadata), training=training)


def _member(path: pathlib.Path, archive: zipfile.ZipFile, name: str, budget: Budget) -> object:
    return parse(budget, zip_members.read_member(path, archive, name, budget), name)


def _version(metadata: object) -> str:
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def _read_hdf5(source: Source, budget: Budget) -> StoredModel:
    file = tree.read(source, budget)
    stated, version = file.text("model_config"), file.text("keras_version")
    config = None if stated is None else parse(budget, stated, "model_config")
    root = file.group("model_weights") if "model_weights" in file.members else file
    by_layer = root is not file or "layer_names" in root.attributes or "layer_names0" in root.attributes
    names: dict[str, str] = {}
    if by_layer:
        version = version or root.text("keras_version")
        groups = dict(_by_layer(root))
    else:
        groups = dict(_by_path(file, "", names))
    training = file.text("training_config")
    return StoredModel(source.path, config, version or "", by_layer, groups, names, training)


def _by_layer(root: Group) -> Iterator[tuple[str, dict[str, StoredArray]]]:
    layers = root.texts("layer_names")
    if "top_level_model_weights" in root.members:
        layers.append("top_level_model_weights")
    if len(layers) > MAX_LAYERS or len(set(layers)) < len(layers):
        raise damaged(root.path, "lists more layers than any network has, or one twice")
    for layer in layers:
        group = root.group(layer)
        names = group.texts("weight_names")
        if len(set(names)) < len(names):
            raise damaged(root.path, f"lists an array of {shown(layer)} twice")
        yield layer, {name: _array(group, name, name) for name in names}


def _by_path(group: Group, path: str, names: dict[str, str]) -> Iterator[tuple[str, dict[str, StoredArray]]]:
    if path.count("/") > 2 * MAX_DEPTH or len(group.members) > MAX_LAYERS:
        raise damaged(group.path, "nested deeper or wider than any network")
    for name in group.members:
        if name in _SEEDS or (not path and name in _OF_TRAINING):
            continue
        item = group.group(name)
        if name != "vars":
            # Keras 2.12 had another name for the list of layers.
            part = "layers" if name == "_layer_checkpoint_dependencies" else name
            yield from _by_path(item, f"{path}/{part}".strip("/"), names)
        elif item.members:
            if (stated := item.text("name")) is not None:
                names[path] = stated
            yield path, {key: _array(item, key, f"{path}/{key}") for key in item.members}


def _array(group: Group, key: str, name: str) -> StoredArray:
    dataset = group.dataset(key)
    dataset.check(name)
    return StoredArray(name, dataset)
