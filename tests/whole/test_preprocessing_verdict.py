"""Trials of preprocessing say which one fits, and that they do not know where the images do not tell."""

import keras
import numpy as np
import pytest
from PIL import Image

from vggfcn.checkpoints.preprocessing import CHOICES
from vggfcn.errors import EvaluationError
from vggfcn.evaluation.accuracy.dataset import LabelledImage
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.preprocessing_trial import try_preprocessing, verdict

SIDE = 8


def threshold(at, activation):
    """Two classes: images whose mean, as the network gets them, lies above `at`, are of class 1."""
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(1, SIDE, use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation=activation),
        ]
    )
    kernel, dense, bias = model.weights
    kernel.assign(np.full(kernel.shape, 1 / (3 * SIDE**2)))
    dense.assign([[-20.0, 20.0]])
    bias.assign([20.0 * at, -20.0 * at])
    return load(model, preprocess=None)


@pytest.fixture
def images(tmp_path):
    """Grey images of value 8, 24, 40, ...; those over 127 are of class 1."""

    def make(values):
        found = []
        for value in values:
            path = tmp_path / f"{value}.png"
            Image.fromarray(np.full((SIDE, SIDE, 3), value, np.uint8)).save(path)
            found.append(LabelledImage(path.name, path, int(value > 127)))
        return found

    return make


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_preprocessing_that_the_network_was_made_for_comes_first(images, activation):
    trials = try_preprocessing(threshold(0.5, activation), images(range(8, 256, 16)))
    assert trials[0].preprocess == "0..1"
    assert (trials[0].right, trials[0].images, trials[0].top1, trials[0].worse) == (16, 16, 1, False)
    assert {trial.preprocess for trial in trials} == {name for name in CHOICES if "=" not in name}
    # Of pixels from 0 to 255 all are over 0.5, so half of them are wrong: 8 images tell them apart.
    raw = next(trial for trial in trials if trial.preprocess == "raw")
    assert (raw.right, raw.worse) == (8, True)
    decided = [trials[0], *(trial for trial in trials if trial.worse)]
    assert verdict(decided) == "0..1 fits best"


def test_images_that_all_get_right_do_not_decide(images):
    trials = try_preprocessing(threshold(0.5, None), images([250, 254, 255]))
    assert [trial.right for trial in trials] == [3] * 5
    assert not any(trial.worse for trial in trials)
    assert verdict(trials).startswith("3 images do not decide between raw, 0..1, -1..1, caffe and torch; give more")


@pytest.mark.parametrize(("wins", "worse"), [(4, False), (5, True)])
def test_five_more_of_five_are_a_difference(images, wins, worse):
    """By chance, 5 of 5 happens once in 32, which is less than one in 20; 4 of 4 once in 16."""
    dark = list(range(100, 100 + wins))
    trials = try_preprocessing(threshold(0.5, "softmax"), images([*dark, 250, 251]))
    raw = next(trial for trial in trials if trial.preprocess == "raw")
    assert (trials[0].right - raw.right, raw.worse) == (wins, worse)


def test_values_that_are_no_probabilities_rank_nothing(images):
    """They are larger for pixels from 0 to 255 than for -1..1, whatever the network was trained with."""
    trials = try_preprocessing(threshold(0.5, None), images([250, 254, 255]))
    assert [trial.mean_score for trial in trials] == [None] * 5
    assert [trial.preprocess for trial in trials] == [name for name in CHOICES if "=" not in name]


def test_no_image_that_can_be_read(tmp_path):
    missing = LabelledImage("a.jpg,", tmp_path / "a.jpg,", 0)
    with pytest.raises(EvaluationError, match=r"none of 1 images could be read; the first: .*a\.jpg,"):
        try_preprocessing(threshold(0.5, None), [missing])
