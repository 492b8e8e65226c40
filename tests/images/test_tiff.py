"""TIFF files read in parts hold the pixels that were written; damaged and unsupported ones are refused."""

import contextlib
import io
import itertools
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import SIZE, WHOLE, as_rgb, noise, smooth, truncated

from vggfcn.errors import ImageError
from vggfcn.images import reading, source, tiff
from vggfcn.images.opening import open_source

tifffile = pytest.importorskip("tifffile")


@pytest.fixture(autouse=True)
def quiet():
    """tifffile logs more about damaged files."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("layout", ["tiles", "strips", "one strip"])
@pytest.mark.parametrize("bigtiff", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", "<>", ids=["little endian", "big endian"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_layout_and_compression(tmp_path, layout, bigtiff, order, planar, dtype):
    """Each layout with every compression, as grey, RGB and RGBA."""
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
        opened = open_source(tmp_path / "p.tif")
        assert (opened.shape, opened.dtype) == ((*SIZE, 3), np.uint8)
        found = opened.read(WHOLE)
        assert found.dtype == np.uint8
        # Pillow's alpha blending is off by one at most.
        atol = 1 if channels == 4 else 0
        np.testing.assert_allclose(found.astype(float), as_rgb(pixels, alpha=channels == 4), rtol=0, atol=atol)


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
    """Pillow reads the last two from TIFF files only since 13.0, but converted images of these modes earlier too."""
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


def test_raw_strips_are_read_in_pieces(tmp_path, monkeypatch):
    """Pieces of 7 rows, which begin and end in the middle of strips."""
    monkeypatch.setattr(tiff, "_RAW_BYTES", 7 * SIZE[1] * 3)
    pixels = noise()
    tifffile.imwrite(tmp_path / "p.tif", pixels, rowsperstrip=37, photometric="rgb")
    opened = open_source(tmp_path / "p.tif")
    assert opened.grid == (7, SIZE[1])
    np.testing.assert_array_equal(opened.read(slice(5, 141), slice(3, 99)), pixels[5:141, 3:99])


def saved(**options):
    def write(path):
        tifffile.imwrite(path, **{"data": noise(), "photometric": "rgb", **options})

    return write


def tiff_with_tags(tags, **options):
    """A TIFF with some tags overwritten in place."""

    def write(path):
        saved(**{"tile": (32, 48), "compression": "zlib", **options})(path)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for name, value in tags.items():
                tag = file.pages[0].tags[name]
                tag.overwrite(value if tag.count == 1 else [value] * tag.count, dtype="I")

    return write


def replaced_tile(data, compression):
    """A tiled TIFF whose first tile is replaced by other data."""

    def write(path):
        saved(data=smooth(), tile=(32, 48), compression=compression)(path)
        end = path.stat().st_size
        with path.open("ab") as file:
            file.write(data)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for name, first in (("TileOffsets", end), ("TileByteCounts", len(data))):
                tag = file.pages[0].tags[name]
                tag.overwrite([first, *tag.value[1:]], dtype="I")

    return write


def jpeg(size):
    """A JPEG whose header states a size of its own."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", *size)
    return bytes(data)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            saved(data=noise() / 1e3), "RGB with 3 samples of 64 bits .*; expected upright grey", id="float TIFF"
        ),
        pytest.param(saved(data=noise().view(np.int8)), r"\(sample format 2, orientation 1\)", id="signed TIFF"),
        pytest.param(
            saved(data=noise(4), photometric="separated"), "is SEPARATED with 4 samples of 8 bits", id="CMYK TIFF"
        ),
        pytest.param(saved(extratags=[(274, 3, 1, 6, True)]), "orientation 6", id="TIFF on its side"),
        pytest.param(saved(compression="png"), "has PNG compression; expected none, LZW", id="PNG in TIFF"),
        pytest.param(truncated(saved(), 1000), "truncated; expected .* bytes at", id="TIFF broken off"),
        pytest.param(truncated(saved(), 20), "damaged or unreadable", id="TIFF header broken off"),
        pytest.param(lambda path: path.write_bytes(b"II*\0"), "damaged or unreadable", id="TIFF signature alone"),
        pytest.param(
            tiff_with_tags({"TileByteCounts": 2**31 - 1}), "truncated; expected 2,147,483,647", id="giant tile bytes"
        ),
        pytest.param(tiff_with_tags({"TileOffsets": 2**31 - 1}), "truncated; .*, found 0", id="tiles beyond the file"),
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
    ],
)
def test_refuses(tmp_path, write, message):
    write(tmp_path / "p")
    with pytest.raises(ImageError, match=message) as caught:
        open_source(tmp_path / "p").read(WHOLE)
    assert str(caught.value).startswith(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)


def test_segments_beyond_the_limit_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_SEGMENT", 1000)
    tifffile.imwrite(tmp_path / "p.tif", noise(), photometric="rgb", tile=(32, 48))
    with pytest.raises(ImageError, match=r"chunks of 32 x 48 x 3 \(4,608 bytes each\); expected at most 1,000 bytes"):
        open_source(tmp_path / "p.tif")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_gives_some_image(tmp_path, data):
    """Up to four bytes of a small file are changed."""
    options = data.draw(st.sampled_from([{"tile": (16, 16), "compression": "lzw"}, {"rowsperstrip": 7}]))
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, noise(size=(20, 24)), photometric="rgb", metadata=None, **options)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ImageError):
        opened = open_source(path)
        rows, columns = (slice(0, min(32, length)) for length in opened.shape[:2])
        assert opened.read(rows, columns).shape == (rows.stop, columns.stop, 3)
