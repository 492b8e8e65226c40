"""Which network a name, a spec or a weight file stands for."""

import numpy as np
import pytest
from writers import TINY, arrays_of, write_published_layout

from vggfcn.errors import WeightsError
from vggfcn.networks import download, efficientnet, resolve, sequential
from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.efficientnet import LITE0
from vggfcn.networks.families import BuildOptions


@pytest.mark.parametrize(
    ("network", "spec", "family"),
    [
        pytest.param(None, ARCHITECTURES["vgg16"], sequential.FAMILY, id="VGG16 if nothing is named"),
        pytest.param("lenet5", ARCHITECTURES["lenet5"], sequential.FAMILY, id="a name"),
        pytest.param("efficientnet-lite0", LITE0, efficientnet.FAMILY, id="a name of another family"),
        pytest.param(TINY, TINY, sequential.FAMILY, id="a spec"),
    ],
)
def test_a_name_or_a_spec_stands_for_a_network_of_a_family(network, spec, family):
    assert resolve.spec_of(network) is spec
    assert resolve.family_of(spec) is family


@pytest.mark.parametrize("network", ["resnet50", 16])
def test_other_networks_are_refused_with_the_names_of_the_known_ones(network):
    with pytest.raises(ValueError, match=r"architecture: expected one of vgg16, .*, efficientnet-lite0, got"):
        resolve.spec_of(network)


@pytest.mark.parametrize(
    ("weights", "expected", "message"),
    [
        ("imagenet", "vgg19", "imagenet: expected weights of vgg19, got weights of vgg16; choose other weights, or"),
        ("imagenet", LITE0, "expected weights of efficientnet-lite0, got weights of vgg16"),
        ("efficientnet-lite0", "vgg16", "expected weights of vgg16, got weights of efficientnet-lite0"),
        ("scene-digits", "efficientnet-lite0", "expected weights of efficientnet-lite0, got weights of vgg16"),
    ],
)
def test_known_weights_of_another_network_are_refused_before_a_download(weights, expected, message, monkeypatch):
    monkeypatch.setattr(download, "retrieve", None)
    with pytest.raises(WeightsError, match=message):
        resolve.open_weights(weights, expected)


def test_the_network_follows_from_known_weights_or_from_the_file():
    assert resolve.open_weights("mnist-lenet5")[0] == ARCHITECTURES["lenet5"]
    assert resolve.open_weights("efficientnet-lite0")[0] is LITE0
    assert resolve.inspect("scene-digits")[0].classes == 11


def test_opened_weights_are_read_anew_for_every_model(tmp_path):
    """Training the first model does not change what the second starts from."""
    path = write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))
    network, weights = resolve.open_weights(path)
    assert network == TINY
    family = resolve.family_of(network)
    first = family.build(network, weights, BuildOptions("dense"))
    first.layers[-1].set_weights([0 * array for array in first.layers[-1].get_weights()])
    kernel, _ = family.build(network, weights, BuildOptions("dense")).layers[-1].get_weights()
    np.testing.assert_array_equal(kernel, arrays_of()["predictions"][0])
