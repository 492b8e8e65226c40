"""The published networks, as data.

`vgg16` and `vgg19` are configurations D and E of Simonyan & Zisserman 2014, "Very Deep Convolutional Networks for
Large-Scale Image Recognition", table 1. `alexnet` is the network of Krizhevsky, Sutskever & Hinton 2012, "ImageNet
Classification with Deep Convolutional Neural Networks", section 3. `lenet5` is that of LeCun, Bottou, Bengio & Haffner
1998, "Gradient-Based Learning Applied to Document Recognition", section II.B.
"""

from collections.abc import Mapping

from vggfcn.networks.spec import (
    Architecture,
    ConvSpec,
    DenseSpec,
    LayerSpec,
    LocalResponseNormalization,
    MaxPool,
    ParameterShapes,
    Subsampling,
)

HEAD = ("fc1", "fc2", "predictions")  # names of the VGG networks' dense layers


def vgg(name: str, convolutions: tuple[int, ...], *, width: float = 1.0, classes: int = 1000) -> Architecture:
    """A VGG network. Block i + 1 has `convolutions[i]` layers; `width` scales every layer but the last."""
    trunk: list[LayerSpec] = []
    for block, (count, filters) in enumerate(zip(convolutions, (64, 128, 256, 512, 512), strict=True), 1):
        trunk += [ConvSpec(f"block{block}_conv{i}", round(filters * width)) for i in range(1, count + 1)]
        trunk.append(MaxPool(f"block{block}_pool"))
    units = (round(4096 * width), round(4096 * width), classes)
    head = tuple(DenseSpec(name, count) for name, count in zip(HEAD, units, strict=True))
    return Architecture(name, tuple(trunk), head, native_size=224)


# The paper says 224 x 224, but the 55 x 55 map of its first layer needs 227.
ALEXNET = Architecture(
    "alexnet",
    trunk=(
        ConvSpec("conv1", 96, size=11, stride=4, padding="valid"),
        LocalResponseNormalization("norm1"),
        MaxPool("pool1", size=3),
        ConvSpec("conv2", 256, size=5, groups=2),
        LocalResponseNormalization("norm2"),
        MaxPool("pool2", size=3),
        ConvSpec("conv3", 384),
        ConvSpec("conv4", 384, groups=2),
        ConvSpec("conv5", 256, groups=2),
        MaxPool("pool5", size=3),
    ),
    head=(DenseSpec("fc6", 4096), DenseSpec("fc7", 4096), DenseSpec("fc8", 1000)),
    native_size=227,
)

# Table I of LeCun et al. 1998: one row per map of S2, one column per map of C3.
C3_TABLE = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)
# The paper's activation is 1.7159 tanh(2 a / 3); the parameters absorb its constants. The output layer is dense, where
# the paper has radial basis functions.
LENET5 = Architecture(
    "lenet5",
    trunk=(
        ConvSpec("c1", 6, size=5, padding="valid", activation="tanh"),
        Subsampling("s2"),
        ConvSpec("c3", 16, size=5, padding="valid", activation="tanh", table=C3_TABLE),
        Subsampling("s4"),
    ),
    head=(DenseSpec("c5", 120, "tanh"), DenseSpec("f6", 84, "tanh"), DenseSpec("predictions", 10)),
    native_size=32,
    channels=1,
)

# The published networks by name.
ARCHITECTURES = {
    "vgg16": vgg("vgg16", (2, 2, 3, 3, 3)),
    "vgg19": vgg("vgg19", (2, 2, 4, 4, 4)),
    "alexnet": ALEXNET,
    "lenet5": LENET5,
}


def infer(shapes: Mapping[str, ParameterShapes]) -> Architecture | None:
    """The architecture that weights of these shapes belong to, or None if their layers are those of no known one.

    Widths, head sizes and the number of classes follow from the shapes. If the head is missing, the result has the
    published one.
    """
    for standard in ARCHITECTURES.values():
        head = {dense.name for dense in standard.head}
        if [layer.name for layer in standard.trained_layers] == [name for name in shapes if name not in head]:
            return standard.resized(shapes)
    return None
