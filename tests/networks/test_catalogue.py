"""The published networks have the sizes, parameters and tables that their papers state."""

import dataclasses

import keras
import numpy as np
import pytest

import vggfcn
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.networks.catalogue import ALEXNET, ARCHITECTURES, C3_TABLE, LENET5, infer


def test_architectures_have_the_published_number_of_parameters():
    for name, count in {"vgg16": 138_357_544, "vgg19": 143_667_240}.items():
        shapes = ARCHITECTURES[name].parameter_shapes().values()
        assert sum(np.prod(kernel) + np.prod(bias) for kernel, bias in shapes) == count


def test_alexnet_is_as_published():
    counts = ALEXNET.parameters()
    # The first layer's: CS231n; all of them: what Caffe's bvlc_alexnet has.
    assert counts["conv1"] == 34_944
    assert sum(counts.values()) == 60_965_224
    # Sizes of the maps: Krizhevsky et al. 2012, figure 2, and CS231n for the pools.
    trunk = vggfcn.build("alexnet", weights=None, head=None)
    sizes = {"conv1": 55, "norm1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv5": 13, "pool5": 6}
    shape = (1, 227, 227, 3)
    for depth, row in enumerate(ALEXNET.trunk, 1):
        part = dataclasses.replace(ALEXNET, trunk=ALEXNET.trunk[:depth])
        assert part.feature_size == sizes.get(row.name, part.feature_size)
    assert trunk.compute_output_shape(shape) == (1, 6, 6, 256)
    kernels = {layer.name: layer.kernel.shape for layer in trunk.layers if isinstance(layer, keras.layers.Conv2D)}
    assert kernels["conv2"] == (5, 5, 48, 256)
    assert kernels["conv5"] == (3, 3, 192, 256)


def test_alexnets_windows():
    field = ALEXNET.receptive_field
    assert field == ReceptiveField(355, 32, 64)
    assert (field.window, ALEXNET.output_stride, ALEXNET.feature_size) == (227, 32, 6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_are_known_by_their_parameters_at_any_size(name):
    architecture = ARCHITECTURES[name]
    larger = dataclasses.replace(
        architecture.with_classes(7), native_size=architecture.native_size + 2 * architecture.output_stride
    )
    for expected in (architecture, larger):
        shapes = expected.parameter_shapes()
        assert infer(shapes) == expected
        assert sum(expected.parameters().values()) <= sum(np.prod(k) + np.prod(b) for k, b in shapes.values())
    headless = {layer.name: shapes[layer.name] for layer in larger.trained_layers}
    assert infer(headless) == architecture


def test_lenet5_has_the_papers_parameters():
    """LeCun et al. 1998, section II.B: layer by layer, and 60,000 in all before the output layer."""
    counts = LENET5.parameters()
    published = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert counts == {**published, "predictions": 84 * 10 + 10}
    assert sum(published.values()) == 60_000
    model = vggfcn.build("lenet5", weights=None, head="dense")
    kernel = model.get_layer("c3").kernel.numpy()
    assert np.count_nonzero(kernel) == 60 * 25
    # Keras counts the zeros as well, and so more than there are to train.
    assert model.count_params() == sum(counts.values()) + 36 * 25


def test_c3s_table_follows_the_papers_rule():
    """Contiguous subsets of three, then of four, then some that are not contiguous, then all; each map alike often."""
    read = [{row for row in range(6) if C3_TABLE[row][column] == "X"} for column in range(16)]
    assert read[:6] == [{(first + i) % 6 for i in range(3)} for first in range(6)]
    assert read[6:12] == [{(first + i) % 6 for i in range(4)} for first in range(6)]
    contiguous = [{(first + i) % 6 for i in range(4)} for first in range(6)]
    assert all(len(maps) == 4 and maps not in contiguous for maps in read[12:15])
    assert read[15] == set(range(6))
    assert [row.count("X") for row in C3_TABLE] == [10] * 6
    assert sum(map(len, read)) == 60


def test_lenets_maps_grow_with_the_input():
    """C1 28, S2 14, C3 10, S4 5 and C5 1 at 32 x 32, as published; C5's maps grow with the input."""
    sizes = [dataclasses.replace(LENET5, trunk=LENET5.trunk[:depth]).feature_size for depth in range(1, 5)]
    assert sizes == [28, 14, 10, 5]
    model = vggfcn.build("lenet5", weights=None)
    c5 = keras.Model(model.input, model.get_layer("c5").output)
    assert c5.compute_output_shape((1, 32, 32, 1)) == (1, 1, 1, 120)
    assert c5.compute_output_shape((1, 36, 44, 1)) == (1, 2, 4, 120)
    assert LENET5.receptive_field == ReceptiveField(32, 4, 0)
