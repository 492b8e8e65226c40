"""Windows of a map, cut out by NumPy."""

from fractions import Fraction

import keras
import numpy as np
import pytest
from layer_calls import call_of, map_value

from vggfcn.conversion.rules.windows import in_windows, of_one_stride
from vggfcn.errors import ConversionError

layers = keras.layers


def cells(value, inputs, images):
    return keras.Model(inputs, value.tensor).predict(images, verbose=0)


def test_each_cell_holds_its_window_as_flatten_would():
    value = map_value((2, 3), 4, shape=(24,))
    found = in_windows(call_of(layers.ReLU(), value), value, (1, 2))
    assert (found.size, found.channels, found.stride) == ((1, 1), 24, (1, 2))
    image = np.random.default_rng(0).standard_normal((1, 5, 8, 4)).astype(np.float32)
    got = cells(found, value.tensor, image)
    assert got.shape == (1, 4, 3, 24)
    for row, column in np.ndindex(4, 3):
        window = image[0, row : row + 2, 2 * column : 2 * column + 3]
        np.testing.assert_array_equal(got[0, row, column], window.ravel())


@pytest.mark.parametrize(("rows", "expected"), [((7, 15), 4), ((7, 14), 4), ((8, 14), 4), ((8, 13), 4)])
def test_vectors_at_different_distances_keep_the_cells_that_both_have(rows, expected):
    coarse = map_value((1, 1), 1, shape=(1,), stride=(Fraction(4), Fraction(2)))
    fine = map_value((1, 1), 1, shape=(1,), stride=(Fraction(2), Fraction(2)))
    found = of_one_stride(call_of(layers.Concatenate(), coarse, fine), [coarse, fine])
    assert {value.stride for value in found} == {(4, 2)}
    maps = [np.arange(count * 3, dtype=np.float32).reshape(1, count, 3, 1) for count in (rows[0] - 3, rows[1] - 6)]
    got = keras.Model([coarse.tensor, fine.tensor], [value.tensor for value in found]).predict(maps, verbose=0)
    shortest = min(maps[0].shape[1], -(-maps[1].shape[1] // 2))
    np.testing.assert_array_equal(got[0], maps[0][:, :shortest])
    np.testing.assert_array_equal(got[1], maps[1][:, ::2][:, :shortest])
    assert shortest == expected


@pytest.mark.parametrize(
    ("order", "flows_back", "message"),
    [("chw", False, "flattened as it lies in memory"), ("hwc", True, "and a map is computed from its output")],
)
def test_what_cannot_be_held_in_windows_is_refused(order, flows_back, message):
    value = map_value((2, 3), 4, order, shape=(24,))
    with pytest.raises(ConversionError, match=message):
        in_windows(call_of(layers.ReLU(), value, flows_back=flows_back), value)
