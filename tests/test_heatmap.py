"""A map brought to image size must neither shift nor stretch."""

import numpy as np
import pytest
from PIL import Image

from vggfcn import heatmap
from vggfcn.geometry import ReceptiveField
from vggfcn.scoring import ScoreMap, log_softmax

FIELD = ReceptiveField(404, 32, 90)


def test_the_figure_shows_picture_and_heatmap_in_place():
    image = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
    values = np.zeros((256, 320))
    values[100:120, 200:240] = 1
    drawn = np.asarray(heatmap.figure(image, values, "tabby: 0.93", (0, 0, 1, 1)))
    inner = image[5:, 5:]
    places = np.argwhere((drawn[:60, :60] == inner[0, 0]).all(-1)) - 5
    top, left = next(p for p in places if np.array_equal(drawn[p[0] + 5 :, p[1] + 5 :][: 256 - 5, : 320 - 5], inner))
    right = drawn[top : top + 256, left + 320 + 12 : left + 640 + 12].astype(int)
    lit = np.zeros((256, 320), bool)
    lit[100:120, 200:240] = True
    yellow = right[..., 0] - right[..., 2]  # red minus blue: high at the top of the scale, low at its bottom
    assert yellow[lit].min() > yellow[~lit & (np.indices(lit.shape).min(0) > 5)].max()


def test_colours_run_from_dark_violet_to_yellow_with_rising_lightness():
    colors = heatmap.colorize(np.linspace(0, 1, 101))
    assert tuple(colors[0]) == (68, 1, 84)
    assert tuple(colors[-1]) == (253, 231, 37)
    luminance = colors @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


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


def test_no_half_written_png_is_left_behind(tmp_path, monkeypatch):
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def fail(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        heatmap.write_png(Image.new("RGB", (2, 2)), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_log_softmax_against_its_definition():
    logits = np.random.default_rng(0).normal(0, 5, (3, 4, 7)).astype(np.float32)
    expected = np.log(np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_softmax(logits), expected, rtol=1e-12)
    assert log_softmax(np.array([1000.0, 0.0]))[0] == 0
