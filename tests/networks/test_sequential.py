"""Weight files of VGG networks are recognised, and what they lack is listed."""

import numpy as np
import pytest
from writers import TINY, he_arrays, write_published_layout

from vggfcn.errors import WeightsError
from vggfcn.networks.catalogue import vgg
from vggfcn.networks.sequential import check_layers, check_whole, read

VGG16 = vgg("vgg16", (2, 2, 3, 3, 3))
TRUNK = [layer.name for layer in TINY.trained_layers]


def layers_of(architecture, leave_out=(), reshape=None):
    for name, kernel, bias in he_arrays(architecture.parameter_shapes(), np.random.default_rng(0)):
        if name not in leave_out:
            yield name, (reshape or {}).get(name, lambda k: k)(kernel), bias


@pytest.fixture
def file(tmp_path):
    """Write a file of the tiny VGG16's layers."""

    def write(added=(), **changes):
        return write_published_layout(tmp_path / "w.h5", [*layers_of(TINY, **changes), *added])

    return write


def test_widths_head_and_classes_follow_from_the_shapes(file):
    architecture, weights = read(file(), None)
    assert architecture == TINY
    assert weights.labels is None
    check_whole(architecture, weights)


def test_a_notop_file_has_the_trunk_alone_and_says_so(file):
    architecture, weights = read(file(leave_out=("fc1", "fc2", "predictions")), "vgg16")
    check_layers(architecture, weights, TRUNK)
    message = (
        r"w.h5: expected 16 layers, found 13: fc1, fc2, predictions missing; "
        r'this looks like a "notop" file: use a file with the head, or head=None for the trunk alone'
    )
    with pytest.raises(WeightsError, match=message):
        check_whole(architecture, weights)


def test_a_head_of_another_depth_says_so(file):
    head = [
        ("dense", np.zeros((7 * 7 * 16, 5), "f4"), np.zeros(5, "f4")),
        ("out", np.zeros((5, 2), "f4"), np.zeros(2, "f4")),
    ]
    message = "another network: 'out', layer with arrays .*has arrays out, expected|another network: .*; this file has"
    with pytest.raises(WeightsError, match=message):
        read(file(head, leave_out=("fc1", "fc2", "predictions")), None)


def test_every_wrong_shape_is_listed(file):
    path = file(reshape={"fc2": lambda kernel: kernel[:-1], "block2_conv1": lambda kernel: kernel[:, :, :-1]})
    with pytest.raises(WeightsError, match=r"shapes do not fit: block2_conv1 .* instead of .*; fc2 .* instead of"):
        check_whole(*read(path, None))


def test_another_architecture_is_named(file):
    with pytest.raises(WeightsError, match="expected weights of vgg19, got weights of vgg16"):
        read(file(), "vgg19")


def test_a_spec_is_taken_at_its_word_and_weights_of_another_width_do_not_fit(file):
    architecture, weights = read(file(), VGG16)
    assert architecture is VGG16
    with pytest.raises(WeightsError, match=r"block1_conv1 .* instead of \(\(3, 3, 3, 64\), \(64,\)\)"):
        check_whole(architecture, weights)
