"""`read_weights`: a file of any known distribution as canonical arrays."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from vggfcn.architectures import ARCHITECTURES
from vggfcn.checkpoints.canonical import StoredLayer, Weights, stored_layer
from vggfcn.checkpoints.container import Container
from vggfcn.checkpoints.containers import read_container
from vggfcn.checkpoints.dialects import DIALECTS, FEATURES_ONLY, Dialect, Names
from vggfcn.errors import WeightsError
from vggfcn.rows import Architecture


def read_weights(path: str | os.PathLike[str]) -> Weights:
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
    dialect, architecture = _recognised(path, container)
    layers = _layers(path, container, dialect, architecture)
    head = [layers[row.name] for row in architecture.head if row.name in layers]
    if head and all(layer.is_empty() for layer in head):
        layers = {name: layer for name, layer in layers.items() if layer not in head}
        dialect = dataclasses.replace(dialect, name="torchvision, features only", preprocessing=FEATURES_ONLY)
    return Weights(path, container, dialect, layers)


def _recognised(path: pathlib.Path, container: Container) -> tuple[Dialect, Architecture]:
    """The dialect and network that the file holds most of, the trunk at the least."""
    candidates = []
    for dialect, architecture in _known(container):
        names = dialect.layers(architecture)
        if all(_holds(container, names[row.name]) for row in architecture.trained_rows):
            understood = {array for layer in names.values() if _holds(container, layer) for array in layer.arrays}
            candidates.append((len(understood), dialect, architecture, understood))
    if not candidates:
        raise WeightsError(f"{path}: {_expectation(container)}, found {_found(container)}")
    _, dialect, architecture, understood = max(candidates, key=lambda candidate: candidate[0])
    left = [name for name in container.tensors if name not in understood and _is_normalization(name)]
    if left:
        raise WeightsError(f"{path}: has batch normalisation where no known network has it: {', '.join(left[:5])}")
    return dialect, architecture


def _known(container: Container) -> Iterator[tuple[Dialect, Architecture]]:
    """What a container of its format may hold."""
    for dialect in DIALECTS:
        if container.format in dialect.formats:
            yield from ((dialect, ARCHITECTURES[name]) for name in dialect.architectures)


def _is_normalization(name: str) -> bool:
    return name.endswith(("running_mean", "running_var")) or "/normalization/" in name


def _holds(container: Container, names: Names) -> bool:
    # Before batch normalisation a bias is of no use, and may be missing.
    needed = set(names.arrays) - ({names.bias} if names.normalization else set())
    return needed <= container.tensors.keys()


def _expectation(container: Container) -> str:
    first = dict.fromkeys(
        f"{next(iter(dialect.layers(architecture).values())).kernel} ({dialect.name})"
        for dialect, architecture in _known(container)
    )
    names = list(ARCHITECTURES)
    return f"expected the layers of {', '.join(names[:-1])} or {names[-1]}, starting with {' or '.join(first)}"


def _found(container: Container) -> str:
    names = [f"{name[:80]} {tensor.shape}" for name, tensor in container.tensors.items()]
    return f"{len(names)} arrays: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "no arrays"


def _layers(
    path: pathlib.Path, container: Container, dialect: Dialect, architecture: Architecture
) -> dict[str, StoredLayer]:
    """The layers that the file holds, by canonical name."""
    layers: dict[str, StoredLayer] = {}
    channels = None
    dense = {row.name for row in architecture.head}
    for name, stored in dialect.layers(architecture).items():
        if _holds(container, stored):
            layers[name] = stored_layer(path, name in dense, stored, container, dialect, channels)
            channels = layers[name].shapes[1][0]
    return layers
