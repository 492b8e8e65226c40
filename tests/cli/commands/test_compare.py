"""`vggfcn compare`: its report and its JSON, with every engine."""

import json
import re

import pytest
from PIL import Image
from scene_parts import part_of_a_scene
from typer.testing import CliRunner

from vggfcn.cli.main import app
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = EMBEDDED_FOLDER / "scenes"


def call(*arguments):
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_network_without_padding_is_the_same_in_every_window():
    found = json.loads(call(SCENES / "ten-digits.png", "--weights", "mnist-lenet5", "--output-stride", "2", "--json"))
    assert found["cells"] == [1, 136]
    assert found["same_class"] == 1
    assert found["max_abs_error"] < 1e-4


def test_the_report(tmp_path):
    Image.fromarray(part_of_a_scene()).save(tmp_path / "part.png")
    lines = call(tmp_path / "part.png", "--weights", "scene-digits", "--max-side", "300").splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("weights", "input", "output", "image", "engine", "cells", "difference", "same class", "time")
    ]
    assert "evaluated at 248 x 300 pixels" in lines[3]
    assert re.search("3 x 1, each (for )?a window of 224 x 224 pixels", lines[5])


def test_every_engine_gives_the_same_figures():
    arguments = SCENES / "ten-digits.png", "--weights", "mnist-lenet5", "--json"
    ours, theirs = (json.loads(call(*arguments, "--engine", name)) for name in ("tensorflow", "openvino"))
    assert (ours["engine"], theirs["engine"]) == ("tensorflow", "openvino")
    assert theirs["same_class"] == 1
    assert theirs["largest"] == pytest.approx(ours["largest"], rel=1e-5)
