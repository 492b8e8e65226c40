"""`build`: what may be asked of a network, and what is refused."""

import re

import numpy as np
import pytest
from writers import TINY, arrays_of, write_published_layout

import vggfcn
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError
from vggfcn.networks import registry
from vggfcn.networks.builders.build import build_network
from vggfcn.networks.families import BuildOptions
from vggfcn.networks.resolve import open_weights


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "w.h5"
    return write_published_layout(path, ((name, *pair) for name, pair in arrays_of().items()))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        pytest.param({}, (None, None, None, 7), id="fully convolutional"),
        pytest.param({"head": "dense"}, (None, 7), id="the original"),
        pytest.param({"head": None}, (None, None, None, 16), id="the trunk alone"),
        pytest.param({"classes": 3, "activation": "softmax"}, (None, None, None, 3), id="other classes"),
    ],
)
@pytest.mark.parametrize("weights", [True, False], ids=["with weights", "random"])
def test_what_comes_out(tiny_file, weights, options, shape):
    model = vggfcn.build(None if weights else TINY, weights=tiny_file if weights else None, **options)
    assert model.output_shape == shape
    if "activation" in options:
        scores = np.asarray(model(np.zeros((1, 224, 256, 3), np.uint8)))
        np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-5)


def test_without_weights_and_architecture_it_is_vgg16():
    model = vggfcn.build(weights=None, head=None)
    assert model.name == "vgg16_trunk"
    assert [layer.filters for layer in model.layers if "conv" in layer.name][-1] == 512


def test_the_trunk_of_a_file_without_a_head(tmp_path):
    layers = [(name, *pair) for name, pair in arrays_of().items() if name.startswith("block")]
    path = write_published_layout(tmp_path / "notop.h5", layers)
    model = vggfcn.build(weights=path, head=None)
    np.testing.assert_array_equal(model.get_layer("block5_conv3").kernel, arrays_of()["block5_conv3"][0])
    for head in ("conv", "dense"):
        with pytest.raises(WeightsError, match='this looks like a "notop" file'):
            vggfcn.build(weights=path, head=head)


def test_opened_weights_are_not_opened_again(tiny_file):
    network, opened = open_weights(tiny_file)
    model = build_network(network, opened, BuildOptions("dense"))
    np.testing.assert_array_equal(model.get_layer("fc1").kernel, arrays_of()["fc1"][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "fcn"}, 'head: expected "conv", "dense" or None, got \'fcn\''),
        ({"architecture": "resnet50"}, "architecture: expected one of vgg16, .*efficientnet-lite0, got 'resnet50'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        vggfcn.build(**{"weights": None, **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"architecture": "resnet50"}, ValueError, "architecture: expected one of vgg16"),
        ({"architecture": "vgg19"}, WeightsError, "imagenet: expected weights of vgg19, got weights of vgg16"),
        ({"architecture": TINY}, WeightsError, "imagenet: some .* shapes do not fit: block1_conv1 .*64.* instead of"),
        ({"architecture": TINY, "head": None}, WeightsError, "imagenet: some .* shapes do not fit: block1_conv1"),
        ({"head": "fcn"}, ValueError, "head: expected"),
        ({"classes": 0}, ValueError, "classes: expected a whole number from 1 up, or None, got 0"),
        ({"classes": 2.5}, ValueError, "classes: expected a whole number"),
        ({"classes": "10"}, ValueError, "classes: expected a whole number"),
        ({"activation": "softmix"}, ValueError, "activation: expected .* such as \"softmax\", got 'softmix'"),
        ({"preprocess": "vgg"}, ValueError, "preprocess: expected raw, 0..1"),
        ({"preprocess": Preprocessing((1.0,), (1.0,))}, ValueError, "preprocess: expected .* 3 channel"),
        ({"weights": "imagenet-notop"}, WeightsError, "imagenet-notop: has no head; choose weights with a head, or"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_downloaded(arguments, error, message, monkeypatch):
    monkeypatch.setattr(registry, "fetch", lambda *_: pytest.fail("opened or downloaded"))
    with pytest.raises(error, match=message):
        vggfcn.build(**{"weights": "imagenet", **arguments})


def test_weights_of_another_architecture_are_named(tiny_file):
    with pytest.raises(WeightsError, match=re.escape(f"{tiny_file}: expected weights of vgg19, got weights of vgg16")):
        vggfcn.build("vgg19", weights=tiny_file)
