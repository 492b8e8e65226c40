"""Checkpoints in canonical form: layers, their axes turned as they are read."""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from vggfcn.checkpoints.container import Container
from vggfcn.checkpoints.dialects import Dialect, Names
from vggfcn.checkpoints.tensors import FLOATS, Shape, Tensor, as_array, count, is_finite, read
from vggfcn.errors import WeightsError
from vggfcn.files import digest
from vggfcn.preprocessing import Preprocessing

EPSILON = 1e-5  # of torch's batch normalisation
Layer = tuple[np.ndarray, np.ndarray]


class Weights(Mapping[str, Layer]):
    """A checkpoint: canonical (kernel, bias) by layer, read from the file when asked for and not kept.

    Layers are named as Keras names VGG's: `block1_conv1` ... `block5_conv3`, `fc1`, `fc2`, `predictions`. Kernels of
    convolutions are float32 (rows, columns, in, out) for RGB pictures; dense kernels float32 (in, out), the first
    one's inputs flattened in rows, columns, channels order; biases float32 (out,). Batch normalisation is folded in.

    `shapes` gives (kernel, bias) shapes without reading. `preprocessing` is what the network wants done to RGB in
    [0, 255]; `labels` are class names, if the file carries any; `unused` the arrays of the file that mean nothing
    here. `format` and `dialect` say what kind of file it is.

    Looking a layer up raises `WeightsError` if the file is damaged there or holds NaN or infinity.
    """

    def __init__(
        self, source: pathlib.Path, container: Container, dialect: Dialect, layers: Mapping[str, "StoredLayer"]
    ):
        self.source, self.format, self.dialect = source, container.format, dialect.name
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
    letters: str  # the kernel's axes as they lie in the file, slowest first
    sizes: Shape  # theirs
    blue_first: bool

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        sizes = dict(zip(self.letters, self.sizes, strict=True))
        height, width, inputs, outputs = (sizes[letter] for letter in "HWIO")
        kernel = (height * width * inputs, outputs) if self.dense else (height, width, inputs, outputs)
        # A depthwise kernel, whose last axis is 1, has a bias for each channel that comes in.
        bias = self.tensors.get(self.names.bias)
        return kernel, (outputs if bias is None else count(bias.shape),)

    def read(self) -> Layer:
        """The canonical kernel and bias."""
        kernel = read(self.tensors[self.names.kernel], self.sizes, self.letters, "HWIO")
        (outputs,) = self.shapes[1]
        bias = self.vector(self.names.bias) if self.names.bias in self.tensors else np.zeros(outputs, np.float32)
        if self.names.normalization and kernel is not None:
            if kernel.shape[-1] != outputs:
                raise WeightsError(f"{self.path}: {self.names.kernel} and {self.names.bias} are of different widths")
            kernel, bias = _folded(kernel, bias, *(self.vector(name) for name in self.names.normalization))
        if kernel is None or not is_finite(bias) or (self.names.normalization and not is_finite(kernel)):
            raise WeightsError(
                f"{self.path}: {self.names.kernel} or its bias holds NaN or infinite numbers; get the file anew"
            )
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


def stored_layer(
    path: pathlib.Path, dense: bool, names: Names, container: Container, dialect: Dialect, channels: int | None
) -> StoredLayer:
    """A layer as the file holds it; `channels` come in, or a picture's colours if None.

    Raises `WeightsError` if its kernel is none.
    """
    tensor = container.tensors[names.kernel]
    if tensor.dtype not in FLOATS:
        raise WeightsError(f"{path}: expected {names.kernel} in floating point, found {tensor.dtype}")
    if len(tensor.shape) == 4:
        axes = dialect.dense if dense else dialect.convolution
        groups, sizes = list(axes), dict(zip(axes, tensor.shape, strict=True))
    elif len(tensor.shape) == 2 and dense:
        groups, sizes = _unflattened(tensor.shape, dialect.dense, channels or 3)
    else:
        raise WeightsError(f"{path}: {names.kernel} has the shape {tensor.shape}, which is no such layer's")
    letters = "".join(groups[axis] for axis in tensor.order)
    blue_first = channels is None and (container.color_order or dialect.color_order) == "BGR"
    return StoredLayer(
        path, dense, names, container.tensors, letters, tuple(sizes[letter] for letter in letters), blue_first
    )


def _unflattened(shape: Shape, axes: str, channels: int) -> tuple[list[str], dict[str, int]]:
    """The axes that each side of a dense kernel stands for, and their sizes."""
    inputs_first = axes.endswith("O")
    groups = [axes[:-1], "O"] if inputs_first else ["O", axes[1:]]
    inputs, outputs = shape if inputs_first else shape[::-1]
    side = math.isqrt(inputs // channels)
    if side * side * channels != inputs:  # no square map: whoever compares shapes will say so
        side, channels = 1, inputs
    return groups, {"H": side, "W": side, "I": channels, "O": outputs}
