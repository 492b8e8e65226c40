"""EfficientNet-Lite0 as data, and the names of its layers' arrays in the PyTorch weight file.

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
from vggfcn.networks import registry
from vggfcn.networks.families import Family

EPSILON = 1e-3
# MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py. The PyTorch package's README shows other values, those of the
# EfficientNets that are not Lite.
PREPROCESSING = Preprocessing(mean=(127.0,) * 3, std=(128.0,) * 3)
# Repeats, kernel size, stride of the first repeat, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_FILTERS, _TOP_FILTERS = 32, 1280
_NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


@dataclasses.dataclass(frozen=True)
class NormalizedConv:
    """A convolution without bias, its batch normalisation, and ReLU6 unless it is linear.

    `stored` are the names of the convolution and of the normalisation in the file. A depthwise convolution has as many
    filters as channels. At stride 2 there is one more zero after the map than before it, as with TensorFlow's SAME
    padding of even sizes.
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
        """The number of zeros before and after the map, along both axes."""
        zeros = self.size - self.stride
        return zeros // 2, zeros - zeros // 2

    @property
    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes in the file, by name: the kernel (out, in, rows, columns) and the four arrays of the normalisation."""
        convolution, normalization = self.stored
        kernel = (self.filters, 1 if self.depthwise else self.channels, self.size, self.size)
        vectors = {f"{normalization}.{part}": (self.filters,) for part in _NORMALIZATION}
        return {f"{convolution}.weight": kernel, **vectors}


@dataclasses.dataclass(frozen=True)
class Block:
    """Convolutions in sequence; a residual block adds its input to its output."""

    name: str
    convolutions: tuple[NormalizedConv, ...]
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class EfficientNet:
    """A network of blocks, followed by the mean over the map, dropout and a dense layer.

    `native_size` is the side of the square image that the original network takes, in pixels; `dropout` is the rate.
    """

    name: str
    blocks: tuple[Block, ...]
    classes: int = 1000
    native_size: int = 224
    channels: int = 3
    dropout: float = 0.2

    @property
    def convolutions(self) -> list[NormalizedConv]:
        """All convolutions, from input to output."""
        return [conv for block in self.blocks for conv in block.convolutions]

    @property
    def receptive_field(self) -> ReceptiveField:
        """The receptive field of a cell of the converted network's map."""
        before, after = (
            [(conv.size, conv.stride, conv.padding[side]) for conv in self.convolutions] for side in (0, 1)
        )
        feature_size = self.native_size // receptive_field(before).stride
        field = receptive_field([*before, (feature_size, 1, 0)])
        return dataclasses.replace(field, extra_padding_after=receptive_field(after).padding - field.padding)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes in the file of all arrays that are used, by name."""
        shapes = {name: shape for conv in self.convolutions for name, shape in conv.stored_shapes.items()}
        features = self.convolutions[-1].filters
        return {**shapes, "_fc.weight": (self.classes, features), "_fc.bias": (self.classes,)}


def _block(number: int, channels: int, size: int, stride: int, expansion: int, filters: int) -> Block:
    """An inverted bottleneck: 1x1 to more channels, depthwise, and 1x1 back to few channels."""
    name, stored = f"block{number + 1}", f"_blocks.{number}."
    wide = channels * expansion
    expand = NormalizedConv(f"{name}_expand", (f"{stored}_expand_conv", f"{stored}_bn0"), channels, wide)
    depthwise = NormalizedConv(
        f"{name}_depthwise", (f"{stored}_depthwise_conv", f"{stored}_bn1"), wide, wide, size, stride, depthwise=True
    )
    project = NormalizedConv(f"{name}_project", (f"{stored}_project_conv", f"{stored}_bn2"), wide, filters, linear=True)
    convolutions = (depthwise, project) if expansion == 1 else (expand, depthwise, project)
    return Block(name, convolutions, residual=stride == 1 and channels == filters)


def _blocks() -> Iterator[Block]:
    yield Block("stem", (NormalizedConv("stem", ("_conv_stem", "_bn0"), 3, _STEM_FILTERS, size=3, stride=2),))
    number, channels = 0, _STEM_FILTERS
    for repeats, size, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            yield _block(number, channels, size, 1 if repeat else stride, expansion, filters)
            number, channels = number + 1, filters
    yield Block("top", (NormalizedConv("top", ("_conv_head", "_bn1"), channels, _TOP_FILTERS),))


LITE0 = EfficientNet("efficientnet-lite0", tuple(_blocks()))


def read(path: pathlib.Path, expected: str | EfficientNet | None) -> tuple[EfficientNet, Container]:
    """Open a weight file; returns the network, Lite0 unless `expected` is a spec, and the file with its arrays unread.

    Raises `WeightsError` if the file is missing or damaged, or if arrays are missing or have another shape.
    """
    network = expected if isinstance(expected, EfficientNet) else LITE0
    container = read_container(path)
    shapes = network.stored_shapes()
    stored = {name: tuple(tensor.shape) for name, tensor in container.tensors.items()}
    wrong = [f"{name} {stored.get(name, 'missing')}" for name, shape in shapes.items() if stored.get(name) != shape]
    if wrong:
        raise WeightsError(
            f"{path}: expected the {len(shapes)} arrays of {network.name}; {len(wrong)} are missing or have another "
            f"shape: {', '.join(wrong[:5])}"
        )
    left = [name for name in stored if name not in shapes and not name.endswith("num_batches_tracked")]
    if left:
        raise WeightsError(
            f"{path}: expected the arrays of {network.name} and no others, found {', '.join(left[:5])} too; build that "
            "network in Keras with these arrays and use vggfcn.convert"
        )
    reason = registry.published(path, network.name, container.format)
    known = PREPROCESSING if reason else None
    unknown = "unknown: the file does not state it, and is none of the published files"
    return network, dataclasses.replace(container, preprocessing=known, preprocessing_reason=reason or unknown)


FAMILY = Family(EfficientNet, {LITE0.name: LITE0}, read, "vggfcn.networks.builders.efficientnet:build")


def read_kernel(container: Container, conv: NormalizedConv) -> np.ndarray:
    """A convolution's kernel as in Keras: (rows, columns, in, out), or depthwise (rows, columns, channels, 1)."""
    return _array(container, f"{conv.stored[0]}.weight").transpose((2, 3, 0, 1) if conv.depthwise else (2, 3, 1, 0))


def read_normalization(container: Container, conv: NormalizedConv) -> list[np.ndarray]:
    """Scale, offset, mean and variance of a convolution's batch normalisation, each of shape (filters,)."""
    return [_array(container, f"{conv.stored[1]}.{part}") for part in _NORMALIZATION]


def read_dense(container: Container) -> list[np.ndarray]:
    """The dense layer's kernel (in, out) and bias (out,)."""
    return [_array(container, "_fc.weight").T, _array(container, "_fc.bias")]


def _array(container: Container, name: str) -> np.ndarray:
    array = as_array(container.tensors[name])
    if not np.isfinite(array).all():
        raise damaged(container.path, f"{name} holds NaN or infinite numbers")
    return array
