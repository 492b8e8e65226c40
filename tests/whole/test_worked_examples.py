"""The worked examples of "a fully connected layer is a convolution", with figures others have published.

The oracles are NumPy, written out here.
"""

import keras
import numpy as np
import pytest
from heads import both

import vggfcn
from vggfcn.networks.catalogue import ALEXNET, ARCHITECTURES
from vggfcn.networks.spec import Architecture, DenseSpec


def fully_connected(units, size=1, channels=3):
    """A network that is one fully connected layer over a size x size x channels volume."""
    return Architecture("example", (), (DenseSpec("fc", units),), native_size=size, channels=channels)


def test_three_inputs_two_outputs_eight_parameters():
    weights, bias = np.array([[0, 1, 1], [2, 3, 5]], np.float32), np.array([8, 13], np.float32)
    models = both(fully_connected(2), {"fc": (weights.T, bias)}, activation="relu", preprocess=False)
    assert [model.count_params() for model in models] == [8, 8]
    kernel = models[1].get_layer("fc").kernel.numpy()
    assert kernel.shape == (1, 1, 3, 2)
    assert [kernel[..., unit].ravel().tolist() for unit in (0, 1)] == [[0, 1, 1], [2, 3, 5]]
    for values, expected in {
        (1, 2, 3): (13, 36),
        (-1, -9, 0.5): (0, 0),
        (0, -10, 2): (0, 0),
        (4, 0, -3): (5, 6),
    }.items():
        by_hand = [
            max(0, sum(w * v for w, v in zip(row, values, strict=True)) + b)
            for row, b in zip(weights, bias, strict=True)
        ]
        assert by_hand == list(expected)
        for model, shape in zip(models, [(1, 2), (1, 1, 1, 2)], strict=True):
            output = model.predict(np.array(values, np.float32).reshape(1, 1, 1, 3), verbose=0)
            assert output.shape == shape
            assert output.ravel().tolist() == list(expected)


@pytest.mark.parametrize(("size", "channels", "units"), [(1, 5, 3), (2, 3, 4), (5, 2, 7)])
def test_over_a_volume_it_is_an_n_by_n_convolution(size, channels, units):
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((size * size * channels, units), np.float32), np.ones(units, np.float32)
    dense, converted = both(fully_connected(units, size, channels), {"fc": (weights, bias)}, preprocess=False)
    assert dense.count_params() == converted.count_params() == size * size * channels * units + units
    assert converted.get_layer("fc").kernel.shape == (size, size, channels, units)
    image = rng.standard_normal((size + 2, size + 1, channels), np.float32)
    scores = converted.predict(image[None], verbose=0)[0]
    assert scores.shape == (3, 2, units)
    for row, column in np.ndindex(3, 2):
        window = image[row : row + size, column : column + size]
        expected = window.astype(np.float64).ravel() @ weights + bias
        np.testing.assert_allclose(scores[row, column], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(dense.predict(window[None], verbose=0)[0], expected, rtol=0, atol=1e-5)


def test_cs231n_vggs_first_dense_layer():
    """K = 4096, F = 7, P = 0, S = 1 on 7x7x512 gives 1x1x4096; the numbers themselves: test_vgg_is_keras_vgg.py."""
    kernel, bias = ARCHITECTURES["vgg16"].parameter_shapes()["fc1"]
    assert kernel == (7 * 7 * 512, 4096)
    assert np.prod(kernel) + np.prod(bias) == 102_764_544
    layer = keras.layers.Conv2D(4096, ARCHITECTURES["vgg16"].feature_size, strides=1, padding="valid")
    assert layer.compute_output_shape((None, 7, 7, 512)) == (None, 1, 1, 4096)


def test_alexnet_whole_is_the_same_without_its_dense_layers(one_at_a_time):
    rng = np.random.default_rng(0)
    dense = vggfcn.build("alexnet", weights=None, head="dense")
    converted = vggfcn.build("alexnet", weights=None)
    assert dense.count_params() == converted.count_params() == 60_965_224
    for name in ALEXNET.parameter_shapes():
        kernel, bias = dense.get_layer(name).get_weights()
        bias = rng.standard_normal(bias.shape, np.float32) * np.float32(0.1)
        dense.get_layer(name).bias.assign(bias)
        layer = converted.get_layer(name)
        layer.set_weights([kernel.reshape(layer.kernel.shape), bias])
    assert converted.get_layer("fc6").kernel.shape == (6, 6, 256, 4096)
    assert converted.get_layer("fc7").kernel.shape == (1, 1, 4096, 4096)
    assert converted.get_layer("fc8").kernel.shape == (1, 1, 4096, 1000)
    images = rng.integers(0, 256, (1, 227 + 32, 227 + 64, 3), np.uint8)
    logits = dense.predict(images[:, :227, :227], verbose=0)
    native = converted.predict(images[:, :227, :227], verbose=0)
    assert native.shape == (1, 1, 1, 1000)
    assert np.abs(native[0, 0] - logits).max() < 2e-5 * np.abs(logits).max()
    assert logits.std() > 1e-3
    assert converted.predict(images, verbose=0).shape == (1, 2, 3, 1000)
