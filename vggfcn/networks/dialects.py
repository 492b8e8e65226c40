"""What the arrays in weight files mean: for each distribution, its names, its axes, and what its images go through."""

import dataclasses
from collections.abc import Callable

from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION, Preprocessing, parse_preprocessing
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
    (H * W * I, O). `formats` are the file formats that the distribution comes in, `architectures` the networks that it
    has.

    `published` is the preprocessing of the weights that the distribution publishes. Others train with others, so it
    holds for known weights alone, unless `always` says why it holds for every file. With `convolutional_head` the dense
    layers are convolutions. If `rotated`, kernels of convolutions are turned by 180 degrees, as Theano's were.
    """

    name: str
    layers: Namer
    convolution: str
    dense: str
    published: Preprocessing | None
    formats: tuple[FileFormat, ...]
    architectures: tuple[str, ...] = ("vgg16", "vgg19")
    always: str = ""
    convolutional_head: bool = False
    rotated: bool = False


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


def _archived(architecture: Architecture) -> dict[str, ArrayNames]:
    """Caffe's names with a letter for kernels and biases."""
    stored = {name: names.kernel.removesuffix("/0") for name, names in _caffe(architecture).items()}
    return {name: ArrayNames(f"{layer}_W", f"{layer}_b") for name, layer in stored.items()}


def _mmdnn(architecture: Architecture) -> dict[str, ArrayNames]:
    """MMdnn keeps the names of the network that it converted; here Caffe's."""
    stored = {name: names.kernel.removesuffix("/0") for name, names in _caffe(architecture).items()}
    return {name: ArrayNames(f"{layer}/weights", f"{layer}/bias") for name, layer in stored.items()}


def _keras1(architecture: Architecture) -> dict[str, ArrayNames]:
    """Keras 1 numbered all layers: each convolution has a padding layer before it, each dense layer a dropout after."""
    names, index = {}, 0
    for layer in architecture.trunk:
        if isinstance(layer, ConvSpec):
            names[layer.name] = _numbered(f"layer_{index + 1}")
            index += 1
        index += 1
    return names | {
        dense.name: _numbered(f"layer_{index + 1 + 2 * row}") for row, dense in enumerate(architecture.head)
    }


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
# Heads of other classes, whose dropout lies elsewhere or is missing.
_OTHER_HEADS = {
    "torch, dropout first": ("classifier.1", "classifier.4", "classifier.6"),
    "torch, no dropout": ("classifier.0", "classifier.2", "classifier.4"),
    "torch, one Sequential a layer": ("classifier.0.0", "classifier.1.0", "classifier.2"),
    "torch, fc": ("fc1", "fc2", "fc3"),
    "torch, fc6": ("fc6", "fc7", "fc8"),
}
_TIMM_HEAD = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")

_CAFFE = parse_preprocessing("caffe")
# The mean of VGGFace's training images, whose ports to Keras keep Caffe's names.
_VGGFACE = Preprocessing(mean=(129.1863, 104.7624, 93.5940), color_order="BGR")
_PORT = "of Caffe's network, as in every file of "

# For torchvision's "features only" VGG16, whose head is NaN. It was ported from Caffe and has Caffe's mean, rounded.
FEATURES_ONLY = Preprocessing(mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255))


def _dialects(name: str, head: tuple[str, str, str]) -> tuple[Dialect, Dialect]:
    """A distribution of torch's networks, without and with batch normalisation."""
    plain = Dialect(name, _torch(head), "OIHW", "OIHW", TORCHVISION, _TORCH_FILES)
    return plain, dataclasses.replace(plain, name=f"{name}, normalised", layers=_torch(head, True))


DIALECTS = (
    Dialect("vggfcn", _vggfcn, "HWIO", "HWIO", None, (FileFormat.SAFETENSORS,), tuple(ARCHITECTURES)),
    Dialect("Keras", _keras, "HWIO", "HWIO", _CAFFE, _KERAS_FILES, tuple(ARCHITECTURES)),
    Dialect("Keras, own head", _keras_custom_head, "HWIO", "HWIO", _CAFFE, _KERAS_FILES),
    Dialect("Keras, Caffe's names", _caffe, "HWIO", "HWIO", _VGGFACE, _KERAS_FILES),
    Dialect("Keras 1, Theano", _keras1, "OIHW", "IHWO", _CAFFE, (FileFormat.KERAS_HDF5,), rotated=True),
    Dialect("MMdnn", _mmdnn, "HWIO", "HWIO", _CAFFE, (FileFormat.NPY,)),
    Dialect("Frossard", _archived, "HWIO", "HWIO", IMAGENET_MEAN, (FileFormat.NPY,)),
    Dialect(*("tensorflow-vgg", _caffe, "HWIO", "HWIO", _CAFFE, (FileFormat.NPY,)), always=f"{_PORT}tensorflow-vgg"),
    Dialect(*("Caffe", _caffe, "OIHW", "OIHW", _CAFFE, (FileFormat.CAFFEMODEL,)), always=f"{_PORT}Caffe"),
    Dialect(
        *("MatConvNet", _caffe, "HWIO", "HWIO", IMAGENET_MEAN, (FileFormat.MAT,)),
        always=f"{_PORT}MatConvNet, for RGB",
        convolutional_head=True,
    ),
    *_dialects("torchvision", _TORCHVISION_HEAD),
    *_dialects("timm", _TIMM_HEAD),
    *(dialect for name, head in _OTHER_HEADS.items() for dialect in _dialects(name, head)),
    Dialect("ONNX model zoo", _onnx(), "OIHW", "OIHW", TORCHVISION, (FileFormat.ONNX,)),
    Dialect("ONNX model zoo, normalised", _onnx(True), "OIHW", "OIHW", TORCHVISION, (FileFormat.ONNX,)),
)

# What other networks' files are known by: a part of an array's name -> what has it.
OTHER_NETWORKS = {
    "layer1.0.conv1": "a ResNet of torch",
    "denseblock1": "a DenseNet of torch",
    "transformer.resblocks": "a CLIP network",
    ".attn.qkv": "a vision transformer",
    "encoder.layers.encoder_layer_0": "a vision transformer of torchvision",
    "features.0.0.": "a network of torchvision in blocks, such as MobileNet, EfficientNet or ConvNeXt",
    "blocks.0.0.conv": "an EfficientNet or MobileNet of timm",
    "_blocks.0.": "an EfficientNet of efficientnet-pytorch",
    "conv2_block1_1_conv": "a ResNet of Keras",
    "block1a_dwconv": "an EfficientNet of Keras",
    "expanded_conv_depthwise": "a MobileNetV2 of Keras",
    "conv_dw_1": "a MobileNet of Keras",
    "block1_conv1_bn": "an Xception of Keras",
    "lm_head": "a language model",
    "lora_": "an adapter, not a whole network",
}
