"""The preprocessing that a network was trained with wins, whichever it was."""

import functools

import keras
import numpy as np
import pytest
from PIL import Image

import vggfcn
from vggfcn.errors import EvaluationError
from vggfcn.evaluation.accuracy.dataset import LabelledImage
from vggfcn.evaluation.preprocessing_trial import Trial, try_preprocessing

SIDE = 12
KERAS = keras.applications.imagenet_utils.preprocess_input
TRAINED = {
    "raw": lambda x: x,
    "0..1": lambda x: x / 255,
    "-1..1": lambda x: KERAS(x, mode="tf"),
    "caffe": lambda x: KERAS(x, mode="caffe"),
    "torch": lambda x: KERAS(x, mode="torch"),
}


def colours(count, seed):
    """Images of noise around two shades that differ in a little more red and a little less blue, and their classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    shades = np.array([[110, 120, 140], [140, 120, 110]])[classes]
    noise = rng.normal(0, 25, (count, SIDE, SIDE, 3)) + rng.normal(0, 8, (count, 1, 1, 3))
    return np.clip(shades[:, None, None] + noise, 0, 255).astype(np.uint8), classes


@functools.cache
def trained(how):
    """A network that was really trained with a preprocessing, by the least squares of its last layer."""
    keras.utils.set_random_seed(1)
    trunk = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(8, 3, activation="tanh")])
    trunk.add(keras.layers.AveragePooling2D(10))
    trunk.add(keras.layers.Flatten())
    images, classes = colours(400, 0)
    prepared = TRAINED[how](images.astype(np.float32))
    kernel, _ = trunk.layers[0].get_weights()
    # Scaled so that tanh is neither linear nor saturated on what the network is trained on.
    trunk.layers[0].set_weights(
        [kernel / np.std(prepared), -(kernel / np.std(prepared)).sum((0, 1, 2)) * prepared.mean()]
    )
    features = trunk(prepared).numpy().astype(np.float64)
    solution = np.linalg.lstsq(np.c_[features, np.ones(len(features))], 6 * classes - 3.0, rcond=None)[0]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([*trunk.layers, head])
    model.build((None, SIDE, SIDE, 3))
    head.set_weights([solution[:-1, None], solution[-1:]])
    assert ((model(prepared).numpy()[:, 0] > 0.5) == classes).mean() > 0.95
    return model


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Thirty images that no network was trained on, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    found = []
    for number, (pixels, label) in enumerate(zip(*colours(30, 1), strict=True)):
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        found.append(LabelledImage(path.name, path, int(label)))
    (folder / "broken.png").write_bytes(b"no image")
    return [*found, LabelledImage("broken.png", folder / "broken.png", 0)]


@pytest.mark.parametrize("how", TRAINED)
def test_what_it_was_trained_with_wins(how, images):
    classifier = vggfcn.load(trained(how), preprocess=None)
    told = []
    trials = try_preprocessing(classifier, images, lambda *done: told.append(done))
    assert trials[0].preprocess == how
    assert {trial.preprocess for trial in trials} == set(TRAINED)
    assert told == [(16, 31), (31, 31)]
    pixels, classes = colours(30, 1)
    prepared = [TRAINED[trial.preprocess](pixels.astype(np.float32)) for trial in trials]
    for trial, outputs in zip(trials, trained(how)(np.concatenate(prepared)).numpy().reshape(-1, 30), strict=True):
        right = int(((outputs > 0.5) == classes).sum())
        assert (trial.right, trial.images, trial.top1) == (right, 30, right / 30)
        score = np.where(classes == 1, outputs, 1 - outputs).mean()
        assert trial.mean_score == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert [trial.right for trial in trials] == sorted((trial.right for trial in trials), reverse=True)


def test_what_was_said_of_the_input_changes_no_trial(images):
    model = trained("0..1")
    assert try_preprocessing(vggfcn.load(model, preprocess="0..1"), images) == try_preprocessing(
        vggfcn.load(model, preprocess=None), images
    )


def test_a_network_that_prepares_pixels_itself_takes_them_raw(images):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 255), *trained("0..1").layers])
    assert try_preprocessing(vggfcn.load(model, preprocess=None), images)[0].preprocess == "raw"


def test_grey_networks_are_tried_with_what_there_is_for_grey(images):
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    trials = try_preprocessing(vggfcn.load(model, preprocess=None), images)
    assert {trial.preprocess for trial in trials} == {"raw", "0..1", "-1..1"}
    assert all(isinstance(trial, Trial) for trial in trials)


def test_without_an_image_nothing_is_known(images):
    classifier = vggfcn.load(trained("raw"), preprocess=None)
    with pytest.raises(EvaluationError, match="none of 1 images could be read"):
        try_preprocessing(classifier, images[-1:])


def test_what_was_asked_for_is_tried_too(images):
    trials = try_preprocessing(vggfcn.load(trained("0..1"), preprocess="mean=120,std=60"), images)
    rows = {trial.preprocess: trial for trial in trials}
    assert rows.keys() == {*TRAINED, "mean=120,120,120,std=60,60,60"}
    pixels, classes = colours(30, 1)
    outputs = trained("0..1").predict((pixels.astype(np.float32) - 120) / 60, verbose=0)[:, 0]
    assert rows["mean=120,120,120,std=60,60,60"].right == ((outputs > 0.5) == classes).sum()
