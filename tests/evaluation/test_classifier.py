"""`Classifier`: both networks, scores, heatmaps and the file that `save` writes."""

import functools

import keras
import numpy as np
import pytest
from own_networks import PICTURE, own_network
from writers import arrays_of, write_published_layout

from vggfcn.checkpoints.formats import detection
from vggfcn.errors import WeightsError
from vggfcn.evaluation.loading import load


@pytest.fixture
def tiny_file(tmp_path):
    return write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))


def test_one_opening_gives_both_networks(tiny_file, monkeypatch):
    opened = []
    detect = detection._reader
    monkeypatch.setattr(detection, "_reader", lambda path, start: opened.append(path.name) or detect(path, start))
    classifier = load(tiny_file)
    kernel, _ = classifier.build("dense").get_layer("fc1").get_weights()
    converted, _ = classifier.build("conv").get_layer("fc1").get_weights()
    assert opened == ["w.h5"]
    np.testing.assert_array_equal(converted.reshape(kernel.shape), kernel)


@functools.cache
def own(units, activation, prepared=True):
    return own_network(activation, units=units, prepared=prepared)


def test_a_number_is_the_index_of_a_class_even_if_classes_are_called_by_numbers():
    classifier = load(own(3, "softmax"), labels=["1", "2", "3"])
    scores = classifier.probabilities(classifier.score_map(PICTURE[:24, :24]).logits)[0, 0]
    for label, index in ((1, 1), (np.int64(2), 2), ("1", 0)):
        np.testing.assert_allclose(classifier.heatmap(PICTURE[:24, :24], label), scores[index], rtol=1e-5)
    with pytest.raises(ValueError, match="from 0 to 2, got"):
        classifier.heatmap(PICTURE[:24, :24], 3)


def test_pixels_of_another_range_are_refused_in_parts_too(tmp_path):
    """Also for a network whose layers do not show that it takes pixels."""
    np.save(tmp_path / "image.npy", np.random.default_rng(0).random((40, 40, 3), np.float32))
    classifier = load(own(3, "softmax", False), preprocess="raw")
    for options in ({}, {"max_memory": "64GB"}):
        with pytest.raises(ValueError, match="look like pixels from 0 to 1: multiply them by 255"):
            classifier.score_map(tmp_path / "image.npy", **options)


def test_what_is_known_is_in_the_file_that_is_saved(tmp_path):
    model = own(3, None, False)
    how = {"preprocess": "caffe", "activation": "sigmoid", "labels": ["a", "b", "c"], "groups": {"two": ["a", "c"]}}
    load(model, **how).save(tmp_path / "own.keras")
    found = load(tmp_path / "own.keras")
    assert [found.labels[index] for index in range(3)] == ["a", "b", "c"]
    assert found.labels.find("two").members == (0, 2)
    assert found.activation == "sigmoid"
    assert found.preprocessing.is_identity
    assert found.input_reason == "inside the network: caffe, as asked"
    assert found.native_size == (24, 24)
    # What is given when it is loaded counts more.
    other = load(tmp_path / "own.keras", labels=["x", "y", "z"], groups={"one": ["z"]}, activation="none")
    assert other.labels[2] == "z"
    assert other.labels.find("one").members == (2,)
    assert other.activation == "none"
    found.save(tmp_path / "again.keras")
    again = load(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.score_map(PICTURE).logits, found.score_map(PICTURE).logits)


def test_what_is_not_known_stays_unknown_in_the_file(tmp_path):
    load(own(3, "softmax", False), preprocess=None).save(tmp_path / "own.keras")
    with pytest.raises(WeightsError, match=r"own\.keras: nothing says how images were prepared"):
        load(tmp_path / "own.keras")
    assert load(tmp_path / "own.keras", preprocess="0..1").input_reason == "as asked"


@pytest.mark.parametrize(
    ("name", "message"),
    [("own.h5", "expected a name that ends in .keras"), ("gone/own.keras", "there is no folder")],
)
def test_where_nothing_can_be_saved(tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        load(own(3, "softmax")).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_original_that_resizes_its_images_does_so_here(tmp_path):
    """The classes of an image are those of the network's own `predict`, at a fixed and at an open size."""
    for size in ((40, 50), (None, None)):
        inner = own(3, "softmax")
        inputs = keras.Input((*size, 3))
        model = keras.Model(inputs, inner(keras.layers.Resizing(24, 24)(inputs)))
        pixels = PICTURE[:40, :50]
        expected = model.predict(pixels[None].astype(np.float32), verbose=0)[0]
        classifier = load(model)
        found = sorted(classifier.top(pixels), key=lambda one: one.index)
        np.testing.assert_allclose([one.score for one in found], expected, rtol=1e-4)
