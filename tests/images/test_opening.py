"""Images read part by part hold the pixels that were written, whatever the file; what is damaged is refused."""

import contextlib
import io
import itertools
import json
import logging
import pathlib
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vggfcn.errors import ImageError, TooManyPixelsError
from vggfcn.images import reading
from vggfcn.images import source as image_source
from vggfcn.images import tiff as tiff_source
from vggfcn.images.opening import open_source

tifffile = pytest.importorskip("tifffile")
zarr = pytest.importorskip("zarr")  # for Python 3.11 and later

SIZE = (150, 131)
WHOLE = slice(None)


@pytest.fixture(autouse=True)
def quiet():
    """Of damaged files tifffile says more in its log."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def noise(channels=3, dtype=np.uint8, size=SIZE):
    shape = (*size, channels) if channels > 1 else size
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def expected(pixels, alpha=None):
    """RGB uint8, written out: grey of 16 bits is scaled, colour keeps its upper bits, alpha is laid over white."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257) if pixels.shape[-1] == 1 else pixels // 256
    colour = pixels.astype(float)
    if alpha:
        share = colour[..., -1:] / 255
        colour = colour[..., :-1] * share + 255 * (1 - share)
    return np.broadcast_to(np.round(colour), (*pixels.shape[:2], 3))


