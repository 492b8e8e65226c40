"""Arrays in memory and in `.npy` files, and files that Pillow reads whole, as image sources."""

import contextlib
import io
import pathlib
import struct

import numpy as np
import pytest
from bad_images import bomb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import WHOLE, as_rgb, noise, truncated

from vggfcn.errors import ImageError, TooManyPixelsError
from vggfcn.images.opening import open_source


@pytest.mark.parametrize(
    ("array", "same"),
    [
        pytest.param(noise(), noise(), id="RGB"),
        pytest.param(noise(1), noise(1)[..., None], id="grey without an axis"),
        pytest.param(noise(1)[..., None], noise(1)[..., None], id="grey"),
        pytest.param(noise(3, np.uint16), noise(3, np.uint16) // 256, id="16-bit RGB"),
        pytest.param(noise() / 2, (noise() / 2).astype(np.float32), id="floating point"),
    ],
)
def test_arrays_in_memory_and_in_npy_files(tmp_path, array, same):
    np.save(tmp_path / "a.npy", array)
    for source in (open_source(array), open_source(tmp_path / "a.npy")):
        found = source.read(slice(10, 20), slice(30, 50))
        assert found.dtype == source.dtype == (np.float32 if array.dtype.kind == "f" else np.uint8)
        np.testing.assert_array_equal(found, same[10:20, 30:50])
        assert source.read(slice(5, 5)).shape == (0, *source.shape[1:])


@pytest.mark.parametrize("dtype", [np.dtype(">u2"), np.dtype("<u2")], ids=str)
def test_npy_of_either_byte_order(tmp_path, dtype):
    pixels = noise(1, np.uint16)
    np.save(tmp_path / "a.npy", pixels.astype(dtype))
    np.testing.assert_array_equal(open_source(tmp_path / "a.npy").read(WHOLE), as_rgb(pixels)[..., :1])


def test_a_file_that_pillow_reads_is_turned_upright(tmp_path):
    image = Image.fromarray(noise())
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(open_source(tmp_path / "p.png").read(WHOLE), noise()[::-1, ::-1])


def saved(array):
    return lambda path: path.write_bytes(npy_bytes(array))


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_header(text):
    text = text.encode() + b"\n"
    return lambda path: path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            lambda path: path.write_bytes(bomb(60_000)),
            "and this format can only be read whole; convert it to a tiled TIFF",
            id="large PNG",
        ),
        pytest.param(saved(np.array([{}], object)), "damaged or unreadable", id="npy of objects"),
        pytest.param(
            saved(noise().astype(np.int32)), "expected uint8, uint16 or floating point, got int32", id="int32"
        ),
        pytest.param(saved(noise().astype(complex)), "got complex128", id="npy of complex numbers"),
        pytest.param(saved(noise(4)), r"got an array of shape \(150, 131, 4\)", id="npy of four channels"),
        pytest.param(saved(np.moveaxis(noise(), -1, 0).copy()), r"shape \(3, 150, 131\)", id="npy, channels first"),
        pytest.param(saved(noise()[:0]), "shape", id="npy without rows"),
        pytest.param(saved(np.asfortranarray(noise(1))), "is stored in Fortran order", id="npy in Fortran order"),
        pytest.param(truncated(saved(noise()), 5000), "damaged or unreadable", id="npy broken off"),
        pytest.param(npy_header("{"), "damaged or unreadable", id="npy with half a header"),
        pytest.param(npy_header("[" * 60000), "damaged or unreadable", id="npy with a deep header"),
        pytest.param(
            npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 999999999999, 3)}"),
            "damaged or unreadable",
            id="npy of a size that nothing has",
        ),
    ],
)
def test_refuses(tmp_path, write, message):
    write(tmp_path / "p")
    with pytest.raises(ImageError, match=message) as caught:
        open_source(tmp_path / "p").read(WHOLE)
    assert str(caught.value).startswith(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    class Order:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    (tmp_path / "p.npy").write_bytes(npy_bytes(np.array([Order()], object)))
    with pytest.raises(ImageError):
        open_source(tmp_path / "p.npy").read(WHOLE)
    assert not (tmp_path / "ran").exists()


def test_too_many_pixels_for_pillow_raise_an_error_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(noise()).save(tmp_path / "p.png")
    with pytest.raises(TooManyPixelsError, match=r"p.png: more than 1,000 pixels, and this format can"):
        open_source(tmp_path / "p.png")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_gives_some_image(tmp_path, data):
    """Up to four bytes of a small file are changed."""
    path = tmp_path / "p.npy"
    np.save(path, noise(size=(20, 24)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ImageError):
        source = open_source(path)
        rows, columns = (slice(0, min(32, length)) for length in source.shape[:2])
        assert source.read(rows, columns).shape == (rows.stop, columns.stop, source.shape[2])
