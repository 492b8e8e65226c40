"""The rows that networks are written in, and what follows from them: shapes, counts, receptive fields. No Keras."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from vggfcn.maps.geometry import ReceptiveField, receptive_field

# (kernel, bias), as a checkpoint holds them.
ParameterShapes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """A convolution and its activation.

    `padding` "same" surrounds the map with (size - 1) / 2 zeros, for odd sizes at stride 1; "valid" is none. With
    `groups` g, each g-th of the filters reads one g-th of the channels. A connection `table` says the same filter by
    filter: one string per channel that comes in, with an X under each filter that reads it; None is a full one.
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
        """Kernel size, stride, zeros to the left."""
        return self.size, self.stride, (self.size - 1) // 2 if self.padding == "same" else 0

    def parameter_shapes(self, channels: int) -> ParameterShapes:
        """Shapes of the kernel (rows, columns, in, out) and the bias."""
        return (self.size, self.size, channels // self.groups, self.filters), (self.filters,)

    def connections(self, channels: int) -> np.ndarray:
        """Which channels each filter reads: bool (channels, filters), within a group where there are several."""
        if self.table is None:
            return np.ones((channels // self.groups, self.filters), bool)
        return np.array([[mark == "X" for mark in row] for row in self.table])


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """The maximum of each size x size square, without padding."""

    name: str
    size: int = 2
    stride: int = 2

    @property
    def geometry(self) -> tuple[int, int, int]:
        """Kernel size, stride, zeros to the left."""
        return self.size, self.stride, 0


@dataclasses.dataclass(frozen=True)
class Subsampling:
    """LeNet's pooling: the mean of each 2x2 square times a trained coefficient, plus a trained bias, per channel."""

    name: str
    activation: str | None = "tanh"
    geometry = (2, 2, 0)

    def parameter_shapes(self, channels: int) -> ParameterShapes:
        """Shapes of the coefficients (a depthwise convolution's kernel: rows, columns, channels, 1) and the biases."""
        return (1, 1, channels, 1), (channels,)


@dataclasses.dataclass(frozen=True)
class LocalResponseNormalization:
    """x / (offset + alpha * sum of squares over the 2 radius + 1 nearest channels) ** beta: nothing to train.

    Krizhevsky et al. 2012, section 3.3, with its constants.
    """

    name: str
    radius: int = 2
    offset: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    geometry = (1, 1, 0)


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """A fully connected layer and its activation; after the last of a network none is put unless asked for."""

    name: str
    units: int
    activation: str = "relu"


LayerSpec = ConvSpec | MaxPool | Subsampling | LocalResponseNormalization


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network: its name, its rows from input to output, its native size in pixels and its input's channels."""

    name: str
    trunk: tuple[LayerSpec, ...]
    head: tuple[DenseSpec, ...]
    native_size: int
    channels: int = 3

    @property
    def convolutions(self) -> list[ConvSpec]:
        """The trunk's convolutions, from input to output."""
        return [row for row in self.trunk if isinstance(row, ConvSpec)]

    @property
    def trained_rows(self) -> list[ConvSpec | Subsampling]:
        """The trunk's rows that have parameters, from input to output."""
        return [row for row in self.trunk if isinstance(row, ConvSpec | Subsampling)]

    @property
    def classes(self) -> int:
        """Number of classes that the last layer tells apart."""
        return self.head[-1].units

    @property
    def output_stride(self) -> int:
        """Input pixels between neighbouring cells of the converted network's map."""
        return math.prod(row.geometry[1] for row in self.trunk)

    @property
    def feature_size(self) -> int:
        """Rows and columns of the trunk's map at native size, and so the kernel size of the first head layer."""
        size = self.native_size
        for kernel, stride, padding in (row.geometry for row in self.trunk):
            size = (size + 2 * padding - kernel) // stride + 1
        return size

    @property
    def receptive_field(self) -> ReceptiveField:
        """The field of one cell of the converted network's map."""
        return self._receptive_field(self.feature_size)

    def _receptive_field(self, feature_size: int) -> ReceptiveField:
        return receptive_field([*(row.geometry for row in self.trunk), (feature_size, 1, 0)])

    def with_classes(self, classes: int) -> "Architecture":
        """The same network with another number of classes."""
        return dataclasses.replace(self, head=(*self.head[:-1], dataclasses.replace(self.head[-1], units=classes)))

    def parameter_shapes(self) -> dict[str, ParameterShapes]:
        """Canonical (kernel, bias) shapes by layer: convolutions (rows, columns, in, out), dense layers (in, out)."""
        shapes: dict[str, ParameterShapes] = {}
        channels = self.channels
        for row in self.trained_rows:
            shapes[row.name] = row.parameter_shapes(channels)
            channels = shapes[row.name][1][0]
        channels *= self.feature_size**2
        for layer in self.head:
            shapes[layer.name] = ((channels, layer.units), (layer.units,))
            channels = layer.units
        return shapes

    def parameters(self) -> dict[str, int]:
        """Number of trainable parameters by layer; kernel elements where a table connects nothing are none."""
        counts = {name: math.prod(kernel) + math.prod(bias) for name, (kernel, bias) in self.parameter_shapes().items()}
        for row in self.convolutions:
            if row.table:
                counts[row.name] = int(row.connections(len(row.table)).sum()) * row.size**2 + row.filters
        return counts

    def resized(self, shapes: Mapping[str, ParameterShapes]) -> "Architecture":
        """The same rows with the widths and the native size that parameters of these shapes have."""
        widths = {name: bias[0] for name, (_, bias) in shapes.items()}
        trunk = tuple(
            dataclasses.replace(row, filters=widths[row.name]) if isinstance(row, ConvSpec) else row
            for row in self.trunk
        )
        head = tuple(dataclasses.replace(row, units=widths.get(row.name, row.units)) for row in self.head)
        resized = dataclasses.replace(self, trunk=trunk, head=head)
        if self.head[0].name not in shapes:
            return resized
        size = math.isqrt(shapes[self.head[0].name][0][0] // resized.convolutions[-1].filters)
        return dataclasses.replace(resized, native_size=self._receptive_field(size).window)
