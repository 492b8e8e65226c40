"""Reads whole Keras models as data: the configuration and the arrays, both unread by Keras.

A `.keras` is a zip archive, or a folder, of `config.json`, `metadata.json` and `model.weights.h5`. An `.h5` keeps the
configuration in the root attribute `model_config` and the arrays in the group `model_weights`. Files of weights alone
have either layout of arrays without a configuration.
"""

import dataclasses
import io
import json
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from vggfcn.checkpoints import foreign_files, zip_members
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.keras_hdf5 import (
    ARCHIVED_CONFIG,
    ARCHIVED_WEIGHTS,
    MAX_DEPTH,
    MAX_LAYERS,
    SIGNATURE,
)
from vggfcn.checkpoints.hdf5_groups import HDF5Source, StoredArray, child_of, opened, stored_array, text, texts
from vggfcn.errors import WeightsError

ARCHIVED_METADATA = "metadata.json"
MAX_CONFIG = 1 << 26
# Groups of what training keeps beside the model.
_OF_TRAINING = {"optimizer", "metrics", "_metrics", "compile_metrics", "_compile_metrics", "loss_tracker"}
_SEEDS = {"seed_generator", "_random_generator", "random_generator"}


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


def read(path: pathlib.Path) -> StoredModel:
    """The model in a file or in an unpacked `.keras` folder; raises `WeightsError` if it is anything else."""
    if path.is_dir() and (path / ARCHIVED_WEIGHTS).is_file() and (path / ARCHIVED_CONFIG).is_file():
        return _read_folder(path)
    foreign_files.refuse(path)
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start.startswith(zip_members.SIGNATURE):
        return _read_archive(path)
    stored = _read_hdf5(HDF5Source(path, lambda: path.open("rb"), 0, path.stat().st_size))
    if stored.config is None and not stored.arrays:
        raise WeightsError(
            f"{path}: expected a Keras model, found HDF5 data that Keras did not write; "
            'save the model with model.save("model.keras")'
        )
    return stored


def read_configuration(path: pathlib.Path) -> object:
    """The JSON configuration that `model.to_json()` gives, in a file."""
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise WeightsError(f"{path}: expected a model's configuration in JSON, found over {MAX_CONFIG:,} bytes")
        return _json(path, path.read_bytes(), path.name)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read_folder(path: pathlib.Path) -> StoredModel:
    weights = path / ARCHIVED_WEIGHTS
    stored = _read_hdf5(HDF5Source(weights, lambda: weights.open("rb"), 0, weights.stat().st_size))
    metadata = read_configuration(path / ARCHIVED_METADATA) if (path / ARCHIVED_METADATA).is_file() else None
    config = read_configuration(path / ARCHIVED_CONFIG)
    return _with_configuration(dataclasses.replace(stored, path=path), config, metadata)


def _read_archive(path: pathlib.Path) -> StoredModel:
    with zip_members.open_archive(path) as archive:
        names = archive.namelist()
        if ARCHIVED_CONFIG not in names or ARCHIVED_WEIGHTS not in names:
            raise WeightsError(
                f"{path}: expected {ARCHIVED_CONFIG} and {ARCHIVED_WEIGHTS} in the archive, as Keras writes, found "
                f'{", ".join(names[:4])[:120] or "nothing"}; save the model again: model.save("model.keras")'
            )
        config = _member(path, archive, ARCHIVED_CONFIG)
        metadata = _member(path, archive, ARCHIVED_METADATA) if ARCHIVED_METADATA in names else None
        member = archive.getinfo(ARCHIVED_WEIGHTS)
        if member.compress_type == zipfile.ZIP_STORED:
            start, size = zip_members.stored_span(path, member)
            source = HDF5Source(path, lambda: path.open("rb"), start, size)
        else:
            data = zip_members.read_member(path, archive, ARCHIVED_WEIGHTS)
            source = HDF5Source(path, lambda: io.BytesIO(data), 0, len(data), unpacked=True)
    return _with_configuration(_read_hdf5(source), config, metadata)


def _with_configuration(stored: StoredModel, config: object, metadata: object) -> StoredModel:
    training = config.get("compile_config") if isinstance(config, dict) else None
    return dataclasses.replace(stored, config=config, version=_version(metadata), training=training)


def _member(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> object:
    if archive.getinfo(name).file_size > MAX_CONFIG:
        raise WeightsError(f"{path}: {name} is over {MAX_CONFIG:,} bytes, which no model's configuration is")
    return _json(path, zip_members.read_member(path, archive, name), name)


def _version(metadata: object) -> str:
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def _read_hdf5(source: HDF5Source) -> StoredModel:
    with opened(source) as file:
        stated, version = text(file, "model_config"), text(file, "keras_version")
        training = text(file, "training_config")
        config = None if stated is None else _json(source.path, stated.encode(), "model_config")
        root = child_of(source.path, file, "model_weights") if "model_weights" in file else file
        by_layer = "model_weights" in file or "layer_names" in root.attrs or "layer_names0" in root.attrs
        names: dict[str, str] = {}
        if by_layer:
            version = version or text(root, "keras_version")
            groups = dict(_by_layer(source, root))
        else:
            groups = dict(_by_path(source, file, "", names))
    return StoredModel(source.path, config, version or "", by_layer, groups, names, training)


def _by_layer(source: HDF5Source, root: h5py.Group) -> Iterator[tuple[str, dict[str, StoredArray]]]:
    layers = texts(root, "layer_names")
    if "top_level_model_weights" in root:
        layers.append("top_level_model_weights")
    if len(layers) > MAX_LAYERS or len(set(layers)) < len(layers):
        raise damaged(source.path, "lists more layers than any network has, or one twice")
    for layer in layers:
        group = child_of(source.path, root, layer)
        names = texts(group, "weight_names")
        if len(set(names)) < len(names):
            raise damaged(source.path, f"lists an array of {layer[:80]!r} twice")
        yield layer, {name: stored_array(source, group, name, name) for name in names}


def _by_path(
    source: HDF5Source, group: h5py.Group, path: str, names: dict[str, str]
) -> Iterator[tuple[str, dict[str, StoredArray]]]:
    if path.count("/") > 2 * MAX_DEPTH or len(group) > MAX_LAYERS:
        raise damaged(source.path, "nested deeper or wider than any network")
    for name in group:
        if name in _SEEDS or (not path and name in _OF_TRAINING):
            continue
        item = child_of(source.path, group, name)
        if not isinstance(item, h5py.Group):
            raise damaged(source.path, f"{name[:80]!r} is an array where Keras keeps none")
        if name != "vars":
            # Keras 2.12 had another name for the list of layers.
            part = "layers" if name == "_layer_checkpoint_dependencies" else name
            yield from _by_path(source, item, f"{path}/{part}".strip("/"), names)
        elif len(item):
            if "name" in item.attrs:
                names[path] = str(text(item, "name"))
            yield path, {key: stored_array(source, item, key, f"{path}/{key}") for key in item}


def _json(path: pathlib.Path, data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise damaged(path, f"{name} is not valid JSON") from None
