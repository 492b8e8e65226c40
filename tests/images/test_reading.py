"""Every kind of image becomes upright RGB uint8; everything else raises one clear error."""

import io
import warnings

import numpy as np
import pytest
from bad_images import bomb
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import reading

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def two_halves(mode="RGB"):
    """40 x 20 pixels: red on the left, blue on the right."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    return image.convert(mode)


def exif_turned(orientation):
    image = two_halves()
    exif = image.getexif()
    exif[0x0112] = orientation
    return image, {"exif": exif}


def half_transparent():
    image = two_halves("RGBA")
    image.putalpha(Image.new("L", (40, 20), 0))
    image.paste((*RED, 255), (0, 0, 20, 20))
    return image


def transparent_palette():
    image = two_halves("P")
    return image, {"transparency": image.getpixel((30, 10))}


def grey_ramp(dtype, top):
    return Image.fromarray(np.linspace(0, top, 40).round().astype(dtype)[None].repeat(20, 0))


@pytest.mark.parametrize(
    ("suffix", "make", "left", "right"),
    [
        pytest.param("jpg", two_halves, RED, BLUE, id="RGB JPEG"),
        pytest.param("png", two_halves, RED, BLUE, id="RGB PNG"),
        pytest.param("webp", two_halves, RED, BLUE, id="WebP"),
        pytest.param("gif", two_halves, RED, BLUE, id="GIF"),
        pytest.param("bmp", two_halves, RED, BLUE, id="BMP"),
        pytest.param("tif", two_halves, RED, BLUE, id="TIFF"),
        pytest.param("png", lambda: two_halves("P"), RED, BLUE, id="palette"),
        pytest.param("png", transparent_palette, RED, WHITE, id="palette with a transparent colour"),
        pytest.param("png", half_transparent, RED, WHITE, id="alpha over white"),
        pytest.param("png", lambda: half_transparent().convert("LA"), (76,) * 3, WHITE, id="grey with alpha"),
        pytest.param("png", lambda: two_halves("L"), (76,) * 3, (29,) * 3, id="grey"),
        pytest.param("png", lambda: two_halves("1").point(lambda v: v), None, None, id="black and white"),
        pytest.param("jpg", lambda: two_halves("CMYK"), RED, BLUE, id="CMYK JPEG"),
        pytest.param("tif", lambda: two_halves("CMYK"), RED, BLUE, id="CMYK TIFF"),
        pytest.param("png", lambda: grey_ramp(np.uint16, 65535), (0,) * 3, WHITE, id="16-bit PNG"),
        pytest.param("tif", lambda: grey_ramp(np.uint16, 65535), (0,) * 3, WHITE, id="16-bit TIFF"),
        pytest.param("tif", lambda: grey_ramp(np.int32, 65535), (0,) * 3, WHITE, id="32-bit TIFF with 16-bit values"),
        pytest.param("jpg", lambda: exif_turned(3), BLUE, RED, id="EXIF: upside down"),
        pytest.param("jpg", lambda: exif_turned(2), BLUE, RED, id="EXIF: mirrored"),
    ],
)
def test_reads(tmp_path, suffix, make, left, right):
    made = make()
    image, options = made if isinstance(made, tuple) else (made, {})
    path = tmp_path / f"image.{suffix}"
    image.save(path, **({"quality": 95} if suffix in ("jpg", "webp") else {}), **options)
    pixels = reading.read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (20, 40, 3)
    for found, expected in ((pixels[10, 0], left), (pixels[10, -1], right)):
        if expected is not None:
            np.testing.assert_allclose(found.astype(int), expected, atol=8)


@pytest.mark.parametrize(("orientation", "top", "bottom"), [(6, RED, BLUE), (8, BLUE, RED)])
def test_a_quarter_turn_swaps_the_sides(tmp_path, orientation, top, bottom):
    image, options = exif_turned(orientation)
    image.save(tmp_path / "p.jpg", **options)
    pixels = reading.read_image(tmp_path / "p.jpg").astype(int)
    assert pixels.shape == (40, 20, 3)
    np.testing.assert_allclose(pixels[1, 10], top, atol=8)
    np.testing.assert_allclose(pixels[-2, 10], bottom, atol=8)


def png_bytes(size=(64, 64)):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def tiff_bytes(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "an empty file; expected an image file such as JPEG, PNG, TIFF or WebP", id="empty"),
        pytest.param(b"hello, world" * 100, "not an image; expected an image file", id="text"),
        pytest.param(png_bytes()[:5000], "damaged or unreadable (.*); expected a complete image", id="truncated"),
        pytest.param(bomb(60_000), "more than 89,478,485 pixels; shrink the image", id="decompression bomb"),
        pytest.param(tiff_bytes(np.ones((4, 4), np.float32)), "floating-point pixels of unknown range", id="float"),
        pytest.param(tiff_bytes(np.full((4, 4), -5, np.int32)), "grey values from -5 to -5; expected 0", id="negative"),
    ],
)
def test_refuses(tmp_path, content, message):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"image.png: {message}"), warnings.catch_warnings():
        warnings.simplefilter("error")
        reading.read_image(path)


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ImageError, match=r"nothing.jpg: no such file"):
        reading.read_image(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match=r"cannot be read \(expected a file, found a folder\)"):
        reading.read_image(tmp_path)


def test_scaling_to_eight_bits_is_rounding_for_every_grey_value():
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(reading.eight_bits(values), np.round(values.astype(float) / 257))
