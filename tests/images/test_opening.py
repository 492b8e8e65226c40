"""What an image is opened as depends on its contents, not on its name."""

import numpy as np
import pytest
from PIL import Image
from sources import noise

from vggfcn.errors import ImageError
from vggfcn.images.arrays import ArraySource, FileSource, NpySource
from vggfcn.images.opening import open_source
from vggfcn.images.tiff import TiffSource
from vggfcn.images.zarr import ZarrSource


def save_npy(path):
    with path.open("wb") as file:  # NumPy would add its suffix to a path.
        np.save(file, noise())


def save_tiff(path):
    pytest.importorskip("tifffile").imwrite(path, noise(), photometric="rgb")


def save_big_endian_bigtiff(path):
    pytest.importorskip("tifffile").imwrite(path, noise(), photometric="rgb", bigtiff=True, byteorder=">")


def save_zarr(path):
    pytest.importorskip("zarr").create_array(path, data=noise())


@pytest.mark.parametrize("name", ["image", "image.jpg"], ids=["without a suffix", "with a wrong suffix"])
@pytest.mark.parametrize(
    ("save", "kind"),
    [
        (save_npy, NpySource),
        (save_tiff, TiffSource),
        (save_big_endian_bigtiff, TiffSource),
        (save_zarr, ZarrSource),
        (lambda path: Image.fromarray(noise()).save(path, "PNG"), FileSource),
    ],
    ids=["npy", "TIFF", "BigTIFF", "Zarr", "PNG"],
)
def test_the_contents_decide(tmp_path, save, kind, name):
    save(tmp_path / name)
    source = open_source(tmp_path / name)
    assert type(source) is kind
    np.testing.assert_array_equal(source.read(slice(None)), noise())


def test_an_array_is_a_source_too():
    assert type(open_source(noise())) is ArraySource


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda path: None, "p: no such file", id="missing"),
        pytest.param(lambda path: path.touch(), "p: an empty file; expected an image file", id="empty"),
        pytest.param(lambda path: path.write_text("{}"), "p: not an image; expected an image file", id="text"),
        pytest.param(lambda path: path.symlink_to(path), r"p: cannot be read \(.*symbolic links\)", id="unreadable"),
    ],
)
def test_what_is_not_an_image_is_refused(tmp_path, prepare, message):
    prepare(tmp_path / "p")
    with pytest.raises(ImageError, match=message):
        open_source(tmp_path / "p")