def smooth():
    return np.asarray(Image.fromarray(noise(size=(9, 8))).resize(SIZE[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize("layout", ["tiles", "strips", "one strip"])
@pytest.mark.parametrize("bigtiff", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", "<>", ids=["little endian", "big endian"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff(tmp_path, layout, bigtiff, order, planar, dtype):
    """Each with every compression, as RGB, RGBA and (once for both planar kinds) grey."""
    options = {"tiles": {"tile": (32, 48)}, "strips": {"rowsperstrip": 40}, "one strip": {"rowsperstrip": SIZE[0]}}
    for channels, compression in itertools.product((1, 3, 4), (None, "lzw", "zlib", "packbits", "zstd")):
        pixels = noise(channels, dtype)
        stored = np.moveaxis(pixels, -1, 0) if planar == "separate" and channels > 1 else pixels
        tifffile.imwrite(
            tmp_path / "p.tif",
            stored,
            photometric="rgb" if channels > 1 else "minisblack",
            planarconfig=planar if channels > 1 else None,
            extrasamples=["unassalpha"] if channels == 4 else None,
            compression=compression,
            predictor=compression in ("lzw", "zlib", "zstd") or None,
            bigtiff=bigtiff,
            byteorder=order,
            **options[layout],
        )
        source = open_source(tmp_path / "p.tif")
        assert (source.shape, source.dtype) == ((*SIZE, 3), np.uint8)
        found = source.read(WHOLE)
        assert found.dtype == np.uint8
        # Pillow's alpha blending is off by one at most.
        atol = 1 if channels == 4 else 0
        np.testing.assert_allclose(found.astype(float), expected(pixels, alpha=channels == 4), rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        pytest.param(noise(), {"photometric": "rgb"}, id="RGB"),
        pytest.param(noise(1), {"photometric": "minisblack"}, id="grey"),
        pytest.param(noise(1), {"photometric": "miniswhite"}, id="grey, white is zero"),
        pytest.param(noise(1, np.uint16), {"photometric": "minisblack"}, id="16-bit grey"),
        pytest.param(noise(3, np.uint16), {"photometric": "rgb"}, id="16-bit RGB"),
        *(
            pytest.param(
                noise(4, dtype),
                {"photometric": "rgb", "planarconfig": "contig", "extrasamples": [kind]},
                id=f"{np.dtype(dtype).name} of 4 channels, {kind}",
            )
            for dtype in (np.uint8, np.uint16)
            for kind in ("unassalpha", "assocalpha", "unspecified")
        ),
        pytest.param(smooth(), {"photometric": "rgb", "compression": "jpeg"}, id="JPEG of RGB"),
        pytest.param(smooth(), {"photometric": "ycbcr", "compression": "jpeg"}, id="JPEG of YCbCr, shared tables"),
        pytest.param(smooth()[..., 0], {"photometric": "minisblack", "compression": "jpeg"}, id="JPEG of grey"),
    ],
)
@pytest.mark.parametrize("tile", [None, (32, 48)], ids=["strips", "tiles"])
def test_the_same_pixels_as_when_pillow_reads_the_tiff_whole(tmp_path, pixels, options, tile):
    tifffile.imwrite(tmp_path / "p.tif", pixels, tile=tile, rowsperstrip=None if tile else 40, **options)
    np.testing.assert_array_equal(open_source(tmp_path / "p.tif").read(WHOLE), reading.read_image(tmp_path / "p.tif"))


@pytest.mark.parametrize(("kind", "mode"), [("unassalpha", "LA"), ("assocalpha", "La"), ("unspecified", "L")])
@pytest.mark.parametrize("tile", [None, (32, 48)], ids=["strips", "tiles"])
def test_grey_with_a_second_channel_is_what_pillow_calls_it(tmp_path, kind, mode, tile):
    """Pillow's TIFF reader takes the last two from 13.0 on; its image of these modes is the same before."""
    pixels = noise(2)
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [kind]}
    tifffile.imwrite(tmp_path / "p.tif", pixels, tile=tile, rowsperstrip=None if tile else 40, **options)
    image = Image.frombytes(mode, SIZE[::-1], np.ascontiguousarray(pixels[..., : len(mode)]).tobytes())
    np.testing.assert_array_equal(open_source(tmp_path / "p.tif").read(WHOLE), np.asarray(reading.to_rgb(image)))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg"])
def test_a_tiff_that_pillow_wrote(tmp_path, compression):
    Image.fromarray(smooth()).save(tmp_path / "p.tif", compression=compression)
    np.testing.assert_array_equal(open_source(tmp_path / "p.tif").read(WHOLE), reading.read_image(tmp_path / "p.tif"))


def test_the_finest_level_of_a_pyramid_and_the_first_of_several_pages(tmp_path):
    pixels = noise()
    with tifffile.TiffWriter(tmp_path / "p.tif", ome=True) as file:
        file.write(pixels, subifds=1, tile=(32, 48), photometric="rgb")
        file.write(pixels[::2, ::2], subfiletype=1, tile=(32, 48), photometric="rgb")
        file.write(pixels[::-1], tile=(32, 48), photometric="rgb")
    np.testing.assert_array_equal(open_source(tmp_path / "p.tif").read(WHOLE), pixels)


def test_tiles_that_a_sparse_tiff_leaves_out_are_black(tmp_path):
    pixels = noise()
    pixels[32:64, 48:96] = 0
    tifffile.imwrite(tmp_path / "p.tif", pixels, tile=(32, 48), photometric="rgb")
    with tifffile.TiffFile(tmp_path / "p.tif", mode="r+b") as file:
        offsets, counts = (list(file.pages[0].tags[name].value) for name in ("TileOffsets", "TileByteCounts"))
        offsets[4] = counts[4] = 0
        file.pages[0].tags["TileOffsets"].overwrite(offsets)
        file.pages[0].tags["TileByteCounts"].overwrite(counts)
    np.testing.assert_array_equal(open_source(tmp_path / "p.tif").read(WHOLE), pixels)


def rectangle(draw, length):
    start = draw(st.integers(0, length))
    return slice(start, draw(st.integers(start, length)))


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """One image in files of every kind, open."""
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


def test_raw_strips_are_read_in_pieces(tmp_path, monkeypatch):
    """Pieces of 7 rows, which begin and end in the middle of strips."""
    monkeypatch.setattr(tiff_source, "_RAW_BYTES", 7 * SIZE[1] * 3)
    pixels = noise()
    tifffile.imwrite(tmp_path / "p.tif", pixels, rowsperstrip=37, photometric="rgb")
    source = open_source(tmp_path / "p.tif")
    assert source.grid == (7, SIZE[1])
    np.testing.assert_array_equal(source.read(slice(5, 141), slice(3, 99)), pixels[5:141, 3:99])


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


def ome(folder, pixels, axes, version, **options):
    """A multiscale image of two levels."""
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    for level in (0, 1):
        group.create_array(str(level), data=pixels if not level else pixels[..., ::2], **options)
    datasets = [{"path": str(level)} for level in (0, 1)]
    described = {"axes": [{"name": axis} for axis in axes] if axes else [], "datasets": datasets}
    if not axes:
        del described["axes"]
    group.attrs.update({"multiscales": [described]} if version == "0.4" else {"ome": {"multiscales": [described]}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("axes", "chunks"),
    [
        pytest.param("yxc", (32, 48, 3), id="y, x, c"),
        pytest.param("cyx", (1, 32, 48), id="c, y, x, a chunk for each channel"),
        pytest.param("tczyx", (1, 2, 1, 32, 48), id="t, c, z, y, x"),
        pytest.param("xcy", (48, 3, 32), id="x, c, y"),
        pytest.param("yx", (32, 48), id="grey"),
        pytest.param("cyx grey", (1, 32, 48), id="one channel"),
    ],
)
def test_ome_zarr(tmp_path, version, dtype, axes, chunks):
    axes, _, grey = axes.partition(" ")
    pixels = noise(3 if "c" in axes and not grey else 1, dtype)
    stored = pixels if "c" in axes and not grey else pixels[..., None]
    order = ["yxc".index(axis) for axis in axes if axis in "yxc"]
    stored = stored[..., 0] if "c" not in axes else stored.transpose(order)
    for place, axis in enumerate(axes):
        stored = np.expand_dims(stored, place) if axis in "tz" else stored
    ome(tmp_path / "a", stored, axes, version, chunks=chunks)
    source = open_source(tmp_path / "a")
    assert source.shape == (*SIZE, 3)
    np.testing.assert_array_equal(source.read(WHOLE), expected(pixels))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"zarr_format": 2}, id="version 2"),
        pytest.param({"zarr_format": 2, "order": "F"}, id="version 2, Fortran order"),
        pytest.param({"zarr_format": 3}, id="version 3"),
        pytest.param({"zarr_format": 3, "shards": (64, 96, 3)}, id="version 3, sharded"),
        pytest.param({"zarr_format": 3, "compressors": zarr.codecs.BloscCodec()}, id="Blosc"),
        pytest.param({"zarr_format": 3, "compressors": zarr.codecs.GzipCodec()}, id="gzip"),
        pytest.param({"zarr_format": 3, "compressors": None}, id="not compressed"),
    ],
)
def test_plain_zarr(tmp_path, options):
    zarr.create_array(tmp_path / "a", data=noise(), chunks=(32, 48, 3), **options)
    source = open_source(tmp_path / "a")
    assert source.grid == (32, 48)
    np.testing.assert_array_equal(source.read(WHOLE), noise())


