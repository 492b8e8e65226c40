"""`read_weights`: read the layers of a weight file of any known distribution in canonical form."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.kernels import Axes, read_kernel
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import FLOATS, Container, Shape, Tensor, as_array, count, is_finite
from vggfcn.errors import WeightsError
from vggfcn.files import digest
from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.dialects import DIALECTS, FEATURES_ONLY, ArrayNames, Dialect
from vggfcn.networks.spec import Architecture

EPSILON = 1e-5  # of torch's batch normalisation
# Kernel and bias.
Layer = tuple[np.ndarray, np.ndarray]


class Weights(Mapping[str, Layer]):
    """The layers of a checkpoint: a mapping from names to canonical (kernel, bias), read on demand and not cached.

    Layers have Keras's names for VGG: `block1_conv1` ... `block5_conv3`, `fc1`, `fc2`, `predictions`. Convolution
    kernels are float32 (rows, columns, in, out) for RGB images. Dense kernels are float32 (in, out), and the inputs of
    the first one are flattened in the order rows, columns, channels. Biases are float32 (out,). Batch normalisation is
    folded into the kernels and biases.

    `source` is the file's path; `format` and `dialect` are its file format and its distribution. `shapes` gives the
    (kernel, bias) shapes without reading. `preprocessing` is what the network expects for RGB in [0, 255]. `labels` are
    the class names, if the file has any. `unused` lists the arrays in the file that were not understood.

    Looking up a layer raises `WeightsError` if the file is damaged there or has NaN or infinite values.
    """

    def __init__(self, container: Container, dialect: Dialect, layers: Mapping[str, "StoredLayer"]):
        self.source, self.format, self.dialect = container.path, container.format, dialect.name
        self.preprocessing: Preprocessing = container.preprocessing or dialect.preprocessing
        self.labels = container.labels
        self.shapes = {name: layer.shapes for name, layer in layers.items()}
        used = {name for layer in layers.values() for name in layer.names.arrays}
        self.unused = [name for name in container.tensors if name not in used]
        self._layers = layers

    def __getitem__(self, name: str) -> Layer:
        return self._layers[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def digest(self, algorithm: str = "sha256") -> str:
        """The file's checksum in hexadecimal digits; `algorithm` is a name that `hashlib` knows."""
        return digest(self.source, algorithm)


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer in a file: its arrays, and the order of their axes."""

    path: pathlib.Path
    dense: bool
    names: ArrayNames
    tensors: Mapping[str, Tensor]
    axes: Axes  # of the kernel
    reads_bgr: bool

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """The canonical shapes of kernel and bias."""
        height, width, inputs, outputs = self.axes.sizes_of("HWIO")
        kernel = (height * width * inputs, outputs) if self.dense else (height, width, inputs, outputs)
        # A depthwise kernel's last axis is 1, but it has one bias per input channel.
        bias = self.tensors.get(self.names.bias)
        return kernel, (outputs if bias is None else count(bias.shape),)

    def read(self) -> Layer:
        """Read the canonical kernel and bias."""
        kernel = read_kernel(self.tensors[self.names.kernel], self.axes, "HWIO")
        (outputs,) = self.shapes[1]
        bias = self.vector(self.names.bias) if self.names.bias in self.tensors else np.zeros(outputs, np.float32)
        if self.names.normalization and kernel is not None:
            if kernel.shape[-1] != outputs:
                raise WeightsError(
                    f"{self.path}: {self.names.kernel} has {kernel.shape[-1]} outputs, but {self.names.bias} {outputs}"
                )
            kernel, bias = _folded(kernel, bias, *(self.vector(name) for name in self.names.normalization))
        if kernel is None or not is_finite(bias) or (self.names.normalization and not is_finite(kernel)):
            raise damaged(self.path, f"{self.names.kernel} or its bias holds NaN or infinite numbers")
        if self.reads_bgr:
            kernel = np.ascontiguousarray(kernel[:, :, ::-1])
        return kernel.reshape(self.shapes[0]), bias

    def is_empty(self) -> bool:
        """Whether all of its bias is NaN, which marks a layer as a placeholder."""
        return bool(np.isnan(self.vector(self.names.bias)).all())

    def vector(self, name: str) -> np.ndarray:
        """Read one of the layer's arrays that have a value per channel, as float32."""
        tensor, (size,) = self.tensors[name], self.shapes[1]
        if count(tensor.shape) != size:
            raise WeightsError(f"{self.path}: {name} has the shape {tensor.shape}, expected {size} numbers")
        return as_array(tensor).reshape(size)


