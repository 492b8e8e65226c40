"""What the arrays in weight files mean: for each distribution, its names, axes, colour order and preprocessing."""

import dataclasses
from collections.abc import Callable

from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION, Preprocessing
from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.networks.catalogue import ARCHITECTURES, HEAD
from vggfcn.networks.spec import Architecture, ConvSpec


@dataclasses.dataclass(frozen=True)
class ArrayNames:
    """The names of one layer's arrays in the file.

    `normalization` are the scale, offset, mean and variance of the batch normalisation that follows the layer, if one
    does. `bias` may then be missing from the file.
    """

    kernel: str
    bias: str
    normalization: tuple[str, ...] | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """All of these names."""
        return (self.kernel, self.bias, *(self.normalization or ()))


# From an architecture to the names of its layers' arrays, by canonical layer name and from input to output.
Namer = Callable[[Architecture], dict[str, ArrayNames]]


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How one distribution stores its networks.

    `layers` gives the names of the arrays. `convolution` and `dense` name the axes of kernels: H (rows), W (columns),
    I (channels in) and O (channels out). The inputs of a dense kernel are a flattened map, so "HWIO" means a matrix
    (H * W * I, O). `color_order` is "RGB" or "BGR". `preprocessing` applies where the file states none. `formats` are
    the file formats that the distribution comes in, `architectures` the networks that it has.
    """

    name: str
    layers: Namer
    convolution: str
    dense: str
    color_order: str
    preprocessing: Preprocessing
    formats: tuple[FileFormat, ...]
    architectures: tuple[str, ...] = ("vgg16", "vgg19")


def _numbered(layer: str) -> ArrayNames:
    """Kernel and bias of a layer whose arrays have numbers instead of names."""
    return ArrayNames(f"{layer}/0", f"{layer}/1")


def _keras(architecture: Architecture) -> dict[str, ArrayNames]:
    """Keras's layer names are the canonical ones."""
    return {name: _numbered(name) for name in architecture.parameter_shapes()}


def _keras_custom_head(architecture: Architecture) -> dict[str, ArrayNames]:
    """The published trunk with a head whose layers have Keras's automatic names."""
    return _keras(architecture) | dict(zip(HEAD, map(_numbered, ("dense", "dense_1", "dense_2")), strict=True))


def _caffe(architecture: Architecture) -> dict[str, ArrayNames]:
    """Caffe calls `block3_conv2` `conv3_2`, and the dense layers `fc6`, `fc7` and `fc8`."""
    trunk = {
        layer.name: _numbered(layer.name.replace("block", "conv", 1).replace("_conv", "_", 1))
        for layer in architecture.convolutions
    }
    return trunk | {name: _numbered(f"fc{number}") for name, number in zip(HEAD, (6, 7, 8), strict=True)}


def _torch(head: tuple[str, str, str], normalized: bool = False) -> Namer:
    """torch numbers the members of a Sequential, and each normalisation, ReLU and pooling is a member too."""

    def layers(architecture: Architecture) -> dict[str, ArrayNames]:
        trunk, index = {}, 0
        for layer in architecture.trunk:
            if isinstance(layer, ConvSpec):
                trunk[layer.name] = _torch_layer(f"features.{index}", f"features.{index + 1}" if normalized else None)
                index += 3 if normalized else 2
            else:
                index += 1
        return trunk | {name: _torch_layer(stored) for name, stored in zip(HEAD, head, strict=True)}

    return layers


def _torch_layer(name: str, normalization: str | None = None) -> ArrayNames:
    parts = ("weight", "bias", "running_mean", "running_var")
    four = tuple(f"{normalization}.{part}" for part in parts) if normalization else None
    return ArrayNames(f"{name}.weight", f"{name}.bias", four)


def _onnx(normalized: bool = False) -> Namer:
    """ONNX files are read in the order of their nodes, so their layers have numbers."""

    def layers(architecture: Architecture) -> dict[str, ArrayNames]:
        trunk = {}
        for index, layer in enumerate(architecture.convolutions):
            four = tuple(f"conv{index}/normalization/{part}" for part in range(4)) if normalized else None
            trunk[layer.name] = ArrayNames(f"conv{index}/0", f"conv{index}/1", four)
        return trunk | {name: _numbered(f"dense{index}") for index, name in enumerate(HEAD)}

    return layers


def _vggfcn(architecture: Architecture) -> dict[str, ArrayNames]:
    return {name: ArrayNames(f"{name}.kernel", f"{name}.bias") for name in architecture.parameter_shapes()}


_KERAS_FILES = (FileFormat.KERAS_HDF5, FileFormat.KERAS_3_HDF5)
_TORCH_FILES = (FileFormat.TORCH_ZIP, FileFormat.TORCH_LEGACY, FileFormat.SAFETENSORS)
_TORCHVISION_HEAD = ("classifier.0", "classifier.3", "classifier.6")
_TIMM_HEAD = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")

# For torchvision's "features only" VGG16, whose head is NaN. It was ported from Caffe and has Caffe's mean, rounded.
FEATURES_ONLY = Preprocessing(mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255))

DIALECTS = (
    Dialect("vggfcn", _vggfcn, "HWIO", "HWIO", "RGB", IMAGENET_MEAN, (FileFormat.SAFETENSORS,), tuple(ARCHITECTURES)),
    Dialect("Keras", _keras, "HWIO", "HWIO", "BGR", IMAGENET_MEAN, _KERAS_FILES, tuple(ARCHITECTURES)),
    Dialect("Keras, own head", _keras_custom_head, "HWIO", "HWIO", "BGR", IMAGENET_MEAN, _KERAS_FILES),
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
