"""`vggfcn heatmap`: many images in, drawings or numbers out; a bad image stops no other."""

import json
import re

import numpy as np
import pytest
from command_line import run
from PIL import Image
from sample_scenes import STRIP

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
    return run("heatmap", *arguments)


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_bad_image_does_not_stop_the_rest_and_is_named(folder):
    code, out, errors = call("scans", *LENET5, "--json")
    assert code == 1
    found = json.loads(out)
    assert [entry["output"] for entry in found["heatmaps"]] == ["heatmaps/a-heatmap.png", "heatmaps/old/b-heatmap.png"]
    assert [entry["image"] for entry in found["failed"]] == ["scans/broken.png"]
    assert errors.splitlines() == [
        "vggfcn: scans/broken.png: not an image; expected an image file such as JPEG, PNG, TIFF or WebP",
        "vggfcn: Skipped 1 of 3 images: scans/broken.png",
    ]
    assert written(folder / "heatmaps") == ["a-heatmap.png", "old/b-heatmap.png"]


def test_the_report_names_weights_engine_and_each_peak(folder):
    code, out, errors = call("scans/a.png", *LENET5, "--class", "7")
    assert (code, errors) == (0, "")
    weights, taken, returned, engine, peak = out.splitlines()
    assert (weights, engine) == ("weights   mnist-lenet5 (as asked)", "engine    tensorflow")
    assert (taken.split()[0], returned.split()[0]) == ("input", "output")
    assert re.fullmatch(r"heatmaps/a-heatmap.png  7 [01]\.\d{3} at \(x, y\) = \(\d+, 16\)", peak)


def test_nothing_is_overwritten_unless_asked(folder):
    assert call("scans/a.png", *LENET5)[0] == 0
    target = folder / "heatmaps" / "a-heatmap.png"
    target.write_bytes(b"mine")
    assert call("scans/a.png", *LENET5)[0] == 1
    assert target.read_bytes() == b"mine"
    assert call("scans/a.png", *LENET5, "--overwrite")[0] == 0
    with Image.open(target) as image:
        assert image.format == "PNG"


def test_numbers_lie_where_the_digits_do(folder):
    for file_format in ("npy", "tiff"):
        code, out, _ = call(STRIP, *LENET5, "--class", "7", "--output-stride", "1", "--format", file_format, "--json")
        assert code == 0
    values = np.load(folder / "heatmaps" / "ten-digits-heatmap.npy")
    with Image.open(STRIP) as strip:
        assert values.shape == strip.size[::-1]
    (entry,) = json.loads(out)["heatmaps"]
    x, y = entry["peak_xy"]
    assert values[y, x] == pytest.approx(entry["score"], abs=0.02)
    with Image.open(folder / "heatmaps" / "ten-digits-heatmap.tiff") as image:
        described = json.loads(image.tag_v2[270])
        stored = np.asarray(image).astype(float) * described["value_scale"] + described["value_offset"]
    np.testing.assert_allclose(stored, values, atol=1e-5)
    assert described["label"] == "7"
    assert described["scale"] == [1, 1]


def test_the_mask_and_world_coordinates_of_an_image_that_was_shrunk(folder):
    Image.fromarray(np.zeros((70, 130, 3), np.uint8)).save("large.png")
    assert call("large.png", *LENET5, "--class", "1", "--max-side", "65", "--mask", "--format", "npy")[0] == 0
    values = np.load("heatmaps/large-heatmap.npy")
    assert values.shape == (35, 65)
    # Windows of 32, 4 apart: cells for 32 rows of 35 and 64 columns of 65.
    assert np.isfinite(values[:32, :64]).all()
    assert np.isnan(values[32:]).all()
    assert np.isnan(values[:, 64:]).all()
    described = json.loads((folder / "heatmaps" / "large-heatmap.npy.json").read_text())
    assert (described["scale"], described["offset"]) == ([2, 2], [0.5, 0.5])


def test_custom_groups(folder):
    (folder / "groups.json").write_text('{"round": ["0", "6", "8", "9"]}')
    out = call("scans/a.png", *LENET5, "--groups", "groups.json", "--class", "round", "--json")[1]
    assert json.loads(out)["heatmaps"][0]["class"] == "round"


def test_two_images_of_one_name(folder):
    Image.open("scans/a.png").save("scans/a.bmp")
    assert call("scans/a.png", "scans/a.bmp", "scans/old/b.png", *LENET5)[0] == 0
    assert written(folder / "heatmaps") == ["a.bmp-heatmap.png", "a.png-heatmap.png", "b-heatmap.png"]
    Image.open("scans/a.png").save("scans/old/b.jpg")
    Image.open("scans/a.png").save("b.png")
    assert call("scans/old/b.png", "b.png", *LENET5, "--output", "else")[0] == 1
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
    assert call("scans/a.png", *LENET5, *arguments)[0] == code
    assert not (folder / "heatmaps").exists()


@pytest.mark.parametrize("engine", ["openvino", "auto"])
def test_every_engine_draws_the_same(folder, engine):
    code, out, _ = call(STRIP, *LENET5, "--engine", engine, "--format", "npy", "--json")
    assert code == 0
    assert json.loads(out)["engine"] == "openvino"
    assert call(STRIP, *LENET5, "--format", "npy", "--output", "tensorflow")[0] == 0
    values, expected = (np.load(f"{name}/ten-digits-heatmap.npy") for name in ("heatmaps", "tensorflow"))
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_images_in_parts_have_the_same_formats(folder):
    with Image.open(STRIP) as strip:
        np.save("strip.npy", np.asarray(strip.convert("RGB")))
        width, height = strip.size
    options = ("--max-memory", "16GB", "--max-side", "200", "--class", "7", "--json")
    for file_format in ("png", "npy", "tiff"):
        code, out, _ = call("strip.npy", *LENET5, *options, "--format", file_format)
        assert code == 0
        found = json.loads(out)
        assert (found["engine"], found["failed"]) == ("tensorflow", [])
    (entry,) = found["heatmaps"]
    assert (entry["evaluated_size"], entry["map_shape"]) == ([width, height], [1, 68, 10])
    values = np.load("heatmaps/strip-heatmap.npy")
    assert values.shape == (height // 2, width // 2)
    x, y = entry["peak_xy"]
    assert values[y // 2, x // 2] == pytest.approx(entry["score"], abs=0.05)
    described = json.loads((folder / "heatmaps" / "strip-heatmap.npy.json").read_text())
    assert (described["scale"], described["offset"]) == ([2, 2], [0.5, 0.5])
    with Image.open("heatmaps/strip-heatmap.png") as drawn:
        assert width // 2 < drawn.width < width


def test_a_zarr_is_an_image_and_no_folder_of_images(folder):
    zarr = pytest.importorskip("zarr")
    with Image.open(STRIP) as strip:
        zarr.create_array("slide.zarr", data=np.asarray(strip.convert("RGB")))
    code, out, _ = call("slide.zarr", *LENET5, "--max-memory", "16GB", "--json")
    assert code == 0
    assert json.loads(out)["heatmaps"][0]["map_shape"] == [1, 68, 10]
