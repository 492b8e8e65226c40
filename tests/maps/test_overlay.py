"""A heatmap's colours must lie where its values are, and say no more than they do."""

import numpy as np
import pytest
from PIL import Image

from vggfcn.maps import figure, overlay
from vggfcn.maps import score_map as scoring
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.maps.score_map import ScoreMap, log_softmax

FIELD = ReceptiveField(404, 32, 90)


IMAGE = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)


def test_colours_run_from_dark_violet_to_yellow_with_rising_lightness():
    colors = overlay.colorize(np.linspace(0, 1, 101))
    assert tuple(colors[0]) == (68, 1, 84)
    assert tuple(colors[-1]) == (253, 231, 37)
    luminance = colors @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_colours_against_interpolation_between_the_published_ones():
    values = np.random.default_rng(0).random((40, 50))
    anchors = [bytes.fromhex(color) for color in overlay._VIRIDIS.split()]
    expected = [np.interp(values, np.linspace(0, 1, 17), [color[channel] for color in anchors]) for channel in range(3)]
    assert np.abs(overlay.colorize(values) - np.stack(expected, -1)).max() <= 0.75


@pytest.mark.parametrize("opacity", [0.01, 0.4, overlay.OPACITY, 1.0])
def test_overlay_against_its_definition(opacity):
    values = np.random.default_rng(1).random((256, 320)).astype(np.float32)
    values[:10], values[10:20], values[:, 300:] = 0, 1, np.nan
    grey = (IMAGE @ np.array([0.299, 0.587, 0.114]))[..., None]
    strength = np.nan_to_num(opacity * (0.45 + 0.55 * values))[..., None]
    strength[:, 300:] = 0
    expected = grey * (1 - strength) + overlay.colorize(np.nan_to_num(values)) * strength
    drawn = overlay.overlay(IMAGE, values, opacity=opacity)
    assert drawn.dtype == np.uint8
    assert np.abs(drawn - expected).max() <= 1.6  # Pillow's grey is whole numbers, and so is what is drawn.
    assert (np.ptp(drawn[:, 300:], axis=-1) == 0).all()
    if opacity == 1:
        assert (drawn[10:20, :300] == (253, 231, 37)).all()


def test_a_contour_lies_between_what_is_above_and_what_is_below():
    """A disc of a known radius, on an image of noise; the line is nowhere else."""
    rows, columns = np.indices((256, 320)) - np.array([120.3, 150.7])[:, None, None]
    distance = np.hypot(rows, columns)
    values = np.clip(1 - distance / 160, 0, 1)
    plain, lined = overlay.overlay(IMAGE, values), overlay.overlay(IMAGE, values, contour=0.5)
    changed = (plain != lined).any(-1)
    assert (lined[changed & (values >= 0.5)] == 255).all()
    assert (lined[changed & (values < 0.5)] == 0).all()
    assert np.abs(distance[changed] - 80).max() <= 1
    for angle in np.linspace(0, 2 * np.pi, 721):  # It is closed.
        ray = np.array([[120.3], [150.7]]) + np.outer([np.sin(angle), np.cos(angle)], np.arange(77, 83, 0.25))
        assert changed[tuple(np.rint(ray).astype(int))].any()


def test_a_contour_does_not_follow_the_border_of_what_is_known():
    values = np.full((256, 320), 0.9)
    values[:, 300:] = np.nan
    values[:, :10] = 0.1
    lined = overlay.overlay(IMAGE, values, contour=0.5)
    changed = (lined != overlay.overlay(IMAGE, values)).any((0, 2))
    assert np.flatnonzero(changed).tolist() == [9, 10]


def test_a_contour_is_wider_on_a_large_image():
    values = np.zeros((1200, 1300))
    values[:, 650:] = 1
    image = np.full((1200, 1300, 3), 90, np.uint8)
    changed = (overlay.overlay(image, values, contour=0.5) != overlay.overlay(image, values)).any((0, 2))
    assert np.flatnonzero(changed).tolist() == list(range(647, 653))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opacity": 0}, "opacity: expected more than 0 and at most 1, got 0"),
        ({"opacity": 1.5}, "opacity: expected more than 0 and at most 1, got 1.5"),
        ({"opacity": float("nan")}, "opacity: expected more than 0 and at most 1, got nan"),
        ({"contour": 0}, "contour: expected a probability between 0 and 1, both excluded, got 0"),
        ({"contour": 1}, "contour: expected a probability between 0 and 1, both excluded, got 1"),
        ({"values": np.zeros((3, 4))}, r"expected the image's height and width, \(256, 320\), got \(3, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    arguments = {"values": np.zeros((256, 320)), **options}
    with pytest.raises(ValueError, match=message):
        overlay.overlay(IMAGE, **arguments)


def test_peak_score_and_best_class():
    logits = np.zeros((4, 5, 3), np.float32)
    logits[..., 2] = 1  # background everywhere
    scores = ScoreMap(logits.copy(), FIELD)
    assert scores.best(background=2) == 2
    logits[1, 3, 0] = 40
    logits[2, 2, 0] = 50  # both probabilities round to 1
    scores = ScoreMap(logits, FIELD)
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
    monkeypatch.setattr(scoring, "PART", part)
    scores = ScoreMap(logits, ReceptiveField(404, 32, 90))
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
    scores = ScoreMap(logits, ReceptiveField(404, 32, 90))
    monkeypatch.setattr(scoring, "PART", 6)
    assert scores.best(background=1) == 1
    logits[-1, -1] = [1, 0]
    assert (scores.best(), scores.best(background=1)) == (1, 0)


def test_no_half_written_png_is_left_behind(tmp_path, monkeypatch):
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def fail(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        figure.write_png(Image.new("RGB", (2, 2)), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_log_softmax_against_its_definition():
    logits = np.random.default_rng(0).normal(0, 5, (3, 4, 7)).astype(np.float32)
    expected = np.log(np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_softmax(logits), expected, rtol=1e-12)
    assert log_softmax(np.array([1000.0, 0.0]))[0] == 0
