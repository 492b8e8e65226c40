"""Which images files, folders and patterns name, and where their heatmaps go."""

import pathlib
import re

import pytest

from vggfcn.cli.commands.heatmap_files import ImageFile, check_target, image_files, targets
from vggfcn.errors import ImageError, VGGFCNError

FILES = ("a.jpg", "b.PNG", "notes.txt", "deep/c.tif", "deep/deeper/d.webp", "out/a-heatmap.png", "[x].jpg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_folder_holds_more_than_images(folder):
    assert sum(path.is_file() for path in folder.rglob("*")) == len(FILES)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(["a.jpg"], ["a.jpg"], id="a name"),
        pytest.param(["gone.jpg", "notes.txt"], ["gone.jpg", "notes.txt"], id="names are not looked up"),
        pytest.param(["deep"], ["deep/c.tif", "deep/deeper/d.webp"], id="a folder and those below"),
        pytest.param(["."], ["[x].jpg", "a.jpg", "b.PNG", "deep/c.tif", "deep/deeper/d.webp"], id="not the results"),
        pytest.param(["*.jpg"], ["[x].jpg", "a.jpg"], id="a pattern"),
        pytest.param(["**/*.tif"], ["deep/c.tif"], id="a pattern through folders"),
        pytest.param(["[x].jpg"], ["[x].jpg"], id="a name that looks like a pattern"),
        pytest.param(["deep/c.tif", "deep", "a.jpg"], ["deep/c.tif", "deep/deeper/d.webp", "a.jpg"], id="each once"),
    ],
)
def test_which_images_are_named(folder, names, found):
    files = image_files(names, folder / "out")
    assert [str(file.path) for file in files] == found


def test_paths_are_relative_to_the_folder_that_was_named(folder):
    assert [str(file.relative) for file in image_files(["deep", "out/../a.jpg"], folder / "out")] == [
        *("c.tif", "deeper/d.webp", "a.jpg")
    ]


@pytest.mark.parametrize("name", ["out/empty", "*.gif"])
def test_no_images_are_refused(folder, name):
    pathlib.Path("out/empty").mkdir()
    message = f"{name}: no images found; expected an image, a folder of images, or a pattern"
    with pytest.raises(ImageError, match=re.escape(message)):
        image_files([name], folder / "elsewhere")


def test_a_zarr_folder_is_one_image(folder):
    pathlib.Path("slide.zarr").mkdir()
    assert [str(file.path) for file in image_files(["slide.zarr"], folder / "out")] == ["slide.zarr"]


@pytest.mark.parametrize(
    ("relative", "names"),
    [
        pytest.param(["a.jpg", "b.png"], ["a-heatmap.npy", "b-heatmap.npy"], id="their stems"),
        pytest.param(["a.jpg", "a.png"], ["a.jpg-heatmap.npy", "a.png-heatmap.npy"], id="suffixes tell two apart"),
        pytest.param(["x/a.jpg", "y/a.jpg"], ["x/a-heatmap.npy", "y/a-heatmap.npy"], id="folders tell two apart"),
    ],
)
def test_heatmaps_are_named_after_their_images(relative, names):
    files = [ImageFile(pathlib.Path("in") / name, pathlib.Path(name)) for name in relative]
    assert targets(files, pathlib.Path("out"), "npy") == [
        (file.path, pathlib.Path("out") / name) for file, name in zip(files, names, strict=True)
    ]


def test_a_target_is_written_once_and_not_replaced_unasked(folder):
    old, new = pathlib.Path("out/a-heatmap.png"), pathlib.Path("out/b-heatmap.png")
    check_target(new, False, [old])
    check_target(old, True, [])
    with pytest.raises(VGGFCNError, match="already exists; pass --overwrite to replace it"):
        check_target(old, False, [])
    with pytest.raises(VGGFCNError, match="two images have this name"):
        check_target(new, True, [new])
