"""How far two arrays are apart, with NaN, infinities and zeros among them."""

import dataclasses
import math

import numpy as np
import pytest

from vggfcn.difference import Difference

NAN, INF = math.nan, math.inf
CASES = {
    "signs do not matter": ([1, -4], [1.5, -5], (1, 0.25, 4)),
    "the same": ([3, -2], [3, -2], (0, 0, 3)),
    "both are zeros": ([0, 0], [0, 0], (0, 0, 0)),
    "the reference alone is zeros": ([0, 0], [0, 1e-9], (1e-9, INF, 0)),
    "NaN in the other": ([1, 2], [NAN, 2], (NAN, NAN, 2)),
    "NaN in the reference": ([NAN, 2], [1, 2], (NAN, NAN, NAN)),
    "NaN where the reference is zeros": ([0, 0], [0, NAN], (NAN, NAN, 0)),
    "infinity in the other": ([1, 2], [INF, 2], (INF, INF, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_figures(case):
    reference, other, expected = CASES[case]
    found = Difference.between(np.array(reference, float), np.array(other, float))
    np.testing.assert_equal(dataclasses.astuple(found), expected)


def test_other_shapes_are_refused_even_where_they_could_be_broadcast():
    with pytest.raises(ValueError, match=r"expected an array of shape \(2, 3\), got \(3,\)"):
        Difference.between(np.zeros((2, 3)), np.zeros(3))


@pytest.mark.parametrize("order", [1, -1])
def test_the_worst_of_several_by_figure_with_nan_the_largest(order):
    several = [Difference(1, 0.5, 2), Difference(3, NAN, 1), Difference(2, 0.1, 20)][::order]
    np.testing.assert_equal(dataclasses.astuple(Difference.worst(several)), (3, NAN, 20))
