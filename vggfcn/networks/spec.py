"""Networks as data: the specs of their layers, and the shapes, counts and receptive fields that follow. No Keras."""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.steps import ANY, Step
from vggfcn.maps.geometry import ReceptiveField, receptive_field

# Shapes of the kernel and the bias, as a checkpoint stores them.
ParameterShapes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """A convolution and its activation.

    Padding "same" puts (size - 1) / 2 zeros around the map, for odd sizes at stride 1; "valid" adds none. With
    `groups` = g, the filters and the channels are split into g parts, and each part of the filters reads one part of
    the channels. A connection `table` says which channels each filter reads: one string per input channel, with an X
    for each filter that reads it. Without a table every filter reads every channel (of its group).
    """

    name: str
    filters: int
    size: int = 3
    stride: int = 1
    padding: str = "same"
    groups: int = 1
    activation: str | None = "relu"
    table: tuple[str, ...] | None = None

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Kernel size, stride and zeros to the left."""
        return self.size, self.stride, (self.size - 1) // 2 if self.padding == "same" else 0

    def parameter_shapes(self, channels: int) -> ParameterShapes:
        """Shapes of the kernel (rows, columns, in, out) and the bias, for an input of that many channels."""
        return (self.size, self.size, channels // self.groups, self.filters), (self.filters,)

    def steps(self, arrays: str) -> Iterator[Step]:
        """What it computes; `arrays` is the name of its arrays in the file."""
        yield _convolution(self.filters, self.size, self.stride, self.geometry[2], self.groups, arrays)
        if self.activation:
            yield Step(self.activation)

    def connections(self, channels: int) -> np.ndarray:
        """Which channels each filter reads, as bool (channels per group, filters)."""
        if self.table is None:
            return np.ones((channels // self.groups, self.filters), bool)
        return np.array([[mark == "X" for mark in line] for line in self.table])


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """The maximum of each size x size square, without padding."""

    name: str
    size: int = 2
    stride: int = 2

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Kernel size, stride and zeros to the left."""
        return self.size, self.stride, 0

    def steps(self, arrays: str) -> Iterator[Step]:
        """What it computes."""
        yield Step(steps.MAX_POOLING, {"size": self.size, "stride": self.stride, "padding": 0})


@dataclasses.dataclass(frozen=True)
class Subsampling:
    """LeNet's pooling: the mean of each 2x2 square, times a trained coefficient per channel, plus a trained bias."""

    name: str
    activation: str | None = "tanh"
    geometry = (2, 2, 0)

    def parameter_shapes(self, channels: int) -> ParameterShapes:
        """Shapes of the coefficients, a depthwise kernel (rows, columns, channels, 1), and of the biases."""
        return (1, 1, channels, 1), (channels,)

    def steps(self, arrays: str) -> Iterator[Step]:
        """What it computes; `arrays` is the name of its arrays in the file."""
        yield Step(steps.AVERAGE_POOLING, {"size": 2, "stride": 2, "padding": 0})
        options = {"size": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "multiplier": 1, "bias": True}
        yield Step(steps.DEPTHWISE, {**options, "arrays": arrays})
        if self.activation:
            yield Step(self.activation)


@dataclasses.dataclass(frozen=True)
class LocalResponseNormalization:
    """x / (offset + alpha * sum of squares over the 2 radius + 1 nearest channels) ** beta, without parameters.

    The formula and the constants are those of Krizhevsky et al. 2012, section 3.3.
    """

    name: str
    radius: int = 2
    offset: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    geometry = (1, 1, 0)

    def steps(self, arrays: str) -> Iterator[Step]:
        """What it computes."""
        yield Step("local response normalization")


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """A fully connected layer and its activation. On a network's last layer the activation is not used."""

    name: str
    units: int
    activation: str = "relu"


def _convolution(filters: int, size: int, stride: int, padding: int, groups: int, arrays: str) -> Step:
    options = {"filters": filters, "size": size, "stride": stride, "padding": padding, "dilation": 1, "groups": groups}
    return Step(steps.CONVOLUTION, {**options, "bias": True, "arrays": arrays})


