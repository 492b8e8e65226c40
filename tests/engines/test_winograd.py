"""Winograd's 3x3 convolutions against the direct sums in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vggfcn.engines.winograd import CHANNELS, KERNEL, TILE, matrices, transformed, winograd


def built(filters=24, channels=CHANNELS, size=3, **arguments):
    layer = keras.layers.Conv2D(filters, size, **{"padding": "same", **arguments})
    layer.build((None, None, None, channels))
    return layer


def written_out(x, kernel, border):
    x = np.pad(x.astype(np.float64), ((0, 0), (border, border), (border, border), (0, 0)))
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    return sum(
        x[:, i : i + rows, j : j + columns] @ kernel[i, j].astype(np.float64) for i in range(3) for j in range(3)
    )


def images(*shape):
    return np.maximum(np.random.default_rng(2).standard_normal(shape), 0).astype(np.float32)


def test_in_one_dimension_it_is_the_sums_themselves():
    pixels, kernel, back = matrices()
    given, taps = np.arange(1.0, TILE + 1) ** 2, np.array([3.0, -1.0, 2.0])
    found = back @ ((pixels @ given) * (kernel @ taps))
    np.testing.assert_allclose(found, np.correlate(given, taps, "valid"), rtol=1e-13)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 16, 20), (2, 9, 7), (1, 3, 3), (3, 4, 13), (1, 30, 3)])
def test_it_is_the_convolution(padding, count, rows, columns):
    layer = built(padding=padding)
    x = images(count, rows, columns, CHANNELS)
    expected = written_out(x, np.asarray(layer.kernel), padding == "same")
    found = winograd(layer)(tf.constant(x), None)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_rounding_is_a_few_times_that_of_the_direct_sums():
    layer, x = built(64, 512), images(1, 24, 24, 512)
    exact = written_out(x, np.asarray(layer.kernel), 1)
    direct, found = layer.convolution_op(x, layer.kernel), winograd(layer)(tf.constant(x), None)
    spread = [np.sqrt(np.mean((np.asarray(one) - exact) ** 2)) for one in (direct, found)]
    assert 1 < spread[1] / spread[0] < 12


def test_one_graph_serves_images_of_all_sizes():
    layer = built()
    convolve = winograd(layer)
    run = tf.function(lambda x: convolve(x, None), input_signature=[tf.TensorSpec((None, None, None, CHANNELS))])
    for size in ((5, 9), (8, 8)):
        x = images(1, *size, CHANNELS)
        expected = written_out(x, np.asarray(layer.kernel), 1)
        np.testing.assert_allclose(run(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 1},
        {"size": 5},
        {"size": (3, 1)},
        {"strides": 2},
        {"dilation_rate": 2},
        {"groups": 2},
        {"channels": CHANNELS // 2},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(arguments):
    assert winograd(built(**arguments)) is None


def test_a_kernel_of_ones_at_a_point_is_its_polynomial():
    """1 + x + x^2, over the divisor of Lagrange's formula; at infinity the last coefficient."""
    (_, basis, _), found = matrices(), transformed(np.ones((KERNEL, KERNEL, 1, 1), np.float32))
    np.testing.assert_allclose(found.reshape(TILE, TILE), np.outer(basis.sum(1), basis.sum(1)), rtol=1e-6)
