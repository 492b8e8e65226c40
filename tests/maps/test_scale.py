"""The scale of a heatmap: probabilities from 0 to 1, other values from their least to their largest."""

import numpy as np
import pytest

from vggfcn.maps.scale import PROBABILITY, Scale


def test_probabilities_keep_their_values():
    values = np.array([[0.25, np.nan]], np.float32)
    assert PROBABILITY.fractions(values) is values
    assert [label for _, label in PROBABILITY.ticks()] == ["0", "0.25", "0.5", "0.75", "1"]


def test_values_fill_the_scale():
    values = np.array([[-3.0, 1.0], [np.nan, 5.0]])
    scale = Scale.of(values)
    assert (scale.low, scale.high, scale.name) == (-3, 5, "value")
    np.testing.assert_array_equal(scale.fractions(values), [[0, 0.5], [np.nan, 1]])
    assert [label for _, label in scale.ticks()] == ["-3", "-1", "1", "3", "5"]


@pytest.mark.parametrize("value", [0.0, -7.0, np.nan])
def test_a_scale_is_never_empty(value):
    scale = Scale.of(np.full((2, 2), value))
    assert scale.high - scale.low == 1
