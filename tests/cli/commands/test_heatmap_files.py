"""Names, folders and patterns: which images are meant."""

import pathlib

import pytest

from vggfcn.cli.commands.heatmap_files import image_files
from vggfcn.errors import ImageError

FILES = ("a.jpg", "b.PNG", "notes.txt", "deep/c.tif", "deep/deeper/d.webp", "out/a-heatmap.png", "[x].jpg")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_that_the_fixture_holds_more_than_images(folder):
    assert sum(path.is_file() for path in folder.rglob("*")) == len(FILES)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(["a.jpg"], ["a.jpg"], id="a name"),
        pytest.param(["gone.jpg", "notes.txt"], ["gone.jpg", "notes.txt"], id="names are taken as they are"),
        pytest.param(["deep"], ["deep/c.tif", "deep/deeper/d.webp"], id="a folder and those below"),
        pytest.param(["."], ["[x].jpg", "a.jpg", "b.PNG", "deep/c.tif", "deep/deeper/d.webp"], id="not the results"),
        pytest.param(["*.jpg"], ["[x].jpg", "a.jpg"], id="a pattern"),
        pytest.param(["**/*.tif"], ["deep/c.tif"], id="a pattern through folders"),
        pytest.param(["[x].jpg"], ["[x].jpg"], id="a name that looks like a pattern"),
        pytest.param(["deep/c.tif", "deep", "a.jpg"], ["deep/c.tif", "deep/deeper/d.webp", "a.jpg"], id="each once"),
    ],
)
def test_what_is_meant(folder, wanted, found):
    files = image_files(wanted, folder / "out")
    assert [str(file.path) for file in files] == found


def test_where_they_lie_below_the_folder_that_was_named(folder):
    assert [str(file.below) for file in image_files(["deep", "out/../a.jpg"], folder / "out")] == [
        *("c.tif", "deeper/d.webp", "a.jpg")
    ]


@pytest.mark.parametrize("wanted", ["out/empty", "*.gif"])
def test_nothing_there(folder, wanted):
    pathlib.Path("out/empty").mkdir()
    with pytest.raises(ImageError, match="no image there; expected an image, a folder with some, or a pattern"):
        image_files([wanted], folder / "elsewhere")
