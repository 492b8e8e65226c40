"""What the arrays of known distributions mean: a table of names, orders of axes, colour order and preprocessing."""

import dataclasses
from collections.abc import Callable

from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION, Preprocessing
from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.networks.catalogue import ARCHITECTURES, HEAD
from vggfcn.networks.spec import Architecture, ConvSpec


@dataclasses.dataclass(frozen=True)
class Names:
    """The arrays of one layer: kernel, bias and, if it is followed by batch normalisation, that one's four.

    Those are scale, offset, mean and variance; `bias` may then be missing from the file.
    """

    kernel: str
    bias: str
    normalization: tuple[str, ...] | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of all of them."""
        return (self.kernel, self.bias, *(self.normalization or ()))


# Architecture -> its layers' arrays in canonical order, by the canonical layer name.
Namer = Callable[[Architecture], dict[str, Names]]


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How one distribution keeps the networks that it has.

    `convolution` and `dense` name the axes of kernels: H, W (rows, columns), I and O (channels in, out); a dense
    kernel's inputs are a flattened map, so "HWIO" stands for a matrix (H * W * I, O). `preprocessing` is what the
    network wants where the file does not say; `formats` are the containers in which the distribution comes.
    """

    name: str
    layers: Namer
    convolution: str
    dense: str
    color_order: str
    preprocessing: Preprocessing
    formats: tuple[FileFormat, ...]
    architectures: tuple[str, ...] = ("vgg16", "vgg19")


def _two(kernel: str) -> Names:
    return Names(f"{kernel}/0", f"{kernel}/1")


def _keras(architecture: Architecture) -> dict[str, Names]:
    """Keras's names are the canonical ones."""
    return {name: _two(name) for name in architecture.parameter_shapes()}


def _keras_own_head(architecture: Architecture) -> dict[str, Names]:
    """A published trunk under a head of layers that Keras named."""
    return _keras(architecture) | dict(zip(HEAD, map(_two, ("dense", "dense_1", "dense_2")), strict=True))


def _caffe(architecture: Architecture) -> dict[str, Names]:
    """`block3_conv2` is `conv3_2` there."""
    trunk = {
        row.name: _two(row.name.removeprefix("block").replace("_conv", "_", 1)) for row in architecture.convolutions
    }
    trunk = {name: Names(f"conv{names.kernel}", f"conv{names.bias}") for name, names in trunk.items()}
    return trunk | {name: _two(f"fc{number}") for name, number in zip(HEAD, (6, 7, 8), strict=True)}


def _torch(head: tuple[str, str, str], normalized: bool = False) -> Namer:
    """torch numbers the members of a Sequential: convolution, perhaps normalisation, ReLU; or pooling."""

    def layers(architecture: Architecture) -> dict[str, Names]:
        found, index = {}, 0
        for row in architecture.trunk:
            if isinstance(row, ConvSpec):
                found[row.name] = _torch_layer(f"features.{index}", f"features.{index + 1}" if normalized else None)
                index += 3 if normalized else 2
            else:
                index += 1
        return found | {name: _torch_layer(stored) for name, stored in zip(HEAD, head, strict=True)}

    return layers


def _torch_layer(name: str, normalization: str | None = None) -> Names:
    parts = ("weight", "bias", "running_mean", "running_var")
    four = tuple(f"{normalization}.{part}" for part in parts) if normalization else None
    return Names(f"{name}.weight", f"{name}.bias", four)


def _onnx(normalized: bool = False) -> Namer:
    def layers(architecture: Architecture) -> dict[str, Names]:
        found = {}
        for index, row in enumerate(architecture.convolutions):
            four = tuple(f"conv{index}/normalization/{part}" for part in range(4)) if normalized else None
            found[row.name] = Names(f"conv{index}/0", f"conv{index}/1", four)
        return found | {name: _two(f"dense{index}") for index, name in enumerate(HEAD)}

    return layers


def _own(architecture: Architecture) -> dict[str, Names]:
    return {name: Names(f"{name}.kernel", f"{name}.bias") for name in architecture.parameter_shapes()}


_KERAS_FILES = (FileFormat.KERAS_HDF5, FileFormat.KERAS_3_HDF5)
_TORCH_FILES = (FileFormat.TORCH_ZIP, FileFormat.TORCH_LEGACY, FileFormat.SAFETENSORS)
_TORCHVISION_HEAD = ("classifier.0", "classifier.3", "classifier.6")
_TIMM_HEAD = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")

# Of torchvision's "features only" VGG16, whose head is NaN: ported from Caffe, it keeps that one's mean, rounded.
FEATURES_ONLY = Preprocessing(mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255))

DIALECTS = (
    Dialect("vggfcn", _own, "HWIO", "HWIO", "RGB", IMAGENET_MEAN, (FileFormat.SAFETENSORS,), tuple(ARCHITECTURES)),
    Dialect("Keras", _keras, "HWIO", "HWIO", "BGR", IMAGENET_MEAN, _KERAS_FILES, tuple(ARCHITECTURES)),
    Dialect("Keras, own head", _keras_own_head, "HWIO", "HWIO", "BGR", IMAGENET_MEAN, _KERAS_FILES),
    Dialect("tensorflow-vgg", _caffe, "HWIO", "HWIO", "BGR", IMAGENET_MEAN, (FileFormat.NPY,)),
    Dialect("Caffe", _caffe, "OIHW", "OIHW", "BGR", IMAGENET_MEAN, (FileFormat.CAFFEMODEL,)),
    Dialect("MatConvNet", _caffe, "HWIO", "HWIO", "RGB", IMAGENET_MEAN, (FileFormat.MAT,)),
    Dialect("torchvision", _torch(_TORCHVISION_HEAD), "OIHW", "OIHW", "RGB", TORCHVISION, _TORCH_FILES),
    Dialect(
        "torchvision, normalised", _torch(_TORCHVISION_HEAD, True), "OIHW", "OIHW", "RGB", TORCHVISION, _TORCH_FILES
    ),
    Dialect("timm", _torch(_TIMM_HEAD), "OIHW", "OIHW", "RGB", TORCHVISION, _TORCH_FILES),
    Dialect("timm, normalised", _torch(_TIMM_HEAD, True), "OIHW", "OIHW", "RGB", TORCHVISION, _TORCH_FILES),
    Dialect("ONNX model zoo", _onnx(), "OIHW", "OIHW", "RGB", TORCHVISION, (FileFormat.ONNX,)),
    Dialect("ONNX model zoo, normalised", _onnx(True), "OIHW", "OIHW", "RGB", TORCHVISION, (FileFormat.ONNX,)),
)
