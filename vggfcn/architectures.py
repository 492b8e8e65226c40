"""Networks as rows of data.

`vgg16` and `vgg19` are configurations D and E of Simonyan & Zisserman 2014, "Very Deep Convolutional Networks for
Large-Scale Image Recognition", table 1.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

from vggfcn.geometry import ReceptiveField, receptive_field

# (kernel, bias), as a checkpoint holds them.
ParameterShapes = tuple[tuple[int, ...], tuple[int, ...]]
HEAD = ("fc1", "fc2", "predictions")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution with "same" padding, followed by ReLU."""

    name: str
    filters: int
    geometry: ClassVar = (3, 1, 1)  # kernel size, stride, padding


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """A 2x2 maximum with stride 2."""

    name: str
    geometry: ClassVar = (2, 2, 0)


@dataclasses.dataclass(frozen=True)
class Dense:
    """A fully connected layer; all but the last of a network are followed by ReLU."""

    name: str
    units: int


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network: its name, its rows from input to output, and its native size in pixels."""

    name: str
    trunk: tuple[Convolution | MaxPool, ...]
    head: tuple[Dense, ...]
    native_size: int

    @property
    def convolutions(self) -> list[Convolution]:
        """The trunk's convolutions, from input to output."""
        return [row for row in self.trunk if isinstance(row, Convolution)]

    @property
    def classes(self) -> int:
        """Number of classes that the last layer tells apart."""
        return self.head[-1].units

    @property
    def output_stride(self) -> int:
        """Input pixels between neighbouring cells of the converted network's map."""
        return 2 ** sum(isinstance(row, MaxPool) for row in self.trunk)

    @property
    def feature_size(self) -> int:
        """Rows and columns of the trunk's map at native size, and so the kernel size of the first head layer."""
        return self.native_size // self.output_stride

    @property
    def receptive_field(self) -> ReceptiveField:
        """The field of one cell of the converted network's map."""
        return receptive_field([*(row.geometry for row in self.trunk), (self.feature_size, 1, 0)])

    def with_classes(self, classes: int) -> "Architecture":
        """The same network with another number of classes."""
        return dataclasses.replace(self, head=(*self.head[:-1], dataclasses.replace(self.head[-1], units=classes)))

    def parameter_shapes(self) -> dict[str, ParameterShapes]:
        """Canonical (kernel, bias) shapes by layer: convolutions (rows, columns, in, out), dense layers (in, out)."""
        shapes: dict[str, ParameterShapes] = {}
        channels = 3
        for row in self.convolutions:
            shapes[row.name] = ((3, 3, channels, row.filters), (row.filters,))
            channels = row.filters
        channels *= self.feature_size**2
        for layer in self.head:
            shapes[layer.name] = ((channels, layer.units), (layer.units,))
            channels = layer.units
        return shapes


def vgg(name: str, convolutions: tuple[int, ...], *, width: float = 1.0, classes: int = 1000) -> Architecture:
    """A VGG network with `convolutions[i]` layers in block i + 1, every layer but the last `width` times as wide."""
    trunk: list[Convolution | MaxPool] = []
    for block, (count, filters) in enumerate(zip(convolutions, (64, 128, 256, 512, 512), strict=True), 1):
        trunk += [Convolution(f"block{block}_conv{i}", round(filters * width)) for i in range(1, count + 1)]
        trunk.append(MaxPool(f"block{block}_pool"))
    units = (round(4096 * width), round(4096 * width), classes)
    head = tuple(Dense(name, count) for name, count in zip(HEAD, units, strict=True))
    return Architecture(name, tuple(trunk), head, native_size=224)


# Name -> convolutions in each of the five blocks.
_CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
ARCHITECTURES = {name: vgg(name, convolutions) for name, convolutions in _CONVOLUTIONS.items()}


def infer(shapes: Mapping[str, ParameterShapes]) -> Architecture | None:
    """The architecture that weights of these shapes belong to, at whatever width, head size and classes they have.

    A missing head is taken as the standard one at that width. None if the layers are no known architecture's.
    """
    for standard in ARCHITECTURES.values():
        if [row.name for row in standard.convolutions] == [name for name in shapes if name not in HEAD]:
            return _resized(standard, shapes)
    return None


def _resized(standard: Architecture, shapes: Mapping[str, ParameterShapes]) -> Architecture:
    widths = {name: bias[0] for name, (_, bias) in shapes.items()}
    trunk = tuple(
        dataclasses.replace(row, filters=widths[row.name]) if isinstance(row, Convolution) else row
        for row in standard.trunk
    )
    head = tuple(dataclasses.replace(row, units=widths.get(row.name, row.units)) for row in standard.head)
    resized = dataclasses.replace(standard, trunk=trunk, head=head)
    if HEAD[0] not in shapes:
        return resized
    inputs, channels = shapes[HEAD[0]][0][0], resized.convolutions[-1].filters
    return dataclasses.replace(resized, native_size=math.isqrt(inputs // channels) * standard.output_stride)
