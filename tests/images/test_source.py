"""What all image sources have in common: rectangles, identity, memory, and each segment decoded once."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import SIZE, WHOLE, noise

from vggfcn.errors import ImageError
from vggfcn.images.opening import open_source

tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")  # Requires Python 3.11 or later.


def rectangle(draw, length):
    start = draw(st.integers(0, length))
    return slice(start, draw(st.integers(start, length)))


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """The same image in files of every kind."""
    folder, pixels = tmp_path_factory.mktemp("kinds"), noise()
    tifffile.imwrite(folder / "tiles.tif", pixels, tile=(32, 48), photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "strips.tif", pixels, rowsperstrip=37, photometric="rgb", compression="zlib")
    tifffile.imwrite(folder / "raw.tif", pixels, rowsperstrip=37, photometric="rgb")
    zarr.create_array(folder / "a.zarr", data=pixels, chunks=(32, 48, 3))
    np.save(folder / "a.npy", pixels)
    Image.fromarray(pixels).save(folder / "a.png")
    return pixels, [open_source(path) for path in sorted(folder.iterdir())] + [open_source(pixels)]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_rectangle_after_any_other(every_kind, data):
    pixels, sources = every_kind
    rows, columns = (rectangle(data.draw, length) for length in SIZE)
    for source in sources:
        np.testing.assert_array_equal(source.read(rows, columns), pixels[rows, columns])


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        pytest.param(slice(0, SIZE[0] + 1), WHOLE, id="below the image"),
        pytest.param(slice(-1, 5), WHOLE, id="above it"),
        pytest.param(slice(5, 4), WHOLE, id="backwards"),
        pytest.param(slice(0, 8, 2), WHOLE, id="in steps"),
        pytest.param(WHOLE, slice(0, SIZE[1] + 1), id="beside it"),
    ],
)
def test_refuses_what_lies_beyond_the_image(rows, columns):
    with pytest.raises(ValueError, match=r"(rows|columns): expected start and stop from 0 to 1\d\d, got"):
        open_source(noise()).read(rows, columns)


@pytest.mark.parametrize("rows", [1, 10, 32, 45])
def test_going_down_an_image_decodes_each_tile_once(tmp_path, rows):
    pixels = noise()
    tifffile.imwrite(tmp_path / "p.tif", pixels, tile=(32, 48), photometric="rgb", compression="zlib")
    source = open_source(tmp_path / "p.tif")
    decoded = []
    decode = source._segment
    source._segment = lambda *box: decoded.append(box) or decode(*box)
    blocks = [source.read(slice(row, min(row + rows, SIZE[0])), WHOLE) for row in range(0, SIZE[0], rows)]
    np.testing.assert_array_equal(np.concatenate(blocks), pixels)
    assert len(decoded) == len(set(decoded)) == 5 * 3
    assert source._kept == {}


class TestIdentity:
    def write(self, path, pixels):
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path.with_suffix(".tif"), pixels, tile=(32, 48), photometric="rgb", metadata=None)
        zarr.create_array(path.with_suffix(".zarr"), data=pixels, chunks=(32, 48, 3), overwrite=True)
        np.save(path.with_suffix(".npy"), pixels)
        Image.fromarray(pixels).save(path.with_suffix(".png"))
        return [open_source(path.with_suffix(end)).identity for end in (".tif", ".zarr", ".npy", ".png")]

    def test_stays_where_a_file_is_moved(self, tmp_path):
        assert self.write(tmp_path / "here" / "a", noise()) == self.write(tmp_path / "there" / "b", noise())
        assert open_source(noise()).identity == open_source(noise().copy()).identity

    def test_changes_with_one_pixel(self, tmp_path):
        other = noise()
        other[-1, -1, -1] ^= 1
        before, after = (self.write(tmp_path / "a", pixels) for pixels in (noise(), other))
        assert [one == another for one, another in zip(before, after, strict=True)] == [False] * 4
        assert open_source(noise()).identity != open_source(other).identity

    def test_tells_arrays_of_the_same_bytes_apart(self):
        flat = np.zeros(36 * 12, np.uint8)
        shapes = [(36, 12), (12, 36), (12, 12, 3)]
        arrays = [flat.reshape(shape) for shape in shapes] + [flat.view(np.uint16).reshape(36, 6)]
        assert len({open_source(array).identity for array in arrays}) == 4
        native, swapped = (np.arange(6, dtype="u1").view(order).reshape(3, 1) for order in ("<u2", ">u2"))
        assert open_source(native).identity != open_source(swapped).identity

    def test_does_not_depend_on_how_an_array_lies_in_memory(self):
        assert open_source(noise()).identity == open_source(np.asfortranarray(noise())).identity
        assert open_source(noise()).identity.startswith("150 x 131 x 3 uint8, SHA-256 ")


# Each image is read in a fork, whose peak begins with the memory that the process has then.
PEAK = """
import imagecodecs, os, pathlib, re, sys, tifffile, zarr
from vggfcn.images.opening import open_source
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
for path in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    before, total = peak(), 0
    source = open_source(path)
    for row in range(0, source.shape[0], 256):
        total += int(source.read(slice(row, row + 256)).sum(dtype="u8"))
    print(peak() - before, total)
    break
"""


def test_memory_is_that_of_a_block_of_rows_not_of_the_image(tmp_path):
    """The image takes 48 MB and a block 6 MB, to which a row of tiles and copies are added."""
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the peak is measured with Linux's /proc")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8192, 3), np.uint8).repeat(2048, 0)
    names = ("a.npy", "a.zarr", "tiles.tif", "strip.tif")
    np.save(tmp_path / "a.npy", pixels)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(256, 1024, 3), compressors=None)
    tifffile.imwrite(tmp_path / "tiles.tif", pixels, photometric="rgb", tile=(256, 256))
    tifffile.imwrite(tmp_path / "strip.tif", pixels, photometric="rgb", rowsperstrip=2048)
    paths = [tmp_path / name for name in names]
    done = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True)
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        peak, total = map(float, line.split())
        assert total == pixels.sum(dtype=np.uint64), name
        assert peak < 24, name


@pytest.mark.parametrize(("missing", "name"), [("tifffile", "p.tif"), ("imagecodecs", "p.tif"), ("zarr", "p.zarr")])
def test_says_what_to_install(every_kind, tmp_path, monkeypatch, missing, name):
    tifffile.imwrite(tmp_path / "p.tif", noise(), photometric="rgb")
    zarr.create_array(tmp_path / "p.zarr", data=noise())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImageError, match=rf'{name}: .* requires {missing}: pip install "vggfcn\[large\]"'):
        open_source(tmp_path / name)
