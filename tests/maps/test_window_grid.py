"""Grids of windows, counted by hand and by trying every window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggfcn.maps.window_grid import WindowGrid

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def test_by_hand():
    grid = WindowGrid((224, 200), (32, 16))
    assert grid.cells(121) == (11, 11)
    assert grid.cells(121, (224 + 3 * 32 + 31, 10_000)) == (4, 30)
    assert grid.cells(121, (10_000, 200)) == (121, 1)
    assert grid.size((4, 30)) == (320, 664)
    assert list(grid.parts((1, 2))) == [(slice(0, 224), slice(0, 200)), (slice(0, 224), slice(16, 216))]


@pytest.mark.parametrize(("most", "expected"), [(1, (1, 1)), (2, (2, 1)), (5, (2, 2)), (12, (4, 3)), (400, (20, 20))])
def test_as_square_as_can_be(most, expected):
    assert WindowGrid((8, 8), (4, 4)).cells(most) == expected


@given(SIDES, SIDES, st.tuples(st.integers(0, 90), st.integers(0, 90)), st.integers(1, 400))
def test_all_windows_lie_on_the_image_and_no_budget_is_exceeded(window, stride, extra, most):
    grid, size = WindowGrid(window, stride), (window[0] + extra[0], window[1] + extra[1])
    cells = grid.cells(most, size)
    assert 1 <= cells[0] * cells[1] <= most
    parts = list(grid.parts(cells))
    assert len(parts) == cells[0] * cells[1]
    assert (max(rows.stop for rows, _ in parts), max(columns.stop for _, columns in parts)) == grid.size(cells)
    assert all(needed <= side for needed, side in zip(grid.size(cells), size, strict=True))
