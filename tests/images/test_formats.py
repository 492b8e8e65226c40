"""Pillow reads images of a closed list of formats, and starts no program for any."""

import ast
import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image, features

import vggfcn
from vggfcn.errors import ImageError
from vggfcn.images import formats, reading
from vggfcn.images.opening import open_source

PACKAGE = pathlib.Path(vggfcn.__file__).parent
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program `gs` that leaves a mark when it is called."""
    mark, program = tmp_path / "called", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Not looked for yet.
    return mark


@pytest.fixture
def drawing(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(EPS)
    return tmp_path / "photo.jpg"


@pytest.mark.parametrize("read", [reading.read_image, open_source], ids=["whole", "in parts"])
def test_a_drawing_that_is_a_program_is_not_run(ghostscript, drawing, read):
    with pytest.raises(ImageError, match=r"photo.jpg: an EPS or PostScript drawing, which is a program; export it as"):
        read(drawing)
    assert not ghostscript.exists()


def test_and_that_test_can_fail(ghostscript, drawing):
    with Image.open(drawing) as image, pytest.raises(OSError):
        image.load()
    assert ghostscript.exists()


def calls_of_pillow(tree):
    """The names that a module calls to open an image with Pillow."""
    named = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [ast.unparse(name) for name in named if ast.unparse(name).endswith("Image.open")]


def test_one_module_opens_images_with_pillow():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if calls_of_pillow(ast.parse(path.read_text()))
    }
    assert found == {"images/formats.py"}
    assert calls_of_pillow(ast.parse("with PIL.Image.open(path): pass")) == ["PIL.Image.open"]


READ = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "TGA", "ICO", "JPEG2000", "AVIF", "MPO"]


@pytest.mark.parametrize("name", READ)
def test_reads_the_formats_that_people_have(tmp_path, name):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.new("RGB", (32, 32), (200, 100, 0)).save(tmp_path / "image", format=name)
    assert reading.read_image(tmp_path / "image").shape == (32, 32, 3)


def saved(name, mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, format=name)
    return file.getvalue()


REFUSED = {
    "EPS": (saved("EPS"), "an EPS or PostScript drawing, which is a program; export it as PNG or JPEG"),
    "EPS with a preview": (b"\xc5\xd0\xd3\xc6" + bytes(99), "an EPS or PostScript drawing"),
    "PDF": (b"%PDF-1.7\n", "a PDF document; export"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing or another XML file; export"),
    "a placeable metafile": (b"\xd7\xcd\xc6\x9a" + bytes(99), "a Windows metafile, which is a drawing"),
    "an enhanced metafile": (b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(99), "a Windows metafile"),
    "Photoshop": (b"8BPS\0\1" + bytes(99), "a Photoshop document; export"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(99), "an HEIC photo; export"),
    "a film": (b"\0\0\0\x18ftypisom" + bytes(99), "a film; save one frame"),
    "DICOM": (bytes(128) + b"DICM", "a DICOM image; export"),
    "FITS": (b"SIMPLE  =                    T", "a FITS image; export"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file; save the image in it"),
    "GRIB": (b"GRIB" + bytes(99), "a file of weather data"),
    "a texture": (saved("DDS"), "a texture of a game"),
    "a ZIP archive": (b"PK\x03\x04" + bytes(99), "an archive; unpack it first"),
    "PCX": (saved("PCX"), "not an image; expected an image file such as JPEG, PNG, TIFF or WebP"),
    "SGI": (saved("SGI"), "not an image; expected"),
    "IM": (saved("IM"), "not an image; expected"),
    "XBM": (saved("XBM", "1"), "not an image; expected"),
    "nothing": (b"", "an empty file; expected an image file such as JPEG"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_says_what_other_files_are(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(ImageError) as refused:
        reading.read_image(tmp_path / "photo.png")
    assert str(refused.value).startswith(f"{tmp_path / 'photo.png'}: {message}")


def test_a_folder_of_images_is_searched_for_these_formats():
    found = formats.suffixes()
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".mpo"} <= found
    assert not {".eps", ".ps", ".pdf", ".h5", ".psd", ".wmf", ".mpg", ".fits", ".dds"} & found


def pipe(folder):
    os.mkfifo(folder / "image.png")
    return folder / "image.png"


SPECIAL = {
    "a pipe": pipe,
    "a folder": lambda folder: folder,
    "a device that never ends": lambda folder: pathlib.Path("/dev/zero"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_files_are_opened(tmp_path, kind):
    """A test that waits for a pipe does not end."""
    path = SPECIAL[kind](tmp_path)
    with pytest.raises(ImageError, match=rf"{path}: cannot be read \(expected a file, found a"):
        reading.read_image(path)
    if not path.is_dir():
        with pytest.raises(ImageError, match=r"expected a file, found a"):
            open_source(path)


@pytest.mark.parametrize("name", ["a\0b", "\0"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(ImageError, match="cannot be read"):
        reading.read_image(name)


def test_icons_are_not_taken_for_tga(tmp_path):
    """TGA has no signature: the size of this icon's data makes it a header of TGA's, too."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    pixels[:, 128:] = 0
    Image.fromarray(pixels).save(tmp_path / "a.ico", sizes=[(256, 256)])
    with Image.open(tmp_path / "a.ico", formats=["TGA"]) as image:
        assert image.format == "TGA"
    np.testing.assert_array_equal(reading.read_image(tmp_path / "a.ico"), pixels)
