"""A map brought to image size must neither shift nor stretch, and says which pixels it speaks of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.maps.interpolation import covered, interpolate

FIELD = ReceptiveField(404, 32, 90)


@pytest.mark.parametrize("cell", [(0, 0), (2, 3), (5, 1), (5, 7)])
@pytest.mark.parametrize("size", [(384, 448), (411, 461)])
def test_a_single_cell_lights_up_around_its_windows_centre(cell, size):
    values = np.zeros((6, 8))
    values[cell] = 1
    drawn = interpolate(values, FIELD, *size)
    assert drawn.shape == size
    expected = np.outer(
        *(_tent(length, 32 * at + 111.5, at, cells) for length, at, cells in zip(size, cell, (6, 8), strict=True))
    )
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def _tent(length, center, cell, cells):
    """Linear fall to zero at the neighbours' centres, constant beyond the outermost centre."""
    positions = np.arange(length)
    tent = np.clip(1 - np.abs(positions - center) / 32, 0, 1)
    if cell == 0:
        tent[positions < center] = 1
    if cell == cells - 1:
        tent[positions > center] = 1
    return tent


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 31), st.integers(0, 31))
def test_a_ramp_stays_a_ramp_and_a_constant_stays_constant(rows, columns, extra_height, extra_width):
    height, width = 224 + 32 * (rows - 1) + extra_height, 224 + 32 * (columns - 1) + extra_width
    ramp = np.add.outer(np.zeros(rows), FIELD.centers(columns))
    drawn = interpolate(ramp, FIELD, height, width)
    outermost = FIELD.centers(columns)[[0, -1]]
    np.testing.assert_allclose(drawn, np.tile(np.clip(np.arange(width), *outermost), (height, 1)), rtol=1e-6)
    assert (interpolate(np.full((rows, columns), 0.25), FIELD, height, width) == 0.25).all()


@st.composite
def fields(draw):
    """Along one axis; skewed only so far that each cell's middle lies in its window."""
    window, stride, padding = draw(st.integers(1, 224)), draw(st.integers(1, 64)), draw(st.integers(0, 120))
    skew = draw(st.integers(1 - window, window - 1))
    return ReceptiveField(window + 2 * padding + skew, stride, padding, skew)


GEOMETRIES = st.builds(Geometry, fields(), fields())
SIDES = st.integers(224, 480)


@settings(deadline=None, max_examples=150)
@given(GEOMETRIES, SIDES, SIDES, st.data())
def test_a_lit_cells_peak_lies_where_geometry_says_to_half_a_pixel(field, height, width, data):
    cells = field.rows.cells(height), field.columns.cells(width)
    lit = tuple(data.draw(st.integers(0, count - 1)) for count in cells)
    values = np.zeros(cells)
    values[lit] = 1
    drawn = interpolate(values, field, height, width)
    peaks = np.argwhere(drawn == drawn.max())
    middle = [middle_of(field.rows, lit[0]), middle_of(field.columns, lit[1])]
    assert (np.abs(peaks - middle).min(0) <= 0.5).all()
    for axis in (0, 1):  # Beyond the outermost middles the value stays the same, so the peak is as wide there.
        outermost = lit[axis] == 0, lit[axis] == cells[axis] - 1
        off = peaks[:, axis] - middle[axis]
        assert outermost[0] or off.min() >= -0.5
        assert outermost[1] or off.max() <= 0.5


def middle_of(field, cell):
    return field.stride * cell - field.padding + (field.size - 1) / 2


@settings(deadline=None, max_examples=60)
@given(GEOMETRIES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_interpolation_against_scipys(field, height, width, seed):
    cells = field.rows.cells(height), field.columns.cells(width)
    values = np.random.default_rng(seed).random(cells)
    # A row or column of one cell twice: SciPy wants two points at least.
    axes, grid = [], values
    for axis, one in enumerate((field.rows, field.columns)):
        count = cells[axis]
        middles = [middle_of(one, cell) for cell in range(count)]
        axes.append(np.array(middles if count > 1 else [middles[0], middles[0] + 1]))
        grid = grid if count > 1 else np.repeat(grid, 2, axis)
    rows = np.clip(np.arange(height), axes[0][0], axes[0][-1])
    columns = np.clip(np.arange(width), axes[1][0], axes[1][-1])
    expected = RegularGridInterpolator(axes, grid)(tuple(np.meshgrid(rows, columns, indexing="ij")))
    drawn = interpolate(values, field, height, width)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=3e-7)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 40), st.integers(0, 90), st.integers(0, 2**32 - 1))
def test_a_cells_own_value_stands_at_its_middle_to_the_last_bit(half, stride, padding, seed):
    field = ReceptiveField(2 * half + 1 + 2 * padding, stride, padding)
    values = np.random.default_rng(seed).random((7, 5)).astype(np.float32)
    drawn = interpolate(values, field, half + 6 * stride + 1, half + 4 * stride + 3)
    assert np.array_equal(drawn[half::stride, half::stride][:7, :5], values)


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.zeros((3, 3, 1)), np.zeros(4)])
def test_what_is_no_map_is_refused(values):
    with pytest.raises(ValueError, match=r"expected \(rows, columns\) with at least one cell, got an array \("):
        interpolate(values, FIELD, 224, 224)


@settings(deadline=None, max_examples=60)
@given(GEOMETRIES, st.integers(1, 300), st.integers(1, 300), st.data())
def test_covered_is_the_union_of_the_cells_windows(field, height, width, data):
    """Also of fewer cells than would fit, and of none."""
    most = field.rows.cells(height), field.columns.cells(width)
    cells = tuple(data.draw(st.integers(0, min(count, 12))) for count in most)
    expected = np.zeros((height, width), bool)
    for row in range(cells[0]):
        for column in range(cells[1]):
            (top, bottom), (left, right) = field.rows.window_span(row), field.columns.window_span(column)
            expected[top:bottom, left:right] = True
    assert np.array_equal(covered(field, cells, height, width), expected)


@pytest.mark.parametrize(
    ("field", "cells", "pixels", "uncovered"),
    [
        pytest.param(FIELD, 6, 384, [], id="the windows end at the border"),
        pytest.param(FIELD, 6, 387, [384, 385, 386], id="a strip is left over"),
        pytest.param(FIELD, 1, 226, [224, 225], id="one cell"),
        pytest.param(ReceptiveField(2, 4, 0), 2, 9, [2, 3, 6, 7, 8], id="windows smaller than the stride leave gaps"),
        pytest.param(ReceptiveField(1, 1, 1), 4, 4, [0, 1, 2, 3], id="cells that see padding alone have no window"),
    ],
)
def test_pixels_that_no_window_covers(field, cells, pixels, uncovered):
    square = covered(field, (cells, cells), pixels, pixels)
    expected = np.ones((pixels, pixels), bool)
    expected[uncovered] = False
    expected[:, uncovered] = False
    assert np.array_equal(square, expected)


def test_rows_and_columns_of_a_heatmap_go_by_their_own_figures():
    field = Geometry(ReceptiveField(3, 2, 0, extra_padding_after=1), ReceptiveField(8, 3, 2))
    values = np.add.outer(np.arange(4.0), 10 * np.arange(3.0))
    spread = interpolate(values, field, 8, 9)
    assert spread.shape == (8, 9)
    # Middles: rows at 1, 3, 5, 7, columns at 1.5, 4.5, 7.5.
    np.testing.assert_allclose(spread[[1, 4, 7], 3], np.array([0, 1.5, 3]) + 5)
    np.testing.assert_allclose(spread[3, [0, 6, 8]], np.array([0, 15, 20]) + 1)
