"""A map drawn on its own: an image of bounded size, in which the highest cell is the brightest square."""

import numpy as np
import pytest

from vggfcn.maps import preview


def drawn(rows, columns, peak):
    """The drawing of a map that is 1 in one cell and 0 in all others."""
    probabilities = np.zeros((rows, columns), np.float32)
    probabilities[peak] = 1
    image = preview.draw(probabilities, "class 2: 1.00")
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


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
    image = drawn(rows, columns, peak)
    top, left, bottom, right = map_area(image)
    assert (bottom - top, right - left) == (rows * side, columns * side)
    bright = image[top:bottom, left:right].sum(-1)
    expected = peak[0] * side, peak[1] * side, (peak[0] + 1) * side, (peak[1] + 1) * side
    assert box_of(bright == bright.max()) == expected
    assert (image[top + expected[0], left + expected[1]] == [0xFD, 0xE7, 0x25]).all()  # the last colour of viridis


def test_in_a_huge_map_no_peak_is_lost_and_the_image_stays_small():
    image = drawn(1000, 3000, (777, 2222))
    assert max(image.shape) < 800
    top, left, bottom, right = map_area(image)
    assert (bottom - top, right - left) == (200, 600)
    bright = image[top:bottom, left:right].sum(-1)
    assert box_of(bright == bright.max()) == (777 // 5, 2222 // 5, 777 // 5 + 1, 2222 // 5 + 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (1, 2000), (2000, 1)])
def test_narrow_maps_are_drawn_with_room_for_words(shape):
    image = drawn(*shape, (shape[0] // 2, shape[1] // 2))
    assert min(image.shape[:2]) >= 120
    assert max(image.shape[:2]) < 800
