"""`read_weights`: a file of any known distribution as canonical arrays."""

import dataclasses
import os
import pathlib

import numpy as np

from vggfcn.architectures import ARCHITECTURES, HEAD
from vggfcn.checkpoints.canonical import StoredLayer, Weights, stored_layer
from vggfcn.checkpoints.container import Container
from vggfcn.checkpoints.containers import read_container
from vggfcn.checkpoints.dialects import DIALECTS, FEATURES_ONLY, Dialect, Names
from vggfcn.errors import WeightsError


def read_weights(path: str | os.PathLike) -> Weights:
    """Read VGG16 or VGG19 from a file of any distribution: its arrays in one canonical form, nothing unpacked yet.

    Understood are, told apart by their content: Keras's HDF5 files, before and since Keras 3, and `.keras`;
    tensorflow-vgg's `vgg16.npy`; torchvision's and timm's files, as torch's both containers or safetensors; Caffe's
    `.caffemodel`; MatConvNet's `.mat`; the ONNX model zoo's `.onnx`. Width, head sizes and number of classes are
    taken from the shapes.

    Raises `WeightsError` if the file is missing, damaged, hostile, or holds no VGG network.

    >>> weights = read_weights("vgg16-397923af.pth")
    >>> kernel, bias = weights["fc1"]
    """
    path = pathlib.Path(path)
    container = read_container(path)
    dialect, names = _recognised(path, container)
    layers = _layers(path, container, dialect, names)
    if _head_is_empty(layers):
        layers = {name: layer for name, layer in layers.items() if name not in HEAD}
        dialect = dataclasses.replace(dialect, name="torchvision, features only", preprocessing=FEATURES_ONLY)
    return Weights(path, container, dialect, layers)


def _recognised(path: pathlib.Path, container: Container) -> tuple[Dialect, dict[str, Names]]:
    """The dialect and the names of the network that the file holds most of, its trunk at the least."""
    candidates = [
        (sum(len(layer.arrays) for layer in names.values() if _holds(container, layer)), dialect, names)
        for dialect in DIALECTS
        for architecture in ARCHITECTURES.values()
        if container.format in dialect.formats
        and (names := dialect.layers(architecture))
        and all(_holds(container, names[row.name]) for row in architecture.convolutions)
    ]
    if not candidates:
        raise WeightsError(f"{path}: {_expectation(container)}, found {_found(container)}")
    _, dialect, names = max(candidates, key=lambda candidate: candidate[0])
    understood = {name for layer in names.values() for name in layer.arrays}
    left = [name for name in container.tensors if name not in understood and _is_normalization(name)]
    if left:
        raise WeightsError(f"{path}: has batch normalisation where no known network has it: {', '.join(left[:5])}")
    return dialect, names


def _is_normalization(name: str) -> bool:
    return name.endswith(("running_mean", "running_var")) or "/normalization/" in name


def _holds(container: Container, names: Names) -> bool:
    # Before batch normalisation a bias is of no use, and may be missing.
    needed = set(names.arrays) - ({names.bias} if names.normalization else set())
    return needed <= container.tensors.keys()


def _expectation(container: Container) -> str:
    first = [
        f"{next(iter(dialect.layers(ARCHITECTURES['vgg16']).values())).kernel} ({dialect.name})"
        for dialect in DIALECTS
        if container.format in dialect.formats
    ]
    return f"expected the layers of {' or '.join(ARCHITECTURES)}, starting with {' or '.join(first)}"


def _found(container: Container) -> str:
    names = [f"{name[:80]} {tensor.shape}" for name, tensor in container.tensors.items()]
    return f"{len(names)} arrays: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "no arrays"


def _layers(path: pathlib.Path, container: Container, dialect: Dialect, names: dict[str, Names]):
    """The layers that the file holds, by canonical name."""
    layers: dict[str, StoredLayer] = {}
    channels = None
    for name, stored in names.items():
        if _holds(container, stored):
            layers[name] = stored_layer(path, name, stored, container, dialect, channels)
            channels = layers[name].shapes[1][0]
    return layers


def _head_is_empty(layers: dict[str, StoredLayer]) -> bool:
    """Whether the head is all NaN, as in torchvision's "features only" file."""
    head = [layer for name, layer in layers.items() if name in HEAD]
    return bool(head) and all(np.isnan(layer.vector(layer.names.bias, layer.shapes[1][0])).all() for layer in head)