@pytest.mark.parametrize("dtype", [np.dtype(">u2"), np.dtype("<u2")], ids=str)
def test_zarr_and_npy_of_either_byte_order(tmp_path, dtype):
    pixels = noise(1, np.uint16)
    zarr.create_array(tmp_path / "a", data=pixels.astype(dtype), chunks=(32, 48), zarr_format=2)
    np.save(tmp_path / "a.npy", pixels.astype(dtype))
    np.testing.assert_array_equal(open_source(tmp_path / "a").read(WHOLE), expected(pixels))
    np.testing.assert_array_equal(open_source(tmp_path / "a.npy").read(WHOLE), expected(pixels)[..., :1])


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


def test_a_file_that_pillow_reads(tmp_path):
    image = Image.fromarray(noise())
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(open_source(tmp_path / "p.png").read(WHOLE), noise()[::-1, ::-1])


def test_scaling_to_eight_bits_is_rounding_for_every_grey_value():
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(reading.eight_bits(values), np.round(values.astype(float) / 257))


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


# What is refused.


def tiff(**options):
    def write(path):
        tifffile.imwrite(path, **{"data": noise(), "photometric": "rgb", **options})

    return write


def tiff_with_tags(tags, **options):
    """A TIFF whose tags are written over in place."""

    def write(path):
        tiff(**{"tile": (32, 48), "compression": "zlib", **options})(path)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for name, value in tags.items():
                tag = file.pages[0].tags[name]
                tag.overwrite(value if tag.count == 1 else [value] * tag.count, dtype="I")

    return write


