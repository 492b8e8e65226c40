"""`vggfcn heatmap`: many images in, drawings or numbers out, and nothing lost on the way."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vggfcn.cli import options
from vggfcn.cli.commands import heatmap
from vggfcn.cli.main import app
from vggfcn.networks.registry import EMBEDDED_FOLDER

STRIP = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"
LENET5 = ("--weights", "mnist-lenet5")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images, one of which is none, and nothing else."""
    (tmp_path / "scans" / "old").mkdir(parents=True)
    with Image.open(STRIP) as strip:
        strip.crop((0, 0, 95, 32)).save(tmp_path / "scans" / "a.png")
        strip.crop((90, 0, 220, 32)).save(tmp_path / "scans" / "old" / "b.png")
    (tmp_path / "scans" / "broken.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, ["heatmap", *map(str, arguments)])


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_bad_image_does_not_stop_the_rest_and_is_named(folder, monkeypatch):
    said = []
    monkeypatch.setattr(heatmap, "complain", said.append)
    done = call("scans", *LENET5, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [one["output"] for one in found["heatmaps"]] == ["heatmaps/a-heatmap.png", "heatmaps/old/b-heatmap.png"]
    assert [one["image"] for one in found["failed"]] == ["scans/broken.png"]
    assert said == [
        "scans/broken.png: not an image; expected an image file such as JPEG, PNG, TIFF or WebP",
        "1 of 3 images left out: scans/broken.png",
    ]
    assert written(folder / "heatmaps") == ["a-heatmap.png", "old/b-heatmap.png"]


def test_nothing_is_overwritten_unless_asked(folder):
    assert call("scans/a.png", *LENET5).exit_code == 0
    target = folder / "heatmaps" / "a-heatmap.png"
    target.write_bytes(b"mine")
    assert call("scans/a.png", *LENET5).exit_code == 1
    assert target.read_bytes() == b"mine"
    assert call("scans/a.png", *LENET5, "--overwrite").exit_code == 0
    with Image.open(target) as image:
        assert image.format == "PNG"


def test_numbers_lie_where_the_digits_do(folder):
    for file_format in ("npy", "tiff"):
        done = call(STRIP, *LENET5, "--class", "7", "--output-stride", "1", "--format", file_format, "--json")
        assert done.exit_code == 0
    values = np.load(folder / "heatmaps" / "ten-digits-heatmap.npy")
    with Image.open(STRIP) as strip:
        assert values.shape == strip.size[::-1]
    one = json.loads(done.stdout)["heatmaps"][0]
    assert values[one["peak_xy"][1], one["peak_xy"][0]] == pytest.approx(one["score"], abs=0.02)
    with Image.open(folder / "heatmaps" / "ten-digits-heatmap.tiff") as image:
        described = json.loads(image.tag_v2[270])
        stored = np.asarray(image).astype(float) * described["value_scale"] + described["value_offset"]
    np.testing.assert_allclose(stored, values, atol=1e-5)
    assert described["label"] == "7"
    assert described["scale"] == [1, 1]


def test_the_mask_and_world_coordinates_of_an_image_that_was_shrunk(folder):
    Image.fromarray(np.zeros((70, 130, 3), np.uint8)).save("large.png")
    assert call("large.png", *LENET5, "--class", "1", "--max-side", "65", "--mask", "--format", "npy").exit_code == 0
    values = np.load("heatmaps/large-heatmap.npy")
    assert values.shape == (35, 65)
    # Windows of 32, 4 apart: cells for 32 rows of 35 and 64 columns of 65.
    assert np.isfinite(values[:32, :64]).all()
    assert np.isnan(values[32:]).all()
    assert np.isnan(values[:, 64:]).all()
    described = json.loads((folder / "heatmaps" / "large-heatmap.npy.json").read_text())
    assert (described["scale"], described["offset"]) == ([2, 2], [0.5, 0.5])


def test_own_groups(folder):
    (folder / "groups.json").write_text('{"round": ["0", "6", "8", "9"]}')
    done = call("scans/a.png", *LENET5, "--groups", "groups.json", "--class", "round", "--json")
    assert json.loads(done.stdout)["heatmaps"][0]["class"] == "round"


def test_two_images_of_one_name(folder):
    Image.open("scans/a.png").save("scans/a.bmp")
    assert call("scans/a.png", "scans/a.bmp", "scans/old/b.png", *LENET5).exit_code == 0
    assert written(folder / "heatmaps") == ["a.bmp-heatmap.png", "a.png-heatmap.png", "b-heatmap.png"]
    Image.open("scans/a.png").save("scans/old/b.jpg")
    Image.open("scans/a.png").save("b.png")
    assert call("scans/old/b.png", "b.png", *LENET5, "--output", "else").exit_code == 1
    assert written(folder / "else") == ["b.png-heatmap.png"]


REFUSED = {
    "no opacity": (["--opacity", "0"], 2),
    "a contour at nothing": (["--contour", "0"], 2),
    "scales that are no numbers": (["--scales", "1,x"], 2),
    "negative sizes": (["--sizes", "-32"], 2),
    "a stride that divides nothing": (["--output-stride", "3"], 1),
    "an unknown class": (["--class", "cat"], 1),
    "an unknown format": (["--format", "gif"], 2),
    "scales and sizes": (["--scales", "1", "--sizes", "32"], 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_leaves_nothing(folder, name):
    arguments, code = REFUSED[name]
    assert call("scans/a.png", *LENET5, *arguments).exit_code == code
    assert not (folder / "heatmaps").exists()


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [("0.75,1,1.5", float, (0.75, 1, 1.5)), ("256", int, (256,)), (None, int, None)],
)
def test_numbers_with_commas(text, kind, found):
    assert options.numbers(text, kind) == found
