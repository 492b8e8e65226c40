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
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.steps import NORMALIZATION, Step, difference
from vggfcn.checkpoints.tensors import FLOATS, Container, FileFormat, Shape, Tensor, as_array, count, is_finite
from vggfcn.errors import WeightsError
from vggfcn.files import digest
from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.dialects import DIALECTS, FEATURES_ONLY, OTHER_NETWORKS, ArrayNames, Dialect
from vggfcn.networks.registry import published
from vggfcn.networks.spec import Architecture, steps_of

EPSILON = 1e-5  # of torch's batch normalisation
# Arrays that training counts with, and that no network computes with.
COUNTERS = ("num_batches_tracked",)
_LISTED = 3  # arrays in a message
# Kernel and bias.
Layer = tuple[np.ndarray, np.ndarray]


class Weights(Mapping[str, Layer]):
    """The layers of a checkpoint: a mapping from names to canonical (kernel, bias), read on demand and not cached.

    Layers have Keras's names for VGG: `block1_conv1` ... `block5_conv3`, `fc1`, `fc2`, `predictions`. Convolution
    kernels are float32 (rows, columns, in, out) for RGB images. Dense kernels are float32 (in, out), and the inputs of
    the first one are flattened in the order rows, columns, channels. Biases are float32 (out,). Batch normalisation is
    folded into the kernels and biases.

    `source` is the file's path; `format` and `dialect` are its file format and its distribution. `shapes` gives the
    (kernel, bias) shapes without reading. `labels` are the class names, if the file has any. `unused` lists the arrays
    in the file that belong to training alone, such as counters.

    `preprocessing` is what the network expects for RGB in [0, 255], and `preprocessing_reason` says where it comes
    from. If the file does not tell, `preprocessing` is None, the reason says why, and the first kernel's channels stay
    in the file's order; `with_preprocessing` then gives the weights for RGB.

    Looking up a layer raises `WeightsError` if the file is damaged there or has NaN or infinite values.
    """

    def __init__(
        self,
        container: Container,
        dialect: Dialect,
        layers: Mapping[str, "StoredLayer"],
        expects: Preprocessing | None,
        reason: str,
    ):
        self.source, self.format, self.dialect = container.path, container.format, dialect.name
        self.preprocessing = None if expects is None else dataclasses.replace(expects, color_order="RGB")
        self.preprocessing_reason = reason
        self.likely_preprocessing = dialect.published  # A guess to propose, never to use.
        self.labels = container.labels
        self.shapes = {name: layer.shapes for name, layer in layers.items()}
        used = {name for layer in layers.values() for name in layer.names.arrays}
        self.unused = [name for name in container.tensors if name not in used]
        self._first_reads_bgr = expects is not None and expects.color_order == "BGR"
        self._opened = container, dialect, layers

    def with_preprocessing(self, preprocessing: Preprocessing) -> "Weights":
        """The same weights if the file's network expects this preprocessing, with kernels for RGB.

        Raises `WeightsError` if the file states another one, or is known to have another one.
        """
        known = self.preprocessing
        order = "BGR" if self._first_reads_bgr else "RGB"
        if known is not None and not _same(dataclasses.replace(known, color_order=order), preprocessing):
            raise WeightsError(
                f"{self.source}: expects the preprocessing {known} of RGB, {self.preprocessing_reason}, not "
                f"{preprocessing}; leave out preprocess"
            )
        return self if known is not None else Weights(*self._opened, preprocessing, "as given by the caller")

    def __getitem__(self, name: str) -> Layer:
        layer = self._opened[2][name]
        with reading(self.source):
            kernel, bias = layer.read()
            if self._first_reads_bgr and name == next(iter(self.shapes)):
                kernel = np.ascontiguousarray(kernel[:, :, ::-1])
            return kernel, bias

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def digest(self, algorithm: str = "sha256") -> str:
        """The file's checksum in hexadecimal digits; `algorithm` is a name that `hashlib` knows."""
        return digest(self.source, algorithm)


