"""Damaged images are refused in one line, and nothing that a library says of them gets out; found by `make fuzz`."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vggfcn.cli.main import app
from vggfcn.errors import ImageError
from vggfcn.images import reading
from vggfcn.images.opening import open_source
from vggfcn.images.source import damage_error

READ = "import sys; from vggfcn.{} import {}; {}(sys.argv[1]){}"


def tiff(**options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(file, "TIFF", **options)
    return bytearray(file.getvalue())


@pytest.fixture
def bad_stream(tmp_path):
    """A TIFF whose pixels are no Deflate stream: libtiff says so on its own."""
    content = tiff(compression="tiff_adobe_deflate")
    content[1000:1100] = bytes(100)
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    return path


def entry(content, tag):
    """Where a tag's entry lies in a TIFF's directory."""
    start = int.from_bytes(content[4:8], "little") + 2
    return next(at for at in range(start, len(content), 12) if int.from_bytes(content[at : at + 2], "little") == tag)


def stderr_of(module, reader, path, then=""):
    code = READ.format(module, reader, reader, then)
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True).stderr.splitlines()


def test_what_pillow_logs_is_not_printed(tmp_path):
    content = tiff()
    content[entry(content, 277) + 8] = 140  # samples per pixel
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    *_, last = stderr_of("images.reading", "read_image", path)
    assert last.startswith(f"vggfcn.errors.ImageError: {path}: not an image")
    assert "More samples per pixel" not in "\n".join(stderr_of("images.reading", "read_image", path))


def test_what_tifffile_logs_is_not_printed(tmp_path):
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    content = tiff()
    at = entry(content, 278)
    content[at + 2 : at + 4] = b"\0\1"  # a type that there is not, for the rows of a strip
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    assert stderr_of("images.opening", "open_source", path, ".read(slice(0, 1))") == []


def test_what_libtiff_prints_does_not_get_out_of_the_command_line(bad_stream, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match="damaged or unreadable"):
        reading.read_image(bad_stream)
    assert capfd.readouterr().err.startswith("ZIPDecode")
    for command in (["heatmap"], ["heatmap", "--max-memory", "4GB"], ["compare"], ["demo"]):
        done = CliRunner().invoke(app, [*command, str(bad_stream), "--weights", "mnist-lenet5"])
        assert (done.exit_code, capfd.readouterr().err) == (1, ""), command


def test_evaluate_does_not_let_it_out_either(bad_stream, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("list.txt").write_text("bad.tif\t1\n")
    done = CliRunner().invoke(app, ["evaluate", "list.txt", "--weights", "mnist-lenet5", "--json"])
    assert (done.exit_code, capfd.readouterr().err) == (1, "")
    assert "bad.tif: damaged or unreadable" in str(done.exception)


def test_only_what_is_asked_for_of_a_tile_becomes_rgb(tmp_path, monkeypatch):
    """Of a grey tile as large as is let in, that alone took three gigabytes."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    pixels = np.random.default_rng(0).integers(0, 256, (320, 320), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(320, 320), compression="zlib")
    sizes, to_rgb = [], reading.to_rgb
    monkeypatch.setattr(reading, "to_rgb", lambda image: sizes.append(image.size) or to_rgb(image))
    source = open_source(tmp_path / "a.tif")
    for top in (0, 8):
        found = source.read(slice(top, top + 8), slice(20, 50))
        np.testing.assert_array_equal(found, pixels[top : top + 8, 20:50, None].repeat(3, -1))
    assert sizes == [(30, 8), (30, 8)]


def test_little_memory_is_not_called_damage(tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(reading, "to_rgb", no_memory)
    with pytest.raises(ImageError, match=r"a.png: not enough memory; shrink the image"):
        reading.read_image(tmp_path / "a.png")
    assert str(damage_error(pathlib.Path("a.tif"), MemoryError(), "rows 0 to 8")).startswith(
        "a.tif: not enough memory for rows 0 to 8"
    )
