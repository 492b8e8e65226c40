"""Images brought to the size and the channels that a network takes, and points followed along."""

import re

import numpy as np
import pytest
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import resizing


@pytest.mark.parametrize(
    ("size", "window", "largest", "expected"),
    [
        pytest.param((300, 400), (224, 224), 1280, (300, 400), id="fits: left alone"),
        pytest.param((600, 800), (224, 224), 320, (240, 320), id="too large: shrunk"),
        pytest.param((100, 50), (224, 224), 1280, (448, 224), id="too small: enlarged to a window"),
        pytest.param((300, 3000), (224, 224), 1280, (224, 2240), id="a window comes before the limit"),
        pytest.param((100, 50), (100, 40), 1280, (100, 50), id="a window that is no square fits"),
        pytest.param((100, 50), (40, 100), 1280, (200, 100), id="enlarged to a wide window"),
        pytest.param((600, 800), (300, 100), 320, (300, 400), id="a tall window comes before the limit"),
    ],
)
def test_fit(size, window, largest, expected):
    image = np.zeros((*size, 3), np.uint8)
    fitted = resizing.fit(image, window, largest)
    assert fitted.shape == (*expected, 3)
    assert (fitted is image) == (size == expected)


@pytest.mark.parametrize("size", [(224, 224), (225, 224), (480, 640), (640, 480), (30, 500)])
def test_center_crop_takes_the_middle(size):
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 2 - size[0] // 10 : size[0] // 2 + size[0] // 10 + 1, :, 0] = 255
    crop = resizing.center_crop(image, (224, 224))
    assert crop.shape == (224, 224, 3)
    lit = np.flatnonzero(crop[:, 112, 0] > 127)
    assert abs(lit.mean() - 111.5) < 1 + 0.5 * 224 / min(size)


@pytest.mark.parametrize(
    ("window", "rows", "columns"),
    [((4, 8), (8, 12), (0, 8)), ((8, 4), (2, 18), (0, 8)), ((20, 8), (0, 20), (0, 8)), ((6, 6), (6, 14), (0, 8))],
)
def test_a_crop_has_the_proportions_of_the_window(window, rows, columns):
    """An image of 20 x 8 pixels: by hand, which of its pixels are the largest part of these proportions."""
    image = np.random.default_rng(0).integers(0, 256, (20, 8, 3), np.uint8)
    crop = resizing.center_crop(image, window)
    np.testing.assert_array_equal(crop, resizing.resize_to(image[slice(*rows), slice(*columns)], *window))


def test_grey_for_networks_of_one_channel():
    """Rec. 601's weights, to within the rounding of one grey level."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    grey = resizing.with_channels(image, 1)
    assert (grey.shape, grey.dtype) == ((5, 7, 1), np.uint8)
    expected = image.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(grey[..., 0] - expected).max() <= 1
    assert resizing.with_channels(image, 3) is image


def test_points_go_back_to_the_image_they_came_from():
    small, large = (100, 200), (400, 800)
    assert resizing.rescale_between((0, 0), small, small) == (0, 0)
    assert resizing.rescale_between((99.5, 49.5), small, large) == (400, 200)  # middle to middle: 399.5, 199.5
    assert resizing.rescale_between((399.5, 199.5), large, small) == (100, 50)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        pytest.param((2, 3000), "the image has 3000 x 2 pixels, and a window 224 x 224; to enlarge it", id="wide"),
        pytest.param((3000, 187), "at most 16 times the shorter: crop the image", id="just too tall"),
    ],
)
def test_narrow_images_are_not_enlarged_beyond_measure(size, message):
    with pytest.raises(ImageError, match=re.escape(message)):
        resizing.fit(np.zeros((*size, 3), np.uint8), (224, 224), 1280)
    assert resizing.fitting_size((3000, 224), (224, 224), 4000) == (3000, 224)
    assert resizing.fitting_size((16 * 100, 100), (224, 224), 1280) == (16 * 224, 224)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_ramp_stays_a_ramp_whatever_its_size(dtype):
    """Pixel i of n covers [i / n, (i + 1) / n] of the side, so a ramp keeps its values at these positions."""
    ramp = lambda pixels: (np.arange(pixels) + 0.5) / pixels * 240  # noqa: E731
    image = np.broadcast_to(ramp(60)[:, None, None], (60, 9, 1)).astype(dtype)
    for pixels in (30, 90):
        resized = resizing.resize_to(image, pixels, 9)
        assert (resized.shape, resized.dtype) == ((pixels, 9, 1), dtype)
        inner = slice(pixels // 10, -pixels // 10)  # The border has no pixels beyond it to interpolate with.
        np.testing.assert_allclose(resized[inner, 4, 0], ramp(pixels)[inner], atol=2.1 if dtype == np.uint8 else 0.05)


def test_interpolation_does_not_leave_the_range_of_pixels():
    edge = np.zeros((8, 8, 1), np.float32)
    edge[:, 4:] = 255
    resized = resizing.resize(edge, 5)
    assert resized.shape == (40, 40, 1)
    assert (resized.min(), resized.max()) == (0, 255)


def test_values_that_are_no_pixels_keep_their_range():
    """What a network that prepares nothing takes, from -1 to 1: nothing below 0 may be cut off."""
    edge = np.full((8, 8, 1), -1, np.float32)
    edge[:, 4:] = 1
    resized = resizing.resize(edge, 5)
    assert (resized.min(), resized.max()) == (-1, 1)


def test_a_point_is_followed_to_where_resizing_puts_it():
    """One bright pixel of an image that is shrunk: its middle is found again in the original."""
    original = np.zeros((900, 1300, 3), np.uint8)
    original[600:603, 801:804] = 255
    small = np.asarray(Image.fromarray(original).resize((517, 383), Image.Resampling.BOX))[..., 0].astype(float)
    row, column = (np.average(index, weights=small) for index in np.indices(small.shape))
    assert resizing.rescale_between((column, row), small.shape, original.shape[:2]) == (802, 601)
