"""Zarr arrays and OME-Zarr images hold the pixels that were written; nothing in them is run."""

import json
import os
import pathlib
import pickle

import numpy as np
import pytest
from sources import SIZE, WHOLE, as_rgb, noise

from vggfcn.errors import ImageError
from vggfcn.images.opening import open_source

zarr = pytest.importorskip("zarr")  # Requires Python 3.11 or later.


def ome(folder, pixels, axes, version, **options):
    """An OME-Zarr image of two levels."""
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
    np.testing.assert_array_equal(source.read(WHOLE), as_rgb(pixels))


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
def test_either_byte_order(tmp_path, dtype):
    pixels = noise(1, np.uint16)
    zarr.create_array(tmp_path / "a", data=pixels.astype(dtype), chunks=(32, 48), zarr_format=2)
    np.testing.assert_array_equal(open_source(tmp_path / "a").read(WHOLE), as_rgb(pixels))


def array(metadata=None, attributes=None, **options):
    """A Zarr array with changed metadata."""

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
        pytest.param(
            array(data=noise().astype(np.float32)), "holds float32; expected uint8 or uint16", id="float Zarr"
        ),
        pytest.param(
            array({"dtype": "|O", "filters": [{"id": "pickle"}]}, zarr_format=2), r"holds \|O", id="Zarr of objects"
        ),
        pytest.param(
            array({"filters": [{"id": "pickle"}]}, zarr_format=2),
            "has the codec pickle; expected",
            id="Zarr that unpickles",
        ),
        pytest.param(
            array({"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}),
            "has the codec pickle",
            id="the same, v3",
        ),
        pytest.param(
            array({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6, 3]}}}),
            "expected at most 268,435,456 bytes: save the image with smaller tiles",
            id="Zarr with giant chunks",
        ),
        pytest.param(array({"shape": [150, 131]}), "damaged or unreadable", id="Zarr whose shape and chunks differ"),
        pytest.param(array({"shape": "many"}), "damaged or unreadable", id="Zarr without a shape"),
        pytest.param(array(data=noise(4), chunks=(32, 48, 4)), r"shape \(150, 131, 4\)", id="Zarr of four channels"),
        pytest.param(multiscale(datasets=[]), "damaged or unreadable", id="a pyramid without levels"),
        pytest.param(multiscale(datasets=[{"path": "../../x"}]), "refers to pixels elsewhere", id="a level elsewhere"),
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
    assert str(caught.value).startswith(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    class Order:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    array({"filters": [{"id": "pickle"}], "compressor": None}, zarr_format=2)(tmp_path / "p.zarr")
    for chunk in (tmp_path / "p.zarr").glob("*.*.*"):
        chunk.write_bytes(pickle.dumps(Order()))
    with pytest.raises(ImageError, match="has the codec pickle"):
        open_source(tmp_path / "p.zarr").read(WHOLE)
    assert not (tmp_path / "ran").exists()


def link_to_a_folder(folder, outside):
    (folder / "c").rename(outside / "c")
    (folder / "c").symlink_to(outside / "c")


def link_to_a_chunk(folder, outside):
    (folder / "c" / "0" / "0").rename(outside / "chunk")
    (folder / "c" / "0" / "0").symlink_to(outside / "chunk")


def link_to_metadata(folder, outside):
    (folder / "zarr.json").rename(outside / "zarr.json")
    (folder / "zarr.json").symlink_to(outside / "zarr.json")


def pipe_for_a_chunk(folder, outside):
    (folder / "c" / "0" / "0").unlink()
    os.mkfifo(folder / "c" / "0" / "0")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(link_to_a_folder, "c: is a link", id="a link to a folder"),
        pytest.param(link_to_a_chunk, "0: is a link", id="a link to a chunk"),
        pytest.param(link_to_metadata, "zarr.json: is a link", id="a link to metadata"),
        pytest.param(pipe_for_a_chunk, "0: is a pipe, a device or a socket", id="a pipe for a chunk"),
    ],
)
def test_leaves_its_folder_by_no_way(tmp_path, change, what):
    """Pixels would come from anywhere on the disk, or never."""
    folder, outside = tmp_path / "a.zarr", tmp_path / "outside"
    outside.mkdir()
    zarr.create_array(folder, data=np.ones((64, 64), np.uint8), chunks=(64, 64))
    assert open_source(folder).read(WHOLE).shape == (64, 64, 3)
    change(folder, outside)
    with pytest.raises(ImageError, match=f"{what}.*; expected files alone: copy the array with cp -rL"):
        open_source(folder)


def test_a_level_that_is_a_link_is_refused(tmp_path):
    ome(tmp_path / "a", noise(1, np.uint8)[..., 0], "yx", "0.5")
    (tmp_path / "a" / "0").rename(tmp_path / "outside")
    (tmp_path / "a" / "0").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageError, match=r"0: is reached by a link; expected a folder inside"):
        open_source(tmp_path / "a")


def test_an_image_may_be_named_by_a_link(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((64, 64), np.uint8), chunks=(64, 64))
    (tmp_path / "link").symlink_to(tmp_path / "a.zarr")
    assert open_source(tmp_path / "link").shape == (64, 64, 3)
