"""How the size of a map follows from that of the image: what the network gives for images of these sizes."""

from fractions import Fraction

import keras
import numpy as np
import pytest
from networks import squeeze_and_excite

import vggfcn
from vggfcn.graph.shapes import map_size, size_of_one_cell, strides

layers = keras.layers


def model(*inner, shape=(None, None, 3)):
    return keras.Sequential([keras.Input(shape), *inner], name="net")


def uneven():
    """Another stride and another size along columns than along rows."""
    return model(layers.Conv2D(2, 3, (2, 3), "same"), layers.MaxPooling2D((2, 1)), layers.Conv2D(2, (3, 5)))


def channels_first():
    image = keras.Input((3, None, None))
    x = layers.Permute((2, 3, 1))(layers.MaxPooling2D((2, 3), data_format="channels_first")(image))
    return keras.Model(image, layers.Conv2D(2, 4)(x))


def context():
    return vggfcn.convert(squeeze_and_excite(), keep_global=True, check=False)


NETWORKS = {
    "rows and columns apart": (uneven, (4, 3)),
    "channels first, then last": (channels_first, (2, 3)),
    "whole-image context": (context, (1, 1)),
    "cells closer than pixels": (lambda: model(layers.UpSampling2D(2), layers.Conv2D(2, 3)), (Fraction(1, 2),) * 2),
}


@pytest.mark.parametrize(("build", "expected"), [pytest.param(*case, id=name) for name, case in NETWORKS.items()])
def test_strides_and_sizes_are_those_of_the_maps_that_the_network_gives(build, expected):
    network = build()
    assert strides(network) == expected

    def cells(height, width):
        shape = [1, *network.inputs[0].shape[1:]]
        first = shape.index(None)
        shape[first : first + 2] = height, width
        found = np.asarray(network(np.zeros(shape, np.float32))).shape[1:3]
        assert map_size(network, (height, width)) == found
        return found

    height, width = size_of_one_cell(network)
    if expected[0] >= 1:
        assert cells(height, width) == (1, 1)
        assert cells(height + 2 * expected[0], width + 3 * expected[1]) == (3, 4)


def test_fixed_sizes_are_refused():
    with pytest.raises(ValueError, match=r"net: expected images and maps of any size, got \(None, 9, 9, 3\) and"):
        map_size(model(layers.Conv2D(2, 3), shape=(9, 9, 3)), (9, 9))


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="Computed output size would be"):
        map_size(uneven(), (3, 3))
