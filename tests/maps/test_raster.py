"""Heatmaps as numbers: what another program reads from the files, and where it puts them."""

import json
import pathlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vggfcn.maps import raster
from vggfcn.maps.raster import Placement

PLACEMENT = Placement(scale=(2.5, 1.25), offset=(0.75, 0.125))
LABEL = 'Käse, "alt" \N{CHEESE WEDGE}'


def some_values(height=70, width=91):
    """Every probability that is hard to round is among them; a strip is not covered."""
    values = np.random.default_rng(0).random((height, width))
    values[0, :4] = 0, 1, 1e-9, 1 - 1e-9
    values[1:5] = (np.arange(4 * width).reshape(4, width) + 0.5) / 65534
    values[:, -9:] = np.nan
    return values


def read_tiff(path):
    """Tags and pixels of a little-endian TIFF of 16-bit grey in Deflate strips, by the specification (TIFF 6.0)."""
    data = path.read_bytes()
    assert data[:4] == b"II*\0"
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    tags = {}
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from("<HHI", data, entry)
        code = {2: "s", 3: "H", 4: "I"}[kind]
        size = struct.calcsize(code) * length
        start = entry + 8 if size <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        found = struct.unpack_from(f"<{length}{code}", data, start)
        tags[tag] = found[0] if len(found) == 1 else found
    assert (tags[258], tags[259], tags[262], tags.get(277, 1), tags.get(317, 1)) == (16, 8, 1, 1, 1)
    starts, sizes = (np.atleast_1d(tags[tag]) for tag in (273, 279))
    strips = [zlib.decompress(data[at : at + size]) for at, size in zip(starts, sizes, strict=True)]
    return tags, np.frombuffer(b"".join(strips), "<u2").reshape(tags[257], tags[256])


def read_with_pillow(path):
    with Image.open(path) as image:
        assert image.mode.startswith("I;16")
        return image.tag_v2, np.asarray(image)


@pytest.mark.parametrize("read", [read_tiff, read_with_pillow])
@pytest.mark.parametrize("size", [(70, 91), (1, 13), (900, 1201)], ids=["small", "one row", "of several strips"])
def test_a_tiff_is_read_back_by_what_it_says_of_itself(tmp_path, read, size):
    values = some_values(*size) if size[0] > 5 else np.linspace(0, 1, 13)[None]
    raster.write_tiff(tmp_path / "map.tif", values, PLACEMENT, label=LABEL)
    tags, stored = read(tmp_path / "map.tif")
    text = tags[270]
    said = json.loads(text.rstrip(b"\0") if isinstance(text, bytes) else text)
    unknown = stored == said["nodata"]
    assert np.array_equal(unknown, np.isnan(values))
    found = said["value_scale"] * stored.astype(float) + said["value_offset"]
    assert np.abs(found - values)[~unknown].max() <= 1 / 131068 + 1e-15
    assert said["shape"] == list(size)
    assert (said["label"], said["units"]) == (LABEL, "probability")
    assert (said["scale"], said["offset"]) == ([2.5, 1.25], [0.75, 0.125])
    assert "pixels of the original image" in said["coordinates"]


def test_nought_and_one_are_exact_in_a_tiff_and_apart_from_no_data(tmp_path):
    raster.write_tiff(tmp_path / "map.tif", np.array([[0, 1, np.nan]]), PLACEMENT, label="x")
    assert read_with_pillow(tmp_path / "map.tif")[1].tolist() == [[1, 65535, 0]]


def test_an_npy_is_float32_with_nan_and_a_json_beside_it(tmp_path):
    values = some_values()
    sidecar = raster.write_npy(tmp_path / "map.npy", values, PLACEMENT, label=LABEL)
    assert sidecar == tmp_path / "map.npy.json"
    found = np.load(tmp_path / "map.npy", allow_pickle=False)
    assert found.dtype == np.float32
    assert np.array_equal(found, values.astype(np.float32), equal_nan=True)
    said = json.loads(sidecar.read_text(), parse_constant=pytest.fail)  # NaN without quotes is no JSON.
    del said["coordinates"]
    assert said == {
        "label": LABEL,
        "units": "probability",
        "shape": [70, 91],
        "value_scale": 1.0,
        "value_offset": 0.0,
        "nodata": "NaN",
        "scale": [2.5, 1.25],
        "offset": [0.75, 0.125],
    }


SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_borders_coincide_whatever_the_sizes(height, width, original_height, original_width):
    placement = Placement.between((height, width, 3), (original_height, original_width))
    (sx, sy), (ox, oy) = placement.scale, placement.offset
    for edge, end, scale, offset in ((width, original_width, sx, ox), (height, original_height, sy, oy)):
        assert offset + scale * -0.5 == pytest.approx(-0.5, abs=1e-9)
        assert offset + scale * (edge - 0.5) == pytest.approx(end - 0.5, abs=1e-6)


def test_a_placement_says_where_resizing_puts_a_dot():
    """One bright pixel of an image, shrunk: its middle is found again to a fraction of a pixel."""
    original = np.zeros((900, 1300, 3), np.uint8)
    original[600:603, 801:804] = 255
    small = np.asarray(Image.fromarray(original).resize((517, 383), Image.Resampling.BOX))
    weights = small[..., 0].astype(float)
    row, column = (np.average(index, weights=weights) for index in np.indices(weights.shape))
    placement = Placement.between(small.shape, original.shape)
    x, y = placement.offset[0] + placement.scale[0] * column, placement.offset[1] + placement.scale[1] * row
    assert (x, y) == pytest.approx((802, 601), abs=0.5)
    assert Placement.between(original.shape, original.shape) == Placement()


@pytest.mark.parametrize("write", [raster.write_npy, raster.write_tiff])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.5, 1.5]]), r"expected probabilities in \[0, 1\] or NaN, got 1.5"),
        (np.array([[0.5, -0.25]]), r"expected probabilities in \[0, 1\] or NaN, got -0.25"),
        (np.array([[np.inf]]), r"expected probabilities in \[0, 1\] or NaN, got inf"),
        (np.zeros((2, 2, 2)), r"expected \(height, width\) with at least one pixel, got an array \(2, 2, 2\)"),
        (np.zeros((0, 2)), r"expected \(height, width\) with at least one pixel, got an array \(0, 2\)"),
    ],
)
def test_what_are_no_probabilities_is_refused_before_anything_is_written(tmp_path, write, values, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "map", values, PLACEMENT, label="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "breaks"),
    [
        pytest.param(raster.write_tiff, "PIL.Image.Image.save", id="a TIFF"),
        pytest.param(raster.write_npy, "numpy.save", id="an array"),
        pytest.param(raster.write_npy, "pathlib.Path.write_text", id="what is beside an array"),
    ],
)
def test_nothing_half_written_is_left_and_what_was_there_stays(tmp_path, monkeypatch, write, breaks):
    for name in ("map", "map.json"):
        (tmp_path / name).write_bytes(b"old")

    def fail(*arguments, **_):
        for argument in arguments:
            if isinstance(argument, pathlib.Path):
                argument.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(breaks, fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "map", some_values(), PLACEMENT, label="x")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"map": b"old", "map.json": b"old"}


@pytest.mark.parametrize("write", [raster.write_npy, raster.write_tiff])
def test_a_folder_in_the_files_place_is_refused_and_nothing_is_left_beside_it(tmp_path, write):
    (tmp_path / "map").mkdir()
    with pytest.raises(IsADirectoryError, match="expected a file name, but this is a folder"):
        write(tmp_path / "map", some_values(), PLACEMENT, label="x")
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
