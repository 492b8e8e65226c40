"""`vggfcn inspect`: what it says of a network, and which preprocessing it finds."""

import json

import numpy as np
import pytest
from command_line import run
from own_networks import NAMES, own_files
from PIL import Image


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files of `own_files`, and windows of noise in folders of what the network says of them.

    The network sees pixels from 0 to 1, and each window brightened so that the other ways to prepare it look different.
    """
    folder = tmp_path_factory.mktemp("own")
    model = own_files(folder)
    rng = np.random.default_rng(5)
    shades = rng.integers(0, 256, (40, 1, 1, 3)) + rng.integers(-40, 40, (40, 24, 24, 3))
    images = np.clip(shades, 0, 255).astype(np.uint8)
    answers = model.predict(images / np.float32(255), verbose=0).argmax(-1)
    for number, (image, answer) in enumerate(zip(images, answers, strict=True)):
        place = folder / "set" / NAMES[answer]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.chdir(made)


def test_what_is_known_and_what_is_not():
    code, out, errors = run("inspect", "own.keras", "--labels", "names.txt")
    assert (code, errors) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert lines["weights"] == "weights   own.keras (as asked)"
    assert lines["input"] == "input     RGB 24 x 24 (not known: it takes what it was trained on)"
    assert lines["output"].startswith("output    5 classes: probabilities that add up to 1 (it ends in")
    assert lines["classes"] == "classes   ant, bee, cat, dog, elk"
    assert lines["cells"] == "cells     2 x 2 pixels apart, each reads 24 x 24 pixels"
    assert "padding" in lines


def test_json():
    found = json.loads(run("inspect", "own.keras", "--preprocess", "0..1", "--json")[1])
    assert found["preprocessing"] == {"how": "0..1", "reason": "as asked"}
    assert (found["native_size"], found["channels"], found["stride"]) == ([24, 24], 3, [2, 2])
    assert found["receptive_field"] == [24, 24]
    assert len(found["classes"]) == 5
    assert found["trials"] == []
    assert "padding" in found


def test_the_preprocessing_it_was_trained_with_is_found():
    arguments = ("inspect", "own.keras", "--labels", "names.txt", "--images", "set")
    trials = json.loads(run(*arguments, "--json")[1])["trials"]
    assert trials[0] == {
        "preprocess": "0..1",
        "right": 40,
        "images": 40,
        "top1": 1,
        "mean_score": trials[0]["mean_score"],
        "worse": False,
    }
    assert trials[1]["right"] < 40
    code, out, errors = run(*arguments)
    assert (code, errors) == (0, "")
    rows = [line.split() for line in out[out.index("--preprocess") :].splitlines()[1:] if "." in line]
    assert rows[0][:4] == ["0..1", "40", "40", "100.0"]
    assert {row[0] for row in rows} == {"raw", "0..1", "-1..1", "caffe", "torch"}


def test_known_weights_are_inspected_too():
    code, out, errors = run("inspect", "mnist-lenet5")
    assert (code, errors) == (0, "")
    assert "prepared as mean=20,std=200" in out
    assert "cells     4 x 4 pixels apart, each reads 32 x 32 pixels" in out


def test_quiet_says_nothing():
    assert run("inspect", "own.keras", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["gone.keras"], "vggfcn: gone.keras: no such weight file", id="no such file"),
        pytest.param(["names.txt"], "vggfcn: names.txt: expected a weight file", id="no model"),
        pytest.param(["own.keras", "--images", "gone"], "vggfcn: gone: expected a folder", id="no set"),
        pytest.param(["own.keras", "--images", "set"], "vggfcn: set: ", id="classes without names"),
    ],
)
def test_refusals_are_one_line(arguments, message):
    code, out, errors = run("inspect", *arguments)
    assert (code, out) == (1, "")
    assert errors.startswith(message)
    assert errors.count("\n") == 1
