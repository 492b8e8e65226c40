"""The schedule of rows: simulated row by row, with absolute positions that the schedule itself does not know."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writers import MICRO

import vggfcn
from vggfcn.graph.kernels import Kernel1D
from vggfcn.streaming.flat_graph import flatten
from vggfcn.streaming.schedule import Block, Link, RowPlan, Scheduled, View

SAME = Kernel1D(3, before=1, after=1)
HALF = Kernel1D(2, stride=2)


def rows_of(kernel, row):
    """Every row that one row of the output lies over, from the first that is read to the last."""
    first = kernel.stride * row - kernel.before
    return range(first, first + (kernel.kernel - 1) * kernel.dilation + 1)


def test_a_padded_convolution_and_a_pool_by_hand():
    plan = RowPlan((Link((0,), 1, SAME), Link((1,), 2, HALF)), (8, 8, 4), output=2, stride=2)
    first, middle, last = plan.schedule(2)
    # An output row needs two rows of the convolution, and these three of the image and one of padding.
    views = ((View(0, 3, 1, 0),), (View(0, 2, 0, 0),))
    # The convolution reads the image's last two rows again; the pool has found its pair.
    assert first == Scheduled(Block((0, 0, 0), (3, 2, 1), (1, 2, 1), views), (0, 3), (0, 1))
    views = ((View(0, 6, 0, 0),), (View(0, 4, 0, 0),))
    assert middle == Scheduled(Block((2, 0, 0), (4, 4, 2), (4, 4, 2), views), (3, 7), (1, 3))
    views = ((View(0, 3, 0, 1),), (View(0, 2, 0, 0),))
    assert last == Scheduled(Block((2, 0, 0), (1, 2, 1), (3, 2, 1), views), (7, 8), (3, 4))


def test_needed_rows_by_hand():
    plan = RowPlan((Link((0,), 1, SAME), Link((1,), 2, HALF)), (8, 8, 4), output=2, stride=2)
    assert plan.needed(1, 3) == {2: (1, 3), 1: (2, 6), 0: (1, 7)}
    assert plan.needed(0, 4) == {2: (0, 4), 1: (0, 8), 0: (0, 8)}


@st.composite
def plans(draw):
    """Chains and branches of up to six layers on an image of up to 40 rows."""
    heights, strides, links = [draw(st.integers(1, 40))], [1], []
    for _ in range(draw(st.integers(1, 6))):
        source = draw(st.integers(0, len(heights) - 1))
        alike = [number for number in range(len(heights)) if (heights[number], strides[number]) ==
                 (heights[source], strides[source]) and number != source]  # fmt: skip
        if alike and draw(st.booleans()):
            sources, kernel = (source, draw(st.sampled_from(alike))), Kernel1D()
        else:
            sizes = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
            sources, kernel = (source,), Kernel1D(*sizes, draw(st.integers(-2, 4)), draw(st.integers(-2, 4)))
        height = kernel.cells(heights[source])
        if height > 0:
            links.append(Link(sources, len(heights), kernel))
            heights.append(height)
            strides.append(strides[source] * kernel.stride)
    needed, leading = {len(heights) - 1}, []
    for link in reversed(links):
        if link.target in needed:
            leading.insert(0, link)
            needed.update(link.sources)
    return RowPlan(tuple(leading), tuple(heights), len(heights) - 1, strides[-1])


def read_rows(positions, view):
    """What a view shows, as absolute positions; padding is None."""
    return [None] * view.above + positions[view.start : view.stop] + [None] * view.below


@settings(deadline=None)
@given(plans(), st.integers(1, 5))
def test_each_row_is_made_once_from_the_very_rows_that_it_lies_over(plan, cells):
    held = [[] for _ in plan.heights]  # the absolute positions of the rows in memory
    made = [0] * len(plan.heights)
    given_out = []
    for scheduled in plan.schedule(cells):
        block = scheduled.block
        assert tuple(map(len, held)) == block.kept
        for number, count in enumerate(block.made):
            held[number] += range(made[number], made[number] + count)
        assert scheduled.image_rows == (made[0], made[0] + block.made[0])
        given_out += range(*scheduled.output_rows)
        for link, views in zip(plan.links, block.views, strict=True):
            rows = range(made[link.target], made[link.target] + block.made[link.target])
            assert len(views) == (len(link.sources) if rows else 0)
            for source, view in zip(link.sources, views, strict=bool(rows)):
                wanted = range(rows_of(link.kernel, rows[0])[0], rows_of(link.kernel, rows[-1])[-1] + 1)
                there = [row if 0 <= row < plan.heights[source] else None for row in wanted]
                assert read_rows(held[source], view) == there
        for number, count in enumerate(block.dropped):
            held[number] = held[number][count:]
        made = [before + count for before, count in zip(made, block.made, strict=True)]
    assert given_out == list(range(plan.heights[plan.output]))


@settings(deadline=None)
@given(plans(), st.data())
def test_needed_rows_are_those_that_rows_lie_over(plan, data):
    total = plan.heights[plan.output]
    first = data.draw(st.integers(0, total - 1))
    last = data.draw(st.integers(first + 1, total))
    seen = {plan.output: set(range(first, last))}
    for link in reversed(plan.links):
        for source, row in itertools.product(link.sources, seen.get(link.target, ())):
            inside = (position for position in rows_of(link.kernel, row) if 0 <= position < plan.heights[source])
            seen.setdefault(source, set()).update(inside)
    needed = plan.needed(first, last)
    for number, rows in seen.items():
        assert not rows or (needed[number][0] <= min(rows) and max(rows) < needed[number][1])


def test_rows_that_are_kept_are_few_whatever_the_height():
    plan = flatten(vggfcn.build(MICRO, weights=None), (1600, 224)).plan()
    blocks = [scheduled.block for scheduled in plan.schedule(2)]
    middle = max(set(blocks), key=blocks.count)
    assert blocks.count(middle) > 15
    assert len(set(blocks)) < 9
    # Two rows before each 3 x 3 convolution, six before fc6; pools find their pairs complete.
    kept = [rows for rows in middle.kept if rows]
    assert (kept.count(2), kept.count(6)) == (13, 1)
    assert len(kept) == 14
    assert all(view.above == view.below == 0 for views in middle.views for view in views)


@pytest.mark.parametrize("cells", [1, 3, 100])
def test_rows_of_the_image_that_no_cell_sees_are_not_read(cells):
    plan = RowPlan((Link((0,), 1, Kernel1D(2, stride=4)),), (11, 3), output=1, stride=4)
    assert list(plan.schedule(cells))[-1].image_rows[1] == 10
