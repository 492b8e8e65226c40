"""What a notebook shows of a map: an image of bounded size, in which the highest cell is the brightest square."""

import io

import numpy as np
import pytest
from PIL import Image

from vggfcn.maps import preview
from vggfcn.maps import score_map as scoring
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.maps.score_map import ScoreMap

FIELD = ReceptiveField(404, 32, 90)
NONE, DIGIT = 0, 2


def a_map(rows, columns, peak):
    """Three classes: one that wins in nearly all cells, one that never does, and one that is certain in one cell."""
    logits = np.zeros((rows, columns, 3), np.float32)
    logits[..., NONE] = 8
    logits[peak][DIGIT] = 30
    return ScoreMap(logits, FIELD)


def image_of(scores):
    """The pixels of the PNG that is shown, as a reader of PNGs has them."""
    with Image.open(io.BytesIO(scores._repr_png_())) as png:
        assert (png.format, png.mode) == ("PNG", "RGB")
        return np.asarray(png).astype(int)


def box_of(mask):
    """(top, left, bottom, right) of where a mask holds, the last two excluded."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def map_area(drawn):
    """Where the map is: the first columns that are not white, as far as they are of one colour or another but white."""
    coloured = (drawn != 255).any(-1)
    coloured[:, drawn.shape[1] - 6 * 12 - 12 :] = False  # the scale and its figures, text of 12 pixels
    tall = coloured.sum(1) > 0.9 * coloured.sum(1).max()  # not the title
    return box_of(coloured & tall[:, None])


@pytest.mark.parametrize(
    ("rows", "columns", "peak", "side"),
    [
        pytest.param(4, 8, (1, 6), 80, id="a small map is enlarged, a square of pixels for each cell"),
        pytest.param(24, 34, (14, 15), 18, id="the map of the sample scene"),
        pytest.param(300, 640, (299, 0), 1, id="as many cells as pixels"),
    ],
)
def test_the_peak_is_the_brightest_square_of_the_image(rows, columns, peak, side):
    drawn = image_of(a_map(rows, columns, peak))
    top, left, bottom, right = map_area(drawn)
    assert (bottom - top, right - left) == (rows * side, columns * side)
    bright = drawn[top:bottom, left:right].sum(-1)
    expected = peak[0] * side, peak[1] * side, (peak[0] + 1) * side, (peak[1] + 1) * side
    assert box_of(bright == bright.max()) == expected
    assert (drawn[top + expected[0], left + expected[1]] == [0xFD, 0xE7, 0x25]).all()  # the last colour of viridis


def test_in_a_huge_map_no_peak_is_lost_and_the_image_stays_small(monkeypatch):
    monkeypatch.setattr(scoring, "PART", 30_000)  # in several parts
    drawn = image_of(a_map(1000, 3000, (777, 2222)))
    assert max(drawn.shape) < 800
    top, left, bottom, right = map_area(drawn)
    assert (bottom - top, right - left) == (200, 600)
    bright = drawn[top:bottom, left:right].sum(-1)
    assert box_of(bright == bright.max()) == (777 // 5, 2222 // 5, 777 // 5 + 1, 2222 // 5 + 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (1, 2000), (2000, 1)])
def test_narrow_maps_are_drawn_with_room_for_words(shape):
    drawn = image_of(a_map(*shape, (shape[0] // 2, shape[1] // 2)))
    assert min(drawn.shape[:2]) >= 120
    assert max(drawn.shape[:2]) < 800


def test_the_class_shown_is_one_that_is_somewhere_and_not_everywhere():
    assert a_map(5, 7, (2, 3)).outstanding() == DIGIT


def test_where_nothing_varies_it_is_the_most_probable_class():
    logits = np.zeros((3, 3, 4), np.float32)
    logits[..., 3] = 1
    assert ScoreMap(logits, FIELD).outstanding() == 3
    assert ScoreMap(logits[:1, :1], FIELD).outstanding() == 3


def test_the_title_says_class_probability_place_and_size(monkeypatch):
    titles = []
    drawn = preview.figure.captioned
    monkeypatch.setattr(preview.figure, "captioned", lambda *a, **k: titles.append(a[2]) or drawn(*a, **k))
    logits = np.log(np.array([[[0.9, 0.1], [0.25, 0.75]]], np.float32))
    ScoreMap(logits, FIELD)._repr_png_()
    assert titles == ["class 0: 0.90 at (x, y) = (112, 112); 1 x 2 cells of 2 classes"]


def test_ipython_would_show_it():
    """IPython asks whether an object answers to this name, and not to any name, without arguments, with bytes."""
    scores = a_map(2, 3, (0, 1))
    assert not hasattr(scores, "_ipython_canary_method_should_not_exist_")
    assert not hasattr(scores, "_repr_mimebundle_")
    shown = scores._repr_png_()
    assert isinstance(shown, bytes)
    assert shown.startswith(b"\x89PNG\r\n\x1a\n")
