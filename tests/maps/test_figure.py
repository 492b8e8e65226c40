"""A drawing must show image, heatmap, words and scale in full, and each where it belongs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from vggfcn.maps import figure, overlay

IMAGE = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
LINED = {"contour": 0.1}
TITLES = st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300), st.text(max_size=60))


def place_of(image, drawn):
    """(top, left) of where an image's lower right part is seen in a drawing."""
    part = image[5:, 5:]
    for top, left in np.argwhere((drawn == part[0, 0]).all(-1)):
        if np.array_equal(drawn[top : top + len(part), left : left + part.shape[1]], part):
            return top - 5, left - 5
    raise AssertionError("the image is not there")


def test_the_figure_shows_image_and_heatmap_in_place():
    values = np.zeros((256, 320))
    values[100:120, 200:240] = 1
    drawn = np.asarray(figure.figure(IMAGE, values, "tabby: 0.93", (0, 0, 1, 1)))
    top, left = place_of(IMAGE, drawn)
    right = drawn[top : top + 256, left + 320 + 12 : left + 640 + 12].astype(int)
    lit = np.zeros((256, 320), bool)
    lit[100:120, 200:240] = True
    yellow = right[..., 0] - right[..., 2]  # red minus blue: high at the top of the scale, low at its bottom
    assert yellow[lit].min() > yellow[~lit & (np.indices(lit.shape).min(0) > 5)].max()


def test_the_captioned_overlay_holds_the_overlay_pixel_by_pixel():
    values = np.random.default_rng(1).random((256, 320))
    for options in ({}, {"opacity": 0.3, "contour": 0.9}):
        drawn = np.asarray(figure.captioned(IMAGE, values, "tabby: 0.93", **options))
        place_of(overlay.overlay(IMAGE, values, **options), drawn)


def test_the_window_is_outlined_on_both_images():
    image = np.full((300, 400, 3), 90, np.uint8)
    drawn = np.asarray(figure.figure(image, np.zeros((300, 400)), "", (40, 50, 264, 274)))
    top, left = 24, 12  # The header of a line of 12 pixels, and the gap.
    for start in (left, left + 400 + 12):
        panel = drawn[top : top + 300, start : start + 400]
        assert (panel[50, 40:264] == 255).all()
        assert (panel[273, 40:264] == 255).all()
        assert (panel[50:274, [40, 263]] == 255).all()
        assert (panel[49:275, [39, 264]] == 0).all()
        assert np.ptp(panel[51:273, 41:263], axis=(0, 1)).max() == 0


@settings(deadline=None, max_examples=60)
@given(TITLES, st.sampled_from([(224, 224), (20, 200), (230, 20), (517, 383)]))
def test_no_word_is_cut_off(title, size):
    """Not at the border of the drawing, and not by the image under it."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    drawn = np.asarray(figure.captioned(image, np.full((height, width), np.nan), title))
    margins = drawn[[0, -1]], drawn[:, :8], drawn[:, -2:]
    assert all((margin == 255).all() for margin in margins)
    header = len(drawn) - 12 - height
    assert (drawn[header - 1, : 12 + width] == 255).all()
    assert (drawn[header : header + height, 12 : 12 + width] == 0).all()
    assert (drawn[: header - 8, 14 + width : 24 + width] == 255).all()
    font = ImageFont.load_default(12)
    lines = figure._lines(title, font, width)
    assert all(font.getlength(line) <= width or len(line) == 1 for line in lines)
    if max(map(font.getlength, title.split()), default=0) <= width:
        assert " ".join(lines) == " ".join(title.split())
    else:
        assert "".join(lines).replace(" ", "") == "".join(title.split())


def test_the_scale_bears_the_contours_line_at_its_value():
    image = np.full((300, 400, 3), 128, np.uint8)
    drawn = [np.asarray(figure.captioned(image, np.zeros((300, 400)), "x", **options)) for options in ({}, LINED)]
    changed = np.argwhere((drawn[0] != drawn[1]).any(-1))
    top, left = len(drawn[0]) - 300 - 12, 12 + 400 + 12
    at = top + round(0.9 * 299)
    assert (changed == [(row, column) for row in (at - 1, at) for column in range(left, left + 12)]).all()
    assert (drawn[1][at - 1, left] == 255).all()
    assert (drawn[1][at, left] == 0).all()


def test_a_long_title_takes_more_lines_rather_than_less_room():
    image = np.zeros((224, 224, 3), np.uint8)
    heights = [figure.captioned(image, np.zeros((224, 224)), "tabby " * count).height for count in (1, 20, 200)]
    assert heights[0] < heights[1] < heights[2]


@pytest.mark.parametrize("size", [(224, 224), (2000, 300), (383, 517)])
def test_each_figure_of_the_scale_stands_beside_its_colour(size):
    """Ticks are black on white right of the scale; the scale over mid-grey is the overlay of a ramp."""
    image = np.full((*size, 3), 128, np.uint8)
    drawn = np.asarray(figure.captioned(image, np.zeros(size), "x", opacity=1)).astype(int)
    top, left = drawn.shape[0] - size[0] - 12, 12 + size[1] + 12
    scale = drawn[top : top + size[0], left : left + 12]
    assert np.ptp(scale, axis=1).max() == 0
    ticks = np.flatnonzero((drawn[:, left + 12] == 0).all(-1)) - top
    assert len(ticks) == 5
    for tick, probability in zip(ticks, (1, 0.75, 0.5, 0.25, 0), strict=True):
        strength = 0.45 + 0.55 * probability
        expected = 128 * (1 - strength) + overlay.colorize(np.array(probability)) * strength
        assert np.abs(scale[tick, 0] - expected).max() <= 3


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
