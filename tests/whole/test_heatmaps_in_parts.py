"""`vggfcn heatmap` on images that are read in parts: the same formats, engines and messages."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vggfcn.cli.main import app
from vggfcn.networks.registry import EMBEDDED_FOLDER

STRIP = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"


@pytest.fixture(scope="module")
def digits():
    with Image.open(STRIP) as image:
        return np.asarray(image.convert("RGB"))


def call(*arguments):
    done = CliRunner().invoke(app, ["heatmap", "--weights", "mnist-lenet5", *map(str, arguments)])
    return done.exit_code, done.stdout, done.exception


def test_the_command_writes_the_same_formats(tmp_path, digits):
    np.save(tmp_path / "strip.npy", digits)
    options = ("--max-memory", "16GB", "--max-side", "200", "--class", "7", "--output", tmp_path / "out", "--json")
    for file_format in ("png", "npy", "tiff"):
        code, said, _ = call(tmp_path / "strip.npy", *options, "--format", file_format)
        assert code == 0
        found = json.loads(said)
        assert found["engine"] == "tensorflow"
        assert found["failed"] == []
    height, width = digits.shape[:2]
    one = found["heatmaps"][0]
    assert one["evaluated_size"] == [width, height]
    assert one["map_shape"] == [1, 68, 10]
    values = np.load(tmp_path / "out" / "strip-heatmap.npy")
    assert values.shape == (height // 2, width // 2)
    x, y = one["peak_xy"]
    assert values[y // 2, x // 2] == pytest.approx(one["score"], abs=0.05)
    described = json.loads((tmp_path / "out" / "strip-heatmap.npy.json").read_text())
    assert (described["scale"], described["offset"]) == ([2, 2], [0.5, 0.5])
    with Image.open(tmp_path / "out" / "strip-heatmap.png") as drawn:
        assert width // 2 < drawn.width < width


def test_a_zarr_is_an_image_and_no_folder_of_images(tmp_path, digits):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "slide.zarr", data=digits)
    code, said, _ = call(tmp_path / "slide.zarr", "--max-memory", "16GB", "--output", tmp_path, "--json")
    assert code == 0
    assert json.loads(said)["heatmaps"][0]["map_shape"] == [1, 68, 10]


def test_too_little_memory_and_too_many_pixels_are_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("vggfcn.cli.commands.heatmap.complain", said.append)
    assert call(STRIP, "--max-memory", "1MB", "--output", tmp_path / "out")[0] == 1
    assert said[0].startswith("max_memory: expected at least")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert call(STRIP, "--output", tmp_path / "out")[0] == 1
    assert said[2].endswith("cut out a part of it, or have it read in parts: --max-memory 4GB")
    assert list(tmp_path.iterdir()) == []


def test_in_parts_on_openvino(tmp_path):
    found = {}
    for name in ("openvino", "auto"):
        code, said, _ = call(STRIP, "--max-memory", "16GB", "--engine", name, "--output", tmp_path / name, "--json")
        assert code == 0
        found[name] = json.loads(said)
    assert [found[name]["engine"] for name in found] == ["openvino", "tensorflow"]
    ours, theirs = (one["heatmaps"][0] for one in found.values())
    assert ours["peak_xy"] == theirs["peak_xy"]
    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)


@pytest.mark.parametrize("engine", ["tensorflow", "openvino", "auto"])
def test_every_engine_draws_the_same(tmp_path, engine):
    code, said, _ = call(STRIP, "--engine", engine, "--format", "npy", "--output", tmp_path, "--json")
    assert code == 0
    found = json.loads(said)
    assert found["engine"] == engine.replace("auto", "openvino")
    assert call(STRIP, "--format", "npy", "--output", tmp_path / "plain")[0] == 0
    ours, plain = (np.load(folder / "ten-digits-heatmap.npy") for folder in (tmp_path, tmp_path / "plain"))
    np.testing.assert_allclose(ours, plain, atol=1e-5)
