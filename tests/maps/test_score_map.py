"""Score maps: probabilities of classes and groups, the best cells, and where cells lie on the image."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vggfcn.maps import preview, score_map
from vggfcn.maps.activations import log_probabilities
from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.maps.score_map import ScoreMap

VGG = ReceptiveField(404, 32, 90)
FLAT = Geometry(ReceptiveField(3, 2, 0, extra_padding_after=1), ReceptiveField(8, 3, 2))
FIELD = ReceptiveField(224, 32, 0)
LOGITS = st.floats(-80, 80, width=32)


def test_log_softmax_against_its_definition():
    logits = np.random.default_rng(0).normal(0, 5, (3, 4, 7)).astype(np.float32)
    expected = np.log(np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_probabilities(logits), expected, rtol=1e-12)
    assert log_probabilities(np.array([1000.0, 0.0]))[0] == 0


@settings(deadline=None)
@given(arrays.arrays(np.float32, (2, 3, 6), elements=LOGITS), st.lists(st.integers(0, 5), min_size=1))
def test_the_probability_of_any_of_several_is_the_sum_of_theirs(logits, classes):
    found = ScoreMap(logits, FIELD).log_probability(classes)
    assert (found.dtype, found.shape) == (np.float64, (2, 3))
    for row, column in np.ndindex(2, 3):
        terms = [math.exp(float(logit)) for logit in logits[row, column]]
        expected = math.fsum(terms[index] for index in set(classes)) / math.fsum(terms)
        assert math.isclose(math.exp(found[row, column]), expected, rel_tol=1e-11)


@pytest.mark.parametrize("classes", [3, (3,), [3, 3], np.int64(3), np.array([3])], ids=repr)
def test_one_class_has_exactly_its_log_softmax(classes):
    logits = np.random.default_rng(0).normal(0, 20, (4, 5, 6)).astype(np.float32)
    scores = ScoreMap(logits, FIELD)
    np.testing.assert_array_equal(scores.log_probability(classes), log_probabilities(logits)[..., 3])


def test_probabilities_that_round_to_one_stay_apart_for_groups_too():
    logits = np.zeros((1, 2, 4), np.float32)
    logits[0, 0, :2], logits[0, 1, :2] = 50, 60
    found = ScoreMap(logits, FIELD).log_probability((0, 1))
    np.testing.assert_allclose(found, [[-math.exp(-50), -math.exp(-60)]], rtol=1e-12)
    assert (np.exp(found) == 1).all()
    assert ScoreMap(logits, FIELD).peak((0, 1)) == (0, 1)
    assert (ScoreMap(logits, FIELD).log_probability(range(4)) == 0).all()


def test_a_group_peaks_where_its_members_have_most_together():
    probabilities = np.array([[[0.6, 0.0, 0.4], [0.45, 0.35, 0.2], [0.1, 0.7, 0.2]]]) + 1e-9
    scores = ScoreMap(np.log(probabilities).astype(np.float32), FIELD)
    assert [scores.peak(classes) for classes in (0, 1, (0, 1))] == [(0, 0), (0, 2), (0, 1)]
    drawn = scores.heatmap((0, 1), 224, 288)
    np.testing.assert_allclose(drawn[100, [111, 143, 144, 176]], [0.6, 0.796875, 0.8, 0.8], atol=4e-3)


@pytest.mark.parametrize("classes", [(), 6, -1, (0, 6), (-1, 5)], ids=repr)
def test_classes_that_a_map_does_not_have(classes):
    scores = ScoreMap(np.zeros((1, 1, 6), np.float32), FIELD)
    message = f"classes: expected at least one, each from 0 to 5, got {classes}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        scores.log_probability(classes)


def test_peak_score_and_best_class():
    logits = np.zeros((4, 5, 3), np.float32)
    logits[..., 2] = 1  # background everywhere
    scores = ScoreMap(logits.copy(), VGG)
    assert scores.best(background=2) == 2
    logits[1, 3, 0] = 40
    logits[2, 2, 0] = 50  # both probabilities round to 1
    scores = ScoreMap(logits, VGG)
    assert scores.best(background=2) == 0
    assert scores.peak(0) == (2, 2)
    assert scores.center(2, 2) == (175.5, 175.5)
    drawn = scores.heatmap(0, 350, 400)
    assert drawn[175:177, 175:177].min() > 0.95
    assert np.argwhere(~scores.covered(321, 352)).tolist() == [[320, column] for column in range(352)]


@pytest.mark.parametrize("part", [1, 35, 100, 1 << 22])
def test_a_map_in_parts_says_what_the_whole_map_says(monkeypatch, part):
    """A row of 7 cells of 5 classes takes 35 values: parts of one row, of two, and all five rows together."""
    logits = np.random.default_rng(0).normal(0, 3, (5, 7, 5)).astype(np.float32)
    logits[..., 3] += 6  # wins in most cells, not in all
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True)
    monkeypatch.setattr(score_map, "PART", part)
    scores = ScoreMap(logits, VGG)
    parts = list(scores.parts())
    assert [len(rows) for rows in parts] == {1: [1] * 5, 35: [1] * 5, 100: [2, 2, 1], 1 << 22: [5]}[part]
    np.testing.assert_array_equal(np.concatenate(parts), logits)
    highest = probabilities.max((0, 1))
    assert scores.best() == highest.argmax() == 3
    assert scores.best(background=3) == np.where(np.arange(5) == 3, 0, highest).argmax()
    assert scores.outstanding() == (highest - probabilities.mean((0, 1))).argmax()
    for classes in (2, (0, 4)):
        expected = probabilities[..., np.atleast_1d(classes)].sum(-1)
        np.testing.assert_allclose(np.exp(scores.log_probability(classes)), expected, rtol=1e-12)
        assert scores.peak(classes) == np.unravel_index(expected.argmax(), expected.shape)


def test_a_background_that_loses_only_in_the_last_part_is_not_the_answer(monkeypatch):
    logits = np.zeros((4, 3, 2), np.float32)
    logits[..., 1] = 9
    scores = ScoreMap(logits, VGG)
    monkeypatch.setattr(score_map, "PART", 6)
    assert scores.best(background=1) == 1
    logits[-1, -1] = [1, 0]
    assert (scores.best(), scores.best(background=1)) == (1, 0)


def test_the_outstanding_class_is_one_that_is_somewhere_and_not_everywhere():
    logits = np.zeros((5, 7, 3), np.float32)
    logits[..., 0] = 8  # A background, which wins in nearly all cells.
    logits[2, 3, 2] = 30
    assert ScoreMap(logits, VGG).outstanding() == 2


def test_where_nothing_varies_it_is_the_most_probable_class():
    logits = np.zeros((3, 3, 4), np.float32)
    logits[..., 3] = 1
    assert ScoreMap(logits, VGG).outstanding() == 3
    assert ScoreMap(logits[:1, :1], VGG).outstanding() == 3


def test_the_title_says_class_probability_place_and_size(monkeypatch):
    titles = []
    drawn = preview.figure.captioned
    monkeypatch.setattr(preview.figure, "captioned", lambda *a, **k: titles.append(a[2]) or drawn(*a, **k))
    logits = np.log(np.array([[[0.9, 0.1], [0.25, 0.75]]], np.float32))
    ScoreMap(logits, VGG)._repr_png_()
    assert titles == ["class 0: 0.90 at (x, y) = (112, 112); 1 x 2 cells of 2 classes"]


def test_a_notebook_would_show_it():
    """IPython asks an object for this name, without arguments, but not for any name."""
    logits = np.zeros((2, 3, 3), np.float32)
    scores = ScoreMap(logits, VGG)
    assert not hasattr(scores, "_ipython_canary_method_should_not_exist_")
    assert not hasattr(scores, "_repr_mimebundle_")
    shown = scores._repr_png_()
    assert isinstance(shown, bytes)
    assert shown.startswith(b"\x89PNG\r\n\x1a\n")


def test_a_map_knows_windows_boxes_and_centers():
    scores = ScoreMap(np.zeros((5, 7, 2), np.float32), VGG)
    assert scores.window(1, 3) == (96, 32, 320, 256)
    assert scores.box(1, 3) == (6, -58, 410, 346)
    assert scores.center(1, 3) == (207.5, 143.5)
    other = ScoreMap(np.zeros((5, 7, 2), np.float32), FLAT)
    assert other.window(1, 3) == (9, 2, 13, 4)
    assert other.box(1, 3) == (7, 2, 15, 5)
    assert other.center(1, 3) == (10.5, 3)


@pytest.mark.parametrize("field", [VGG, FLAT])
def test_the_cell_under_a_pixel_is_the_nearest(field):
    scores = ScoreMap(np.zeros((5, 7, 2), np.float32), field)
    centers = {(row, column): scores.center(row, column) for row in range(5) for column in range(7)}
    for x, y in np.random.default_rng(0).uniform(-20, 400, (200, 2)):
        distances = {cell: (x - u) ** 2 + (y - v) ** 2 for cell, (u, v) in centers.items()}
        assert scores.cell_at(x, y) == min(distances, key=distances.__getitem__)


def test_the_answer_of_a_class_activation_map_is_the_largest_mean():
    """Not the largest cell, and not the zeros that stand for "not" where a network has a single unit."""
    values = np.zeros((1, 3, 3), np.float32)
    values[..., 1], values[..., 2] = [[9, -9, -9]], [[-1, -1, -1]]
    assert ScoreMap(values, FIELD, activation="none").most_activated() == 2
    assert ScoreMap(values[..., :2], FIELD, activation="none").most_activated() == 1


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_scores_and_what_follows_from_them(activation):
    logits = np.random.default_rng(0).normal(0, 3, (4, 5, 6)).astype(np.float32)
    scores = ScoreMap(logits, FIELD, activation=activation)
    values = logits.astype(float)
    if activation == "softmax":
        values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    elif activation == "sigmoid":
        values = 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(scores.score(2), values[..., 2], rtol=1e-12)
    several = values[..., [1, 4]].sum(-1) if activation == "softmax" else values[..., [1, 4]].max(-1)
    np.testing.assert_allclose(scores.score((1, 4)), several, rtol=1e-12)
    assert scores.peak((1, 4)) == np.unravel_index(several.argmax(), several.shape)
    assert scores.best() == values.max((0, 1)).argmax()
    assert scores.outstanding() == (values.max((0, 1)) - values.mean((0, 1))).argmax()
    scale = scores.scale(2)
    expected = (0, 1) if activation != "none" else (values[..., 2].min(), values[..., 2].max())
    assert (scale.low, scale.high) == pytest.approx(expected)
    assert activation in repr(scores)
    assert scores._repr_png_().startswith(b"\x89PNG")
