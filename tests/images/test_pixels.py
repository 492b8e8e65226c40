"""Images of Python users: everything that holds the same picture gives the same pixels, and the rest is refused."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import pixels
from vggfcn.images.arrays import ArraySource
from vggfcn.images.pixels import check_range, is_batch, pixels_of

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]


@pytest.fixture
def png(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_the_same_picture_in_any_form(png):
    for image in (RGB, Image.fromarray(RGB), tf.constant(RGB), png, str(png), RGB.astype(np.int64), RGB.tolist()):
        if isinstance(image, list):
            image = np.array(image)
        np.testing.assert_array_equal(pixels_of(image, 3), RGB)
    np.testing.assert_array_equal(pixels_of(GREY, 1), GREY[..., None])
    np.testing.assert_array_equal(pixels_of(Image.fromarray(GREY), 1), GREY[..., None])


def test_grey_is_repeated_for_rgb_and_rgb_becomes_grey():
    np.testing.assert_array_equal(pixels_of(GREY, 3), np.stack([GREY] * 3, -1))
    expected = RGB @ [0.299, 0.587, 0.114]
    assert np.abs(pixels_of(RGB, 1)[..., 0] - expected).max() <= 1
    floating = pixels_of(RGB.astype(np.float32), 1)
    assert floating.dtype == np.float32
    np.testing.assert_allclose(floating[..., 0], expected, rtol=1e-6)


def test_transparency_and_orientation_of_pillow_images():
    transparent = Image.new("RGBA", (3, 2), (255, 0, 0, 0))
    assert (pixels_of(transparent, 3) == 255).all()
    turned = Image.new("RGB", (3, 2))
    turned.getexif()[0x0112] = 6
    assert pixels_of(turned, 3).shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(None, "expected a path, an image of Pillow or an array of numbers, got NoneType", id="nothing"),
        pytest.param(5, "expected .height, width, channels., got an array of shape", id="a number"),
        pytest.param(np.zeros((4, 4, 3), bool), "got ndarray of bool", id="booleans"),
        pytest.param(np.zeros((4, 4, 3), complex), "got ndarray of complex128", id="complex numbers"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), r"expected 3 channel\(s\).*\(4, 4, 4\)", id="four channels"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), r"of shape \(0, 4, 3\)", id="no pixel"),
        pytest.param(np.full((4, 4, 3), np.nan), "NaN or infinite", id="NaN"),
        pytest.param(np.full((4, 4, 3), np.inf), "NaN or infinite", id="infinity"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(ValueError, match=message):
        pixels_of(image, 3)


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        pixels_of(tmp_path / "gone.png", 3)


def test_batches():
    assert is_batch([RGB, RGB])
    assert is_batch(np.stack([RGB, RGB]))
    assert is_batch(tf.constant(RGB)[None])
    assert not any(map(is_batch, (RGB, GREY, Image.fromarray(RGB), "a.png")))


@pytest.mark.parametrize("values", [(0, 255), (0, 0), (3, 77), (0, 1.5)])
def test_ranges_of_pixels(values):
    check_range(np.array(values, np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param((0, 1), "from 0 to 1, which look like pixels from 0 to 1: multiply them by 255", id="0..1"),
        pytest.param((0.2, 0.9), "multiply them by 255", id="within 0..1"),
        pytest.param((-1, 1), "look preprocessed, and this network does that itself", id="-1..1"),
        pytest.param((-124, 151), "look preprocessed", id="minus the mean"),
        pytest.param((0, 65535), "another range: scale them to 0 to 255", id="16 bits"),
        pytest.param((-1000, 3), "another range", id="far below"),
    ],
)
def test_ranges_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        check_range(np.array(values, np.float32))


def test_uint8_is_never_refused():
    check_range(np.array([0, 1], np.uint8))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(
            np.full((9, 5, 3), 0.5, np.float32), "from 0.5 to 0.5, which look like pixels from 0 to 1", id="0..1"
        ),
        pytest.param(np.full((9, 5, 3), np.nan, np.float32), "NaN", id="NaN"),
        pytest.param(np.linspace(-1, 1, 135, dtype=np.float32).reshape(9, 5, 3), "look preprocessed", id="-1..1"),
    ],
)
def test_ranges_of_images_that_are_read_in_parts(array, message, monkeypatch):
    monkeypatch.setattr(pixels, "_PART", 30)
    with pytest.raises(ValueError, match=message):
        pixels.check_source(ArraySource(array))
    pixels.check_source(ArraySource(array * 0 + 100 if np.isfinite(array).all() else np.zeros((9, 5, 3), np.uint8)))
