"""`vggfcn compare`: the dense map beside windows one by one."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vggfcn
from vggfcn.cli.main import app
from vggfcn.evaluation.dense_vs_windows import compare
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = EMBEDDED_FOLDER / "scenes"


@pytest.fixture(scope="module")
def image():
    with Image.open(SCENES / "rocket.jpg") as image:
        return np.asarray(image.convert("RGB"))[224:624, 800:1130]


def test_figures_are_those_of_the_original_network_on_each_crop(image):
    converted, original = (vggfcn.build(weights="scene-digits", head=head) for head in ("conv", "dense"))
    crops = [image[y : y + 224, x : x + 224] for y in range(0, 177, 32) for x in range(0, 107, 32)]
    windows = original.predict(np.stack(crops), verbose=0).reshape(6, 4, 11)
    dense = np.asarray(converted(image[None]))[0]
    found = compare(converted, image)
    assert found.cells == (6, 4)
    assert found.mean_abs_error == pytest.approx(np.abs(dense - windows).mean(), rel=1e-4)
    assert found.max_abs_error == pytest.approx(np.abs(dense - windows).max(), rel=1e-4)
    assert found.largest == pytest.approx(np.abs(windows).max(), rel=1e-4)
    assert found.same_class == (dense.argmax(-1) == windows.argmax(-1)).mean()
    assert 0 < found.same_class < 1
    assert found.speedup == found.windows_seconds / found.dense_seconds > 0


def call(*arguments):
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_network_without_padding_is_the_same_in_every_window():
    found = json.loads(call(SCENES / "ten-digits.png", "--weights", "mnist-lenet5", "--output-stride", "2", "--json"))
    assert found["cells"] == [1, 136]
    assert found["same_class"] == 1
    assert found["max_abs_error"] < 1e-4


def test_the_report(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "part.png")
    lines = call(tmp_path / "part.png", "--weights", "scene-digits", "--max-side", "300").splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("weights", "image", "engine", "cells", "difference", "same class", "time")
    ]
    assert "evaluated at 248 x 300 pixels" in lines[1]
    assert "3 x 1, each a window of 224 x 224 pixels" in lines[3]


def test_every_engine_gives_the_same_figures():
    arguments = SCENES / "ten-digits.png", "--weights", "mnist-lenet5", "--json"
    ours, theirs = (json.loads(call(*arguments, "--engine", name)) for name in ("tensorflow", "openvino"))
    assert (ours["engine"], theirs["engine"]) == ("tensorflow", "openvino")
    assert theirs["same_class"] == 1
    assert theirs["largest"] == pytest.approx(ours["largest"], rel=1e-5)
