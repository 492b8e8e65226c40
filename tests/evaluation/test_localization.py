"""Where a class is: places in pixels of the original, held against a network whose answer is known."""

import dataclasses

import numpy as np
import pytest
from quarters import NAMES, quarters

from vggfcn.errors import ImageError
from vggfcn.evaluation import localization
from vggfcn.evaluation.localization import demand, localize
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels
from vggfcn.maps.score_map import ScoreMap


@pytest.fixture(scope="module")
def model():
    return quarters().build("conv")


def lit(height, width, top, left, side=4, value=2):
    """A black image with a square in it: so dark that no probability is all but 1."""
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = value
    return image


def test_a_square_is_found_where_it_is(model):
    found = localize(quarters(), model, lit(24, 40, 16, 24), Group("lower left", (2,)), 40)
    # It is the lower left quarter of the window whose corner is row 12, column 24: cell (3, 6).
    assert (found.cell, found.peak, found.map_shape) == ((3, 6), (28, 16), (5, 9, 4))
    assert found.score == pytest.approx(np.exp(2) / (np.exp(2) + 3))
    assert found.title == "lower left: 0.71"
    assert (found.original_size, found.evaluated_size) == ((24, 40), (40, 24))
    assert found.placement.scale == (1, 1)


def test_places_are_those_of_the_original_however_the_image_was_resized(model):
    found = localize(quarters(), model, lit(48, 80, 32, 48, side=8), Group("lower left", (2,)), 40)
    assert (found.cell, found.evaluated_size, found.original_size) == ((3, 6), (40, 24), (48, 80))
    assert found.placement.scale == (2, 2)
    # The cell's centre is at (27.5, 15.5) of the copy: between pixels 55 and 56, and 31 and 32, of the original.
    assert (found.peak[0] in (55, 56), found.peak[1] in (31, 32)) == (True, True)
    score = found.best_cell_score()
    assert (score.window, score.box) == ((24, 12, 32, 20), (48, 24, 64, 40))
    enlarged = localize(quarters(), model, lit(4, 6, 0, 0, side=2), Group("upper left", (0,)), 40)
    assert enlarged.evaluated_size == (12, 8)
    assert enlarged.best_cell_score().box == pytest.approx((0, 0, 4, 4))


def test_scores_of_a_cell_and_of_a_group(model):
    found = localize(quarters(), model, lit(24, 40, 16, 24), Group("left", (0, 2)), 40)
    # Cell (3, 6) has its middle at (27.5, 15.5); its logits are 0, 0, 2 and 0.
    score = found.cell_score(29, 17)
    assert score.cell == (3, 6)
    assert score.logit == pytest.approx(np.log(1 + np.exp(2)), abs=1e-6)
    assert score.score == pytest.approx((1 + np.exp(2)) / (3 + np.exp(2)))
    assert found.cell_score(0, 0).score == pytest.approx(1 / 2)


def test_another_group_needs_no_second_evaluation(model, monkeypatch):
    found = localize(quarters(), model, lit(24, 40, 16, 24), Group("lower left", (2,)), 40)
    monkeypatch.setattr(localization, "score_map", None)
    other = found.about(Group("upper left", (0,)))
    assert (other.cell, other.scores) == ((4, 6), found.scores)


def test_without_a_group_it_is_the_most_confident_class_but_no_background(model):
    image = lit(24, 40, 16, 20)
    image[:4, :4] = 1
    assert localize(quarters(), model, image, None, 40).group.name == "upper left"
    labels = Labels((("none",), *((name,) for name in NAMES[1:])))
    assert labels.background == 0
    assert localize(dataclasses.replace(quarters(), labels=labels), model, image, None, 40).group.name == "upper right"


def test_heatmaps_have_holes_where_no_window_reaches(model):
    found = localize(quarters(), model, lit(8, 14, 0, 0), Group("upper left", (0,)), 40)
    covered = found.covered_heatmap()
    assert found.heatmap().shape == (8, 14)
    # Windows at columns 0 and 4 end at 12.
    np.testing.assert_array_equal(np.isnan(covered), np.broadcast_to(np.arange(14) >= 12, (8, 14)))
    np.testing.assert_array_equal(covered[:, :12], found.heatmap()[:, :12])
    assert found.heatmap()[3, 3] == pytest.approx(np.exp(2) / (np.exp(2) + 3))


@pytest.mark.parametrize(
    ("size", "max_side", "options", "pixels", "cells"),
    [
        pytest.param((24, 40), 40, {}, 24 * 40, 5 * 9, id="as it is"),
        pytest.param((48, 80), 40, {}, 24 * 40, 5 * 9, id="shrunk"),
        pytest.param((4, 6), 40, {}, 8 * 12, 1 * 2, id="enlarged to a window"),
        pytest.param((24, 40), 40, {"output_stride": 2}, 24 * 40, 9 * 17, id="at a finer stride"),
        pytest.param((24, 40), 40, {"scales": (1.0, 2.0)}, 48 * 80, 11 * 19, id="at two scales"),
    ],
)
def test_demand_by_hand(size, max_side, options, pixels, cells):
    needed = demand(quarters(), size, max_side, **options)
    assert dataclasses.astuple(needed) == (pixels, cells * 4 * 4)


def test_refuses_an_image_that_is_too_narrow(model):
    message = "the image has 100 x 2 pixels, and a window 8 x 8; .* crop the image"
    with pytest.raises(ImageError, match=message):
        demand(quarters(), (2, 100), 40)
    with pytest.raises(ImageError, match=message):
        localize(quarters(), model, lit(2, 100, 0, 0), None, 40)


def test_passes_reach_score_map(model):
    found = localize(quarters(), model, lit(24, 40, 16, 24), Group("lower left", (2,)), 40, scales=(2.0,))
    assert isinstance(found.scores, ScoreMap)
    assert found.map_shape == (11, 19, 4)