def cut(write, size):
    def cut_off(path):
        write(path)
        path.write_bytes(path.read_bytes()[:size])

    return cut_off


def replaced_tile(data, compression):
    """A tiled TIFF whose first tile is something else, at the end of the file."""

    def write(path):
        tiff(data=smooth(), tile=(32, 48), compression=compression)(path)
        end = path.stat().st_size
        with path.open("ab") as file:
            file.write(data)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for name, first in (("TileOffsets", end), ("TileByteCounts", len(data))):
                tag = file.pages[0].tags[name]
                tag.overwrite([first, *tag.value[1:]], dtype="I")

    return write


def jpeg(size):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", *size)
    return bytes(data)


def saved(array):
    return lambda path: path.write_bytes(npy_bytes(array))


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_header(text):
    text = text.encode() + b"\n"
    return lambda path: path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text)


def png_header(path):
    """A PNG that announces 60,000 x 60,000 pixels."""
    Image.new("L", (8, 8)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)


def array(metadata=None, attributes=None, **options):
    """A Zarr array whose metadata are changed."""

    def write(path):
        zarr.create_array(path, **{"data": noise(), "chunks": (32, 48, 3), **options})
        file = path / ("zarr.json" if options.get("zarr_format", 3) == 3 else ".zarray")
        file.write_text(json.dumps({**json.loads(file.read_text()), **(metadata or {})}))

    return write


def multiscale(**described):
    def write(path):
        ome(path, noise(), "yxc", "0.5")
        file = path / "zarr.json"
        metadata = json.loads(file.read_text())
        metadata["attributes"]["ome"]["multiscales"][0].update(described)
        file.write_text(json.dumps(metadata))

    return write