LayerSpec = ConvSpec | MaxPool | Subsampling | LocalResponseNormalization


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network whose layers follow one another.

    `trunk` and `head` are its layers from input to output, `native_size` the side of the square image that the
    original network takes, in pixels, and `channels` the number of channels of its input.
    """

    name: str
    trunk: tuple[LayerSpec, ...]
    head: tuple[DenseSpec, ...]
    native_size: int
    channels: int = 3

    @property
    def convolutions(self) -> list[ConvSpec]:
        """The trunk's convolutions, from input to output."""
        return [layer for layer in self.trunk if isinstance(layer, ConvSpec)]

    @property
    def trained_layers(self) -> list[ConvSpec | Subsampling]:
        """The trunk's layers that have parameters, from input to output."""
        return [layer for layer in self.trunk if isinstance(layer, ConvSpec | Subsampling)]

    @property
    def classes(self) -> int:
        """The number of classes, which is the number of outputs of the last layer."""
        return self.head[-1].units

    @property
    def output_stride(self) -> int:
        """The distance between neighbouring cells of the converted network's map, in input pixels."""
        return math.prod(layer.geometry[1] for layer in self.trunk)

    @property
    def feature_size(self) -> int:
        """The side of the trunk's map at native size, which is also the kernel size of the first head layer."""
        size = self.native_size
        for kernel, stride, padding in (layer.geometry for layer in self.trunk):
            size = (size + 2 * padding - kernel) // stride + 1
        return size

    @property
    def receptive_field(self) -> ReceptiveField:
        """The receptive field of a cell of the converted network's map."""
        return self._receptive_field(self.feature_size)

    def _receptive_field(self, feature_size: int) -> ReceptiveField:
        return receptive_field([*(layer.geometry for layer in self.trunk), (feature_size, 1, 0)])

    def with_classes(self, classes: int) -> "Architecture":
        """The same network with another number of classes."""
        return dataclasses.replace(self, head=(*self.head[:-1], dataclasses.replace(self.head[-1], units=classes)))

    def parameter_shapes(self) -> dict[str, ParameterShapes]:
        """Kernel and bias shapes by layer name: convolutions (rows, columns, in, out), dense layers (in, out)."""
        shapes: dict[str, ParameterShapes] = {}
        channels = self.channels
        for layer in self.trained_layers:
            shapes[layer.name] = layer.parameter_shapes(channels)
            channels = shapes[layer.name][1][0]
        inputs = channels * self.feature_size**2
        for dense in self.head:
            shapes[dense.name] = ((inputs, dense.units), (dense.units,))
            inputs = dense.units
        return shapes

    def parameters(self) -> dict[str, int]:
        """Number of trainable parameters by layer name, without the kernel elements that a table leaves out."""
        counts = {name: math.prod(kernel) + math.prod(bias) for name, (kernel, bias) in self.parameter_shapes().items()}
        for layer in self.convolutions:
            if layer.table:
                counts[layer.name] = int(layer.connections(len(layer.table)).sum()) * layer.size**2 + layer.filters
        return counts

    def resized(self, shapes: Mapping[str, ParameterShapes]) -> "Architecture":
        """The same layers, with the widths and the native size that follow from parameters of these shapes."""
        widths = {name: bias[0] for name, (_, bias) in shapes.items()}
        trunk = tuple(
            dataclasses.replace(layer, filters=widths[layer.name]) if isinstance(layer, ConvSpec) else layer
            for layer in self.trunk
        )
        head = tuple(dataclasses.replace(dense, units=widths.get(dense.name, dense.units)) for dense in self.head)
        resized = dataclasses.replace(self, trunk=trunk, head=head)
        first_dense = self.head[0].name
        if first_dense not in shapes:
            return resized
        inputs = shapes[first_dense][0][0]
        size = math.isqrt(inputs // resized.convolutions[-1].filters)
        return dataclasses.replace(resized, native_size=self._receptive_field(size).window)


def steps_of(network: Architecture, arrays: Mapping[str, str], dense: bool = True) -> Iterator[Step]:
    """What a network computes, as weight files state it, without the softmax after its last layer.

    `arrays` gives the name of each layer's arrays in the file. If it has none of the head's, the head is left out. If
    `dense` is False, the head is convolutional.
    """
    head = network.head if any(row.name in arrays for row in network.head) else ()
    side = network.native_size if head else ANY
    yield Step(steps.INPUT, {"rows": side, "columns": side, "channels": network.channels})
    for layer in network.trunk:
        yield from layer.steps(arrays.get(layer.name, ""))
    if head and dense:
        yield Step(steps.FLATTEN)
    for index, row in enumerate(head):
        if dense:
            yield Step(steps.DENSE, {"units": row.units, "bias": True, "arrays": arrays.get(row.name)})
        else:
            size = 1 if index else network.feature_size
            yield _convolution(row.units, size, 1, 0, 1, arrays.get(row.name, ""))
        if row is not network.head[-1]:
            yield Step(row.activation)
