"""`read_weights`: a file of any known distribution as canonical layers, their axes turned as they are read."""

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
from vggfcn.networks.dialects import DIALECTS, FEATURES_ONLY, Dialect, Names
from vggfcn.networks.spec import Architecture

EPSILON = 1e-5  # of torch's batch normalisation
Layer = tuple[np.ndarray, np.ndarray]


class Weights(Mapping[str, Layer]):
    """A checkpoint: canonical (kernel, bias) by layer, read from the file when asked for and not kept.

    Layers are named as Keras names VGG's: `block1_conv1` ... `block5_conv3`, `fc1`, `fc2`, `predictions`. Kernels of
    convolutions are float32 (rows, columns, in, out) for RGB images; dense kernels float32 (in, out), the first
    one's inputs flattened in rows, columns, channels order; biases float32 (out,). Batch normalisation is folded in.

    `shapes` gives (kernel, bias) shapes without reading. `preprocessing` is what the network wants done to RGB in
    [0, 255]; `labels` are class names, if the file carries any; `unused` the arrays of the file that mean nothing
    here. `format` and `dialect` say what kind of file it is.

    Looking a layer up raises `WeightsError` if the file is damaged there or holds NaN or infinity.
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
        """The file's checksum in hexadecimal digits, by the name of one of `hashlib`'s algorithms."""
        return digest(self.source, algorithm)


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """One layer in the file: its arrays and how their axes are to be turned."""

    path: pathlib.Path
    dense: bool
    names: Names
    tensors: Mapping[str, Tensor]
    axes: Axes  # the kernel's
    blue_first: bool

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        height, width, inputs, outputs = self.axes.sizes_of("HWIO")
        kernel = (height * width * inputs, outputs) if self.dense else (height, width, inputs, outputs)
        # A depthwise kernel, whose last axis is 1, has a bias for each channel that comes in.
        bias = self.tensors.get(self.names.bias)
        return kernel, (outputs if bias is None else count(bias.shape),)

    def read(self) -> Layer:
        """The canonical kernel and bias."""
        kernel = read_kernel(self.tensors[self.names.kernel], self.axes, "HWIO")
        (outputs,) = self.shapes[1]
        bias = self.vector(self.names.bias) if self.names.bias in self.tensors else np.zeros(outputs, np.float32)
        if self.names.normalization and kernel is not None:
            if kernel.shape[-1] != outputs:
                raise WeightsError(f"{self.path}: {self.names.kernel} and {self.names.bias} are of different widths")
            kernel, bias = _folded(kernel, bias, *(self.vector(name) for name in self.names.normalization))
        if kernel is None or not is_finite(bias) or (self.names.normalization and not is_finite(kernel)):
            raise damaged(self.path, f"{self.names.kernel} or its bias holds NaN or infinite numbers")
        if self.blue_first:
            kernel = np.ascontiguousarray(kernel[:, :, ::-1])
        return kernel.reshape(self.shapes[0]), bias

    def is_empty(self) -> bool:
        """Whether its bias is NaN throughout: the layer is there for form's sake."""
        return bool(np.isnan(self.vector(self.names.bias)).all())

    def vector(self, name: str) -> np.ndarray:
        """One of the layer's arrays that has a number for each channel, as float32."""
        tensor, (size,) = self.tensors[name], self.shapes[1]
        if count(tensor.shape) != size:
            raise WeightsError(f"{self.path}: {name} has the shape {tensor.shape}, expected {size} numbers")
        return as_array(tensor).reshape(size)


def _folded(
    kernel: np.ndarray, bias: np.ndarray, scale: np.ndarray, offset: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> Layer:
    """Batch normalisation as part of the convolution: y = s (k * x + b - m) / sqrt(v + e) + o, rounded once."""
    with np.errstate(all="ignore"):  # NaN is looked for afterwards
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + EPSILON)
        kernel[...] = kernel * factor
        return kernel, ((bias - mean.astype(np.float64)) * factor + offset).astype(np.float32)


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
    container = read_container(path)
    dialect, architecture = _recognised(container)
    layers = _layers(container, dialect, architecture)
    head = [layers[row.name] for row in architecture.head if row.name in layers]
    if head and all(layer.is_empty() for layer in head):
        layers = {name: layer for name, layer in layers.items() if layer not in head}
        dialect = dataclasses.replace(dialect, name="torchvision, features only", preprocessing=FEATURES_ONLY)
    return Weights(container, dialect, layers)


def _recognised(container: Container) -> tuple[Dialect, Architecture]:
    """The dialect and network that the file holds most of, the trunk at the least."""
    candidates = []
    for dialect, architecture in _known(container):
        names = dialect.layers(architecture)
        if all(_holds(container, names[row.name]) for row in architecture.trained_rows):
            understood = {array for layer in names.values() if _holds(container, layer) for array in layer.arrays}
            candidates.append((len(understood), dialect, architecture, understood))
    if not candidates:
        raise WeightsError(f"{container.path}: {_expectation(container)}, found {_found(container)}")
    _, dialect, architecture, understood = max(candidates, key=lambda candidate: candidate[0])
    left = [name for name in container.tensors if name not in understood and _is_normalization(name)]
    if left:
        raise WeightsError(
            f"{container.path}: has batch normalisation where no known network has it: {', '.join(left[:5])}"
        )
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


def _layers(container: Container, dialect: Dialect, architecture: Architecture) -> dict[str, StoredLayer]:
    """The layers that the file holds, by canonical name."""
    layers: dict[str, StoredLayer] = {}
    channels = None
    dense = {row.name for row in architecture.head}
    for name, stored in dialect.layers(architecture).items():
        if _holds(container, stored):
            layers[name] = _stored_layer(container, dialect, stored, name in dense, channels)
            channels = layers[name].shapes[1][0]
    return layers


def _stored_layer(
    container: Container, dialect: Dialect, names: Names, dense: bool, channels: int | None
) -> StoredLayer:
    """A layer as the file holds it; `channels` come in, or an image's colours if None.

    Raises `WeightsError` if its kernel is none.
    """
    tensor = container.tensors[names.kernel]
    if tensor.dtype not in FLOATS:
        raise WeightsError(f"{container.path}: expected {names.kernel} in floating point, found {tensor.dtype}")
    if len(tensor.shape) == 4:
        axes = Axes.of_four(tensor, dialect.dense if dense else dialect.convolution)
    elif len(tensor.shape) == 2 and dense:
        axes = Axes.of_matrix(tensor, dialect.dense, channels or 3)
    else:
        raise WeightsError(f"{container.path}: {names.kernel} has the shape {tensor.shape}, which is no such layer's")
    blue_first = channels is None and (container.color_order or dialect.color_order) == "BGR"
    return StoredLayer(container.path, dense, names, container.tensors, axes, blue_first)
