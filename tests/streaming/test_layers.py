"""Layers on some rows of a map, held against NumPy written out."""

import keras
import numpy as np
import pytest
from networks import randomize
from pixels import layers_of
from streams import check, image_for, whole

from vggfcn.streaming.flat_graph import flatten
from vggfcn.streaming.layers import runner, unpadded
from vggfcn.streaming.schedule import View
from vggfcn.streaming.stream import Stream

layers = keras.layers
ROWS, COLUMNS = 6, 5


def run(model, rows, above=0, below=0):
    """The model's one call, run on rows (rows, columns, channels) with padding above and below."""
    (call,) = flatten(model, (ROWS, COLUMNS)).calls
    return np.asarray(runner(call, unpadded(call))([rows[None]], [View(0, len(rows), above, below)]))[0]


def windows(x, height, width):
    """Each window of a padded map, (rows, columns, height, width, channels)."""
    found = np.lib.stride_tricks.sliding_window_view(x, (height, width), (0, 1))
    return np.moveaxis(found, 2, -1)


def padded(x, widths, value=0.0):
    return np.pad(x, (*widths, (0, 0)), constant_values=value)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(0, 1, (4, COLUMNS, 2)).astype(np.float32)


@pytest.mark.parametrize(("above", "below"), [(0, 0), (1, 0), (0, 1)])
def test_a_convolution_pads_rows_as_it_is_told_and_columns_itself(rows, above, below):
    conv = layers.Conv2D(3, 3, padding="same")
    model = randomize(layers_of(conv))
    kernel, bias = conv.get_weights()
    read = windows(padded(rows, ((above, below), (1, 1))), 3, 3)
    expected = np.einsum("rchwi,hwio->rco", read, kernel) + bias
    np.testing.assert_allclose(run(model, rows, above, below), expected, atol=1e-5)


def test_padding_never_is_the_maximum(rows):
    negative = -np.abs(rows)
    expected = windows(padded(negative, ((1, 1), (1, 1)), -np.inf), 3, 3).max((2, 3))
    np.testing.assert_allclose(run(layers_of(layers.MaxPooling2D(3, 1, "same")), negative, 1, 1), expected)


def test_a_mean_leaves_out_padding(rows):
    expected = np.nanmean(windows(padded(rows, ((1, 1), (1, 1)), np.nan), 3, 3), (2, 3))
    found = run(layers_of(layers.AveragePooling2D(3, 1, "same")), rows, 1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_transposed_convolution_adds_the_kernel_for_each_cell(rows):
    conv = layers.Conv2DTranspose(3, (3, 2))
    model = randomize(layers_of(conv))
    kernel, bias = conv.get_weights()  # (rows, columns, out, in)
    expected = np.zeros((len(rows) + 2, COLUMNS + 1, 3)) + bias
    for row, column in np.ndindex(rows.shape[:2]):
        expected[row : row + 3, column : column + 2] += kernel @ rows[row, column]
    np.testing.assert_allclose(run(model, rows, 2, 2), expected, atol=1e-5)


def test_padding_by_a_number(rows):
    image = keras.Input((None, None, 2))
    model = keras.Model(image, keras.ops.pad(image, ((0, 0), (2, 0), (0, 1), (0, 0)), constant_values=3.0))
    np.testing.assert_array_equal(run(model, rows, above=2), padded(rows, ((2, 0), (0, 1)), 3))


def test_cropping_takes_columns_away_and_leaves_rows_to_the_schedule(rows):
    model = layers_of(layers.Cropping2D(((2, 0), (1, 2))))
    np.testing.assert_array_equal(run(model, rows), rows[:, 1:-2])


def test_a_layer_of_single_cells_is_called_for_inference(rows):
    np.testing.assert_array_equal(run(layers_of(layers.Dropout(0.9)), rows), rows)


def test_a_layer_without_padding_is_not_copied():
    calls = flatten(layers_of(layers.Conv2D(2, 3), layers.ReLU(), layers.ZeroPadding2D(1)), (ROWS, COLUMNS)).calls
    assert [unpadded(call) for call in calls] == [call.layer for call in calls]


def test_weights_are_the_models_own():
    conv, separable = layers.Conv2D(2, 3, padding="same"), layers.SeparableConv2D(2, 3, padding="same")
    model = layers_of(conv, separable)
    image = image_for(model, 12, 11)
    check(model, image, block_rows=4)
    ready = Stream(model, (12, 11), 4)
    for layer in (conv, separable):
        layer.set_weights([value + 1 for value in layer.get_weights()])
    found = np.concatenate([logits for _, logits in ready.run(lambda start, stop: image[start:stop])])
    np.testing.assert_allclose(found, whole(model, image), rtol=1e-5)
