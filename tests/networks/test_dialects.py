"""The names of arrays in the distributions, as their programs write them."""

import numpy as np
import pytest
import safetensors.numpy
from paths import DATA

from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.dialects import DIALECTS, ArrayNames

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
VGG16, VGG19 = ARCHITECTURES["vgg16"], ARCHITECTURES["vgg19"]


@pytest.mark.parametrize(
    ("dialect", "architecture", "layer", "names"),
    [
        ("Keras", VGG16, "block3_conv2", ("block3_conv2/0", "block3_conv2/1")),
        ("Keras", VGG16, "predictions", ("predictions/0", "predictions/1")),
        ("Keras, own head", VGG16, "fc2", ("dense_1/0", "dense_1/1")),
        ("Keras, own head", VGG16, "block1_conv1", ("block1_conv1/0", "block1_conv1/1")),
        ("Caffe", VGG16, "block3_conv2", ("conv3_2/0", "conv3_2/1")),
        ("tensorflow-vgg", VGG19, "block5_conv4", ("conv5_4/0", "conv5_4/1")),
        ("MatConvNet", VGG16, "fc1", ("fc6/0", "fc6/1")),
        ("torchvision", VGG16, "block5_conv3", ("features.28.weight", "features.28.bias")),
        ("torchvision", VGG19, "block5_conv4", ("features.34.weight", "features.34.bias")),
        ("torchvision", VGG16, "predictions", ("classifier.6.weight", "classifier.6.bias")),
        ("timm", VGG16, "fc1", ("pre_logits.fc1.weight", "pre_logits.fc1.bias")),
        ("ONNX model zoo", VGG16, "block2_conv1", ("conv2/0", "conv2/1")),
        ("ONNX model zoo", VGG19, "predictions", ("dense2/0", "dense2/1")),
        ("vggfcn", ARCHITECTURES["lenet5"], "s2", ("s2.kernel", "s2.bias")),
    ],
)
def test_a_layers_arrays(dialect, architecture, layer, names):
    stored = BY_NAME[dialect].layers(architecture)[layer]
    assert stored.arrays == names
    assert stored.normalization is None


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("torchvision, normalised", ("features.3.weight", "features.3.bias", "features.4")),
        ("timm, normalised", ("features.3.weight", "features.3.bias", "features.4")),
    ],
)
def test_normalisation_follows_its_convolution(dialect, names):
    """As in `torchvision.models.vgg16_bn`: convolution 3, normalisation 4, ReLU 5."""
    *pair, normalization = names
    four = tuple(f"{normalization}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    assert BY_NAME[dialect].layers(VGG16)["block1_conv2"] == ArrayNames(*pair, four)
    assert BY_NAME[dialect].layers(VGG16)["fc1"].normalization is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_layers_are_named_in_canonical_order_and_no_array_twice(dialect):
    for name in dialect.architectures:
        layers = dialect.layers(ARCHITECTURES[name])
        assert list(layers) == list(ARCHITECTURES[name].parameter_shapes())
        arrays = [array for names in layers.values() for array in names.arrays]
        assert len(arrays) == len(set(arrays))


def test_the_names_are_those_in_a_file_that_timm_wrote():
    with (DATA / "tiny-timm.safetensors").open("rb") as file:
        stored = safetensors.numpy.load(file.read())
    named = [array for names in BY_NAME["timm"].layers(VGG16).values() for array in names.arrays]
    assert set(named) == set(stored)


def test_axes_and_colours_of_the_distributions():
    """What each program documents: Keras and MatConvNet keep channels last, torch and Caffe first; the latter BGR."""
    facts = {
        name: (dialect.convolution, dialect.published.color_order)
        for name, dialect in BY_NAME.items()
        if dialect.published
    }
    assert facts["Keras"] == ("HWIO", "BGR")
    assert facts["Caffe"] == ("OIHW", "BGR")
    assert facts["MatConvNet"] == ("HWIO", "RGB")
    assert facts["torchvision"] == facts["timm"] == facts["ONNX model zoo"] == ("OIHW", "RGB")
    torchvision = BY_NAME["torchvision"].published
    np.testing.assert_allclose(torchvision.mean, np.multiply((0.485, 0.456, 0.406), 255))
    np.testing.assert_allclose(torchvision.std, np.multiply((0.229, 0.224, 0.225), 255))


def test_only_formats_of_one_distribution_say_what_every_file_expects():
    always = {name for name, dialect in BY_NAME.items() if dialect.always}
    assert always == {"tensorflow-vgg", "Caffe", "MatConvNet"}
