"""The embedded weights do on the shipped, held-out scenes what their README says."""

import json

import numpy as np
import pytest

from vggfcn.checkpoints.formats import detection
from vggfcn.evaluation.demo import demonstrate
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map
from vggfcn.images.reading import read_image
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = json.loads((EMBEDDED_FOLDER / "scenes" / "scenes.json").read_text())


@pytest.fixture(scope="module")
def classifier():
    return load("scene-digits")


@pytest.fixture(scope="module")
def model(classifier):
    return classifier.build("conv")


@pytest.mark.parametrize("name", SCENES)
def test_the_peak_of_each_digits_heatmap_lies_in_its_box(classifier, model, name):
    scores = score_map(model, read_image(EMBEDDED_FOLDER / "scenes" / name))
    inside = []
    for digit in SCENES[name]:
        x, y = scores.center(*scores.peak(digit["label"]))
        left, top, right, bottom = digit["box"]
        inside.append(left <= x <= right and top <= y <= bottom)
    assert all(inside)


def test_none_wins_where_there_is_no_digit(classifier, model):
    image = read_image(EMBEDDED_FOLDER / "scenes" / "no-digits.jpg")
    scores = score_map(model, image)
    none = classifier.labels.background
    assert classifier.labels[none] == "none"
    assert scores.best(none) == none
    assert (scores.logits.argmax(-1) == none).all()


def test_a_demonstration_opens_the_weight_file_once(monkeypatch):
    opened = []
    detect = detection._reader
    monkeypatch.setattr(detection, "_reader", lambda path, start: opened.append(path.name) or detect(path, start))
    demonstrate(load("scene-digits"), read_image(EMBEDDED_FOLDER / "scenes" / "rocket.jpg"), None, 320)
    assert opened == ["scene-digits.h5"]


def test_a_blank_image_is_none(classifier, model):
    for value in (0, 128, 255):
        image = np.full((224, 224, 3), value, np.uint8)
        scores = score_map(model, image)
        assert scores.best(classifier.labels.background) == classifier.labels.background


def test_the_file_is_small():
    assert (EMBEDDED_FOLDER / "scene-digits.h5").stat().st_size < 5e6


def test_an_image_smaller_than_a_window_is_refused(classifier, model):
    with pytest.raises(ValueError, match="expected at least 224 x 224 pixels, got 223 x 300"):
        score_map(model, np.zeros((223, 300, 3), np.uint8))