def _folded(
    kernel: np.ndarray, bias: np.ndarray, scale: np.ndarray, offset: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> Layer:
    """Fold batch normalisation into the convolution: y = s (k * x + b - m) / sqrt(v + e) + o, rounded once."""
    with np.errstate(all="ignore"):  # the caller checks for NaN
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + EPSILON)
        kernel[...] = kernel * factor
        return kernel, ((bias - mean.astype(np.float64)) * factor + offset).astype(np.float32)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file of a VGG network, AlexNet or LeNet-5 from any known distribution.

    The file's content, not its name, decides which distribution it is: Keras's HDF5 files, before and since Keras 3,
    and `.keras`; tensorflow-vgg's `vgg16.npy`; torchvision's and timm's files, in either of torch's formats or as
    safetensors; Caffe's `.caffemodel`; MatConvNet's `.mat`; the ONNX model zoo's `.onnx`; or what `write_weights`
    writes. AlexNet and LeNet-5 are read from Keras's files and those of `write_weights`. Widths, head sizes and the
    number of classes follow from the shapes. Arrays are read on demand.

    Raises `WeightsError` if the file is missing, damaged, hostile, or has none of these networks.

    >>> weights = read_weights("vgg16-397923af.pth")
    >>> kernel, bias = weights["fc1"]
    """
    container = read_container(path)
    dialect, architecture = _identify(container)
    layers = _layers(container, dialect, architecture)
    head = [layers[dense.name] for dense in architecture.head if dense.name in layers]
    if head and all(layer.is_empty() for layer in head):
        layers = {name: layer for name, layer in layers.items() if layer not in head}
        dialect = dataclasses.replace(dialect, name="torchvision, features only", preprocessing=FEATURES_ONLY)
    return Weights(container, dialect, layers)


def _identify(container: Container) -> tuple[Dialect, Architecture]:
    """The dialect and network that explain most of the file's arrays, and at least the whole trunk."""
    candidates = []
    for dialect, architecture in _possible(container):
        names = dialect.layers(architecture)
        if all(_has_layer(container, names[layer.name]) for layer in architecture.trained_layers):
            present = [layer for layer in names.values() if _has_layer(container, layer)]
            understood = {array for layer in present for array in layer.arrays}
            candidates.append((len(understood), dialect, architecture, understood))
    if not candidates:
        raise WeightsError(f"{container.path}: {_expectation(container)}, found {_found(container)}")
    _, dialect, architecture, understood = max(candidates, key=lambda candidate: candidate[0])
    unknown = [name for name in container.tensors if name not in understood and _is_normalization(name)]
    if unknown:
        raise WeightsError(
            f"{container.path}: has batch normalisation where no known network has it: {', '.join(unknown[:5])}"
        )
    return dialect, architecture


def _possible(container: Container) -> Iterator[tuple[Dialect, Architecture]]:
    """The dialects and networks that come in files of this format."""
    for dialect in DIALECTS:
        if container.format in dialect.formats:
            yield from ((dialect, ARCHITECTURES[name]) for name in dialect.architectures)


def _is_normalization(name: str) -> bool:
    return name.endswith(("running_mean", "running_var")) or "/normalization/" in name


def _has_layer(container: Container, names: ArrayNames) -> bool:
    """Whether the file has a layer's arrays. A bias may be missing where batch normalisation follows."""
    needed = set(names.arrays) - ({names.bias} if names.normalization else set())
    return needed <= container.tensors.keys()


def _expectation(container: Container) -> str:
    first = dict.fromkeys(
        f"{next(iter(dialect.layers(architecture).values())).kernel} ({dialect.name})"
        for dialect, architecture in _possible(container)
    )
    names = list(ARCHITECTURES)
    return f"expected the layers of {', '.join(names[:-1])} or {names[-1]}, starting with {' or '.join(first)}"


def _found(container: Container) -> str:
    names = [f"{name[:80]} {tensor.shape}" for name, tensor in container.tensors.items()]
    return f"{len(names)} arrays: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "no arrays"


def _layers(container: Container, dialect: Dialect, architecture: Architecture) -> dict[str, StoredLayer]:
    """The layers that the file has, by canonical name."""
    layers: dict[str, StoredLayer] = {}
    channels = None
    head = {dense.name for dense in architecture.head}
    for name, stored in dialect.layers(architecture).items():
        if _has_layer(container, stored):
            layers[name] = _stored_layer(container, dialect, stored, name in head, channels)
            channels = layers[name].shapes[1][0]
    return layers


def _stored_layer(
    container: Container, dialect: Dialect, names: ArrayNames, dense: bool, channels: int | None
) -> StoredLayer:
    """A layer as the file stores it. `channels` is its number of input channels; None for the first layer.

    Raises `WeightsError` if its kernel cannot be one.
    """
    tensor = container.tensors[names.kernel]
    if tensor.dtype not in FLOATS:
        raise WeightsError(f"{container.path}: expected {names.kernel} in floating point, found {tensor.dtype}")
    if len(tensor.shape) == 4:
        axes = Axes.of_four(tensor, dialect.dense if dense else dialect.convolution)
    elif len(tensor.shape) == 2 and dense:
        axes = Axes.of_matrix(tensor, dialect.dense, channels or 3)
    else:
        raise WeightsError(f"{container.path}: {names.kernel} has the shape {tensor.shape}, expected a kernel's")
    reads_bgr = channels is None and (container.color_order or dialect.color_order) == "BGR"
    return StoredLayer(container.path, dense, names, container.tensors, axes, reads_bgr)