def text(name, content):
    def write(path):
        path.mkdir()
        (path / name).write_text(content)

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda path: None, "no such file", id="missing"),
        pytest.param(lambda path: path.touch(), "an empty file; expected an image", id="empty"),
        pytest.param(png_header, "and such a file is read only whole; convert it to a tiled TIFF", id="large PNG"),
        pytest.param(
            tiff(data=noise() / 1e3), "RGB of 3 samples of 64 bits .*; expected upright grey", id="float TIFF"
        ),
        pytest.param(
            tiff(data=noise().view(np.int8)), r"\(sample format .*3: expected|sample format", id="signed TIFF"
        ),
        pytest.param(
            tiff(data=noise(4), photometric="separated"), "is SEPARATED of 4 samples of 8 bits", id="CMYK TIFF"
        ),
        pytest.param(tiff(extratags=[(274, 3, 1, 6, True)]), "orientation 6", id="TIFF on its side"),
        pytest.param(tiff(compression="png"), "is compressed by PNG; expected none, LZW", id="PNG in TIFF"),
        pytest.param(cut(tiff(), 1000), "breaks off; expected .* bytes at|damaged", id="TIFF broken off"),
        pytest.param(cut(tiff(), 20), "damaged or unreadable", id="TIFF header broken off"),
        pytest.param(lambda path: path.write_bytes(b"II*\0"), "damaged or unreadable", id="TIFF signature alone"),
        pytest.param(
            tiff_with_tags({"TileByteCounts": 2**31 - 1}), "breaks off; expected 2,147,483,647", id="giant tile bytes"
        ),
        pytest.param(tiff_with_tags({"TileOffsets": 2**31 - 1}), "breaks off", id="tiles beyond the file"),
        pytest.param(tiff_with_tags({"TileWidth": 65520, "TileLength": 65520}), "expected at most", id="giant tiles"),
        pytest.param(tiff_with_tags({"ImageWidth": 0}), "expected", id="no columns"),
        pytest.param(tiff_with_tags({"ImageLength": 60000}), "damaged or unreadable in rows", id="too few tiles"),
        pytest.param(
            tiff_with_tags({"RowsPerStrip": 0}, tile=None, rowsperstrip=40), "expected", id="strips of no rows"
        ),
        pytest.param(replaced_tile(b"hello", "zlib"), "rows 0 to 32, columns 0 to 48", id="a damaged tile"),
        pytest.param(replaced_tile(zlib.compress(bytes(1 << 28)), "zlib"), "damaged", id="a tile of 256 MB"),
        pytest.param(replaced_tile(jpeg((65500, 65500)), "jpeg"), "a JPEG of 65500 x 65500", id="a giant JPEG tile"),
        pytest.param(replaced_tile(b"\xff\xd8\xff\xd0" + jpeg((9, 9)), "jpeg"), "state its size", id="a veiled JPEG"),
        pytest.param(saved(np.array([{}], object)), "damaged or unreadable", id="npy of objects"),
        pytest.param(
            saved(noise().astype(np.int32)), "expected uint8, uint16 or floating point, got int32", id="int32"
        ),
        pytest.param(saved(noise().astype(complex)), "got complex128", id="npy of complex numbers"),
        pytest.param(saved(noise(4)), r"got an array of shape \(150, 131, 4\)", id="npy of four channels"),
        pytest.param(saved(np.moveaxis(noise(), -1, 0).copy()), r"shape \(3, 150, 131\)", id="npy, channels first"),
        pytest.param(saved(noise()[:0]), "shape", id="npy without rows"),
        pytest.param(saved(np.asfortranarray(noise(1))), "lies in Fortran order", id="npy in Fortran order"),
        pytest.param(cut(saved(noise()), 5000), "damaged or unreadable", id="npy broken off"),
        pytest.param(npy_header("{"), "damaged or unreadable", id="npy with half a header"),
        pytest.param(npy_header("[" * 60000), "damaged or unreadable", id="npy with a deep header"),
        pytest.param(
            npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999, 999999999999, 3)}"),
            "damaged or unreadable",
            id="npy of a size that nothing has",
        ),
        pytest.param(
            array(data=noise().astype(np.float32)), "holds float32; expected uint8 or uint16", id="float Zarr"
        ),
        pytest.param(
            array({"dtype": "|O", "filters": [{"id": "pickle"}]}, zarr_format=2), r"holds \|O", id="Zarr of objects"
        ),
        pytest.param(
            array({"filters": [{"id": "pickle"}]}, zarr_format=2),
            "is coded by pickle; expected",
            id="Zarr that unpickles",
        ),
        pytest.param(
            array({"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}), "coded by pickle", id="the same, v3"
        ),
        pytest.param(
            array({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6, 3]}}}),
            "is decoded whole|each is decoded",
            id="Zarr with giant chunks",
        ),
        pytest.param(array({"shape": [150, 131]}), "damaged or unreadable", id="Zarr whose shape and chunks differ"),
        pytest.param(array({"shape": "many"}), "damaged or unreadable", id="Zarr without a shape"),
        pytest.param(array(data=noise(4), chunks=(32, 48, 4)), r"shape \(150, 131, 4\)", id="Zarr of four channels"),
        pytest.param(multiscale(datasets=[]), "damaged or unreadable", id="a pyramid without levels"),
        pytest.param(multiscale(datasets=[{"path": "../../x"}]), "pixels lie elsewhere", id="a level elsewhere"),
        pytest.param(multiscale(axes=["y", "y", "x"]), "expected y and x", id="an axis twice"),
        pytest.param(multiscale(axes=["t", "y", "x"]), "others of length 1", id="a film"),
        pytest.param(text("notes.txt", "x"), "expected a Zarr array or a multiscale image", id="another folder"),
        pytest.param(text("zarr.json", "[1]"), "expected a JSON object, found list", id="a list as metadata"),
        pytest.param(text("zarr.json", "{"), "damaged or unreadable", id="half of the metadata"),
        pytest.param(text(".zarray", " " * (1 << 21)), "expected metadata of at most", id="endless metadata"),
    ],
)
def test_refuses(tmp_path, write, message):
    write(tmp_path / "p")
    with pytest.raises(ImageError, match=message) as caught:
        open_source(tmp_path / "p").read(WHOLE)
    assert str(tmp_path / "p") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled_on_the_way(tmp_path):
    class Order:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    (tmp_path / "p.npy").write_bytes(npy_bytes(np.array([Order()], object)))
    array({"filters": [{"id": "pickle"}], "compressor": None}, zarr_format=2)(tmp_path / "p.zarr")
    for chunk in (tmp_path / "p.zarr").glob("*.*.*"):
        chunk.write_bytes(pickle.dumps(Order()))
    for name in ("p.npy", "p.zarr"):
        with pytest.raises(ImageError):
            open_source(tmp_path / name).read(WHOLE)
    assert not (tmp_path / "ran").exists()


