"""The families of keras.applications are recognised by their layers, alone and nested, and prepared as Keras does."""

import keras
import numpy as np
import pytest

from vggfcn.checkpoints.preprocessing import parse_preprocessing
from vggfcn.graph.walking import layers_of
from vggfcn.networks.applications import APPLICATIONS, INSIDE, family_of_layers, likely_preprocessing

# A network of each family that is quick to make, and the module of its `preprocess_input`.
NETWORKS = {
    "VGG": ("VGG16", "vgg16"),
    "ResNet": ("ResNet50", "resnet"),
    "ResNet V2": ("ResNet50V2", "resnet_v2"),
    "Inception V3": ("InceptionV3", "inception_v3"),
    "Xception": ("Xception", "xception"),
    "MobileNet": ("MobileNet", "mobilenet"),
    "MobileNetV2": ("MobileNetV2", "mobilenet_v2"),
    "DenseNet": ("DenseNet121", "densenet"),
    "EfficientNet": ("EfficientNetB0", "efficientnet"),
    "EfficientNetV2": ("EfficientNetV2B0", "efficientnet_v2"),
    "MobileNetV3": ("MobileNetV3Small", "mobilenet_v3"),
}
SLOW = {"Inception-ResNet V2": ("InceptionResNetV2", "inception_resnet_v2"), "NASNet": ("NASNetMobile", "nasnet")}
SLOW["ConvNeXt"] = ("ConvNeXtTiny", "convnext")
BEFORE_KERAS_23 = "ResNet (before Keras 2.3)"


@pytest.mark.parametrize("name", [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_family_and_its_preprocessing(name):
    network, module = (NETWORKS | SLOW)[name]
    trunk = getattr(keras.applications, network)(weights=None, include_top=False, input_shape=(96, 96, 3))
    nested = keras.Sequential([trunk, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    family = family_of_layers(layer.name for layer in layers_of(nested))
    assert family is not None
    assert family.name == name
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, 3)).astype(np.float32)
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    if family.preprocessing == INSIDE:
        np.testing.assert_array_equal(expected, pixels)
        return
    how = parse_preprocessing(family.preprocessing)
    found = (pixels - how.mean) / how.std
    np.testing.assert_allclose(found[..., ::-1] if how.color_order == "BGR" else found, expected, rtol=1e-5, atol=1e-5)


def test_all_families_are_tried():
    assert {family.name for family in APPLICATIONS} == {*NETWORKS, *SLOW, BEFORE_KERAS_23}


def test_other_networks_belong_to_no_family():
    assert family_of_layers(["conv2d", "dense"]) is None
    assert family_of_layers([]) is None


def test_what_is_likely_is_said_and_nothing_else():
    text = likely_preprocessing(["block1_conv2", "block3_conv3", "block5_pool"])
    for part in ("VGG", "preprocess_input is caffe", "0..1 if"):
        assert part in text
    assert likely_preprocessing(["dense"]) == ""
    assert likely_preprocessing(["stem_conv", "block1a_dwconv", "top_conv"]) == ""  # It prepares pixels itself.
    assert "Its layer 'norm' was made for another range" in likely_preprocessing([], ["norm"])