def _same(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two kinds of preprocessing differ by rounding alone."""
    numbers = [[*row.mean, *row.std] for row in (one, other)]
    return (
        one.color_order == other.color_order
        and len(numbers[0]) == len(numbers[1])
        and np.allclose(numbers[0], numbers[1], rtol=1e-5)
    )


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer in a file: its arrays, and the order of their axes."""

    path: pathlib.Path
    dense: bool
    names: ArrayNames
    tensors: Mapping[str, Tensor]
    axes: Axes  # of the kernel
    rotated: bool = False

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
        if self.rotated:
            kernel = np.ascontiguousarray(kernel[::-1, ::-1])
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

    A file is accepted only if it is one of these networks and nothing else: arrays without a place in the network, and
    whatever the file says that it computes otherwise, such as another activation, are refused. Files of arrays alone
    do not say which activations, strides and paddings they were trained with; they are taken to be the network's.

    Raises `WeightsError` if the file is missing, damaged, hostile, or has none of these networks.

    >>> weights = read_weights("vgg16-397923af.pth")
    >>> kernel, bias = weights["fc1"]
    """
    container = read_container(path)
    with reading(container.path):
        return _weights(container)


def _weights(container: Container) -> Weights:
    dialect, architecture = _identify(container)
    layers = _layers(container, dialect, architecture)
    _account(container, dialect, architecture, layers)
    head = [layers[dense.name] for dense in architecture.head if dense.name in layers]
    if head and all(layer.is_empty() for layer in head):
        layers = {name: layer for name, layer in layers.items() if layer not in head}
        always = "of torchvision's features-only file, by its head of NaN"
        dialect = dataclasses.replace(
            dialect, name="torchvision, features only", published=FEATURES_ONLY, always=always
        )
    return Weights(container, dialect, layers, *_preprocessing(container, dialect, architecture, layers))


def _identify(container: Container) -> tuple[Dialect, Architecture]:
    """The dialect and network that explain most of the file's arrays, and at least the whole trunk."""
    candidates = []
    for dialect, architecture in _possible(container):
        names = dialect.layers(architecture)
        if all(_has_layer(container, names[layer.name]) for layer in architecture.trained_layers):
            present = [layer for layer in names.values() if _has_layer(container, layer)]
            understood = {array for layer in present for array in layer.arrays}
            candidates.append((len(understood), dialect, architecture))
    if not candidates:
        raise WeightsError(
            f"{container.path}: {_expectation(container)}, found {_found(container)}; {_way_out(container)}"
        )
    _, dialect, architecture = max(candidates, key=lambda candidate: candidate[0])
    return dialect, architecture


def _account(
    container: Container, dialect: Dialect, architecture: Architecture, layers: Mapping[str, "StoredLayer"]
) -> None:
    """Raise `WeightsError` unless all that the file holds and says of itself is this network."""
    used = {name for layer in layers.values() for name in layer.names.arrays}
    left = [name for name in container.tensors if name not in used and not name.endswith(COUNTERS)]
    problems = [
        _difference(container, _expected(dialect, architecture, layers, convolutional))
        for convolutional in (dialect.convolutional_head, not dialect.convolutional_head)
    ]
    problem = problems[0] if all(problems) else None
    if left and not problem:
        problem = f"no layer of it has the arrays {', '.join(name[:80] for name in left[:5])}"
    if problem:
        raise WeightsError(
            f"{container.path}: has layers of {architecture.name}, but is another network: {problem}; "
            f"{_way_out(container)}"
        )


def _difference(container: Container, expected: list[Step]) -> str | None:
    """What the file says of itself and should not; None if it says nothing else, or nothing at all."""
    if container.steps is not None:
        return difference(container.steps, expected)
    return container.outline.difference(expected) if container.outline is not None else None


def _expected(
    dialect: Dialect, architecture: Architecture, layers: Mapping[str, "StoredLayer"], convolutional: bool
) -> list[Step]:
    """What the file should state of itself, with dense layers or `convolutional` ones, as in a converted network."""
    resized = architecture.resized({name: layer.shapes for name, layer in layers.items()})
    arrays = {name: layer.names.kernel.removesuffix("/0") for name, layer in layers.items()}
    normalized = {arrays[name] for name, layer in layers.items() if layer.names.normalization}
    expected = []
    for step in steps_of(resized, arrays, not convolutional):
        expected.append(step)
        if step.options.get("arrays") in normalized:
            expected.append(Step(NORMALIZATION))
    return expected


def _way_out(container: Container) -> str:
    """How to run the network of a file that is none of those known here."""
    if container.is_model:
        return f'run it as it is: vggfcn.load("{container.path}"), or --weights {container.path} on the command line'
    if container.format in (FileFormat.KERAS_HDF5, FileFormat.KERAS_3_HDF5):
        return (
            "this file has weights alone: give the layers with --architecture (architecture= in Python), the JSON file "
            "that model.to_json() gives; or load the weights into their model with Keras, and save that: "
            'model.save("model.keras")'
        )
    return "other networks are run from Keras models: build it in Keras with these arrays and use vggfcn.convert"


def _preprocessing(
    container: Container, dialect: Dialect, architecture: Architecture, layers: Mapping[str, "StoredLayer"]
) -> tuple[Preprocessing | None, str]:
    """What the file's network expects and how that is known; None and the reason if it is not."""
    if container.preprocessing is not None:
        return container.preprocessing, container.preprocessing_reason
    if dialect.always:
        return dialect.published, dialect.always
    shapes = architecture.parameter_shapes()
    if dialect.published and all(layer.shapes == shapes[name] for name, layer in layers.items()):
        reason = published(container.path, architecture.name, container.format)
        if reason:
            return dialect.published, reason
    return None, "unknown: the file does not state it, and is none of the published files"


def _possible(container: Container) -> Iterator[tuple[Dialect, Architecture]]:
    """The dialects and networks that come in files of this format."""
    for dialect in DIALECTS:
        if container.format in dialect.formats:
            yield from ((dialect, ARCHITECTURES[name]) for name in dialect.architectures)


def _has_layer(container: Container, names: ArrayNames) -> bool:
    """Whether the file has a layer's arrays. A bias may be missing where batch normalisation follows."""
    needed = set(names.arrays) - ({names.bias} if names.normalization else set())
    return needed <= container.tensors.keys()


def _expectation(container: Container) -> str:
    first = dict.fromkeys(
        f"{next(iter(dialect.layers(architecture).values())).kernel} ({dialect.name})"
        for dialect, architecture in _possible(container)
    )
    names, starts = list(ARCHITECTURES), list(first)[:_LISTED]
    return f"expected the layers of {', '.join(names[:-1])} or {names[-1]}, starting with {' or '.join(starts)}"


def _found(container: Container) -> str:
    names = [f"{name[:80]} {tensor.shape}" for name, tensor in container.tensors.items()]
    more = ", ..." if len(names) > _LISTED else ""
    listed = f"{len(names)} arrays: {', '.join(names[:_LISTED])}{more}" if names else "no arrays"
    other = next((what for part, what in OTHER_NETWORKS.items() if any(part in name for name in container.tensors)), "")
    return f"{other}, {listed}" if other else listed


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
    return StoredLayer(container.path, dense, names, container.tensors, axes, dialect.rotated and not dense)