def test_too_many_pixels_for_pillow_are_a_kind_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(noise()).save(tmp_path / "p.png")
    with pytest.raises(TooManyPixelsError, match=r"p.png: more than 1,000 pixels, and such a file is read only whole"):
        open_source(tmp_path / "p.png")


@pytest.mark.parametrize(("missing", "name"), [("tifffile", "p.tif"), ("imagecodecs", "p.tif"), ("zarr", "p.zarr")])
def test_says_what_to_install(every_kind, tmp_path, monkeypatch, missing, name):
    tifffile.imwrite(tmp_path / "p.tif", noise(), photometric="rgb")
    zarr.create_array(tmp_path / "p.zarr", data=noise())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImageError, match=rf'{name}: .* needs {missing}: pip install "vggfcn\[large\]"'):
        open_source(tmp_path / name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_gives_some_image(tmp_path, data):
    """A byte, or several, of a small file changed."""
    kind = data.draw(st.sampled_from(["tiles.tif", "strips.tif", "raw.npy"]))
    path = tmp_path / kind
    pixels = noise(size=(20, 24))
    options = {"tiles.tif": {"tile": (16, 16), "compression": "lzw"}, "strips.tif": {"rowsperstrip": 7}}
    if kind == "raw.npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, **options[kind])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ImageError):
        source = open_source(path)
        rows, columns = (slice(0, min(32, length)) for length in source.shape[:2])
        assert source.read(rows, columns).shape == (rows.stop, columns.stop, source.shape[2])


PEAK = """
import pathlib, re, sys
from vggfcn.images.opening import open_source
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
source = open_source(sys.argv[1])
source.read(slice(0, 1))
before, total = peak(), 0
for row in range(0, source.shape[0], 256):
    total += int(source.read(slice(row, row + 256)).sum(dtype="u8"))
print(peak() - before, total)
"""


@pytest.mark.parametrize("kind", ["a.npy", "tiles.tif", "strip.tif", "a.zarr"])
def test_memory_is_that_of_a_block_of_rows_not_of_the_image(tmp_path, kind):
    """Of an image of 96 MB, blocks of 6 MB; a tile's row and copies come with it."""
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the peak is measured as Linux tells it")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8192, 3), np.uint8).repeat(4096, 0)
    path = tmp_path / kind
    if kind == "a.npy":
        np.save(path, pixels)
    elif kind == "a.zarr":
        zarr.create_array(path, data=pixels, chunks=(256, 1024, 3), compressors=None)
    else:
        layout = {"tile": (256, 256)} if kind == "tiles.tif" else {"rowsperstrip": 4096}
        tifffile.imwrite(path, pixels, photometric="rgb", **layout)
    done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True)
    peak, total = map(float, done.stdout.split())
    assert total == pixels.sum(dtype=np.uint64)
    assert peak < 40


def test_segments_beyond_the_limit_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(image_source, "MAX_SEGMENT", 1000)
    tifffile.imwrite(tmp_path / "p.tif", noise(), photometric="rgb", tile=(32, 48))
    with pytest.raises(ImageError, match=r"parts are 32 x 48 x 3, 4,608 bytes, .*; expected at most 1,000 bytes"):
        open_source(tmp_path / "p.tif")
