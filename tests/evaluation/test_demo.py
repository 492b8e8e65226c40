"""The demo: two networks compared on one crop, then a map."""

import dataclasses

import numpy as np
import pytest
from quarters import quarters

from vggfcn.evaluation.demo import ClassScore, agreement, demonstrate, middle
from vggfcn.labels.labels import Labels


def test_two_networks_are_compared_on_the_classes_that_the_original_is_most_confident_of():
    classifier = dataclasses.replace(quarters(), labels=Labels(tuple((name,) for name in "abcdefg")))
    original, converted = np.zeros((2, 7), np.float32)
    original[:] = np.log([8, 1, 2, 4, 16, 1 / 2, 1 / 4])
    converted[:] = original
    converted[[6, 2]] = original[6] + 4, original[2] + 1  # "g" is none of the five, and now the largest
    found = agreement(classifier, original, converted)
    assert [score.label for score in found.original] == [score.label for score in found.converted] == list("eadcb")
    assert found.original[0] == ClassScore(4, "e", pytest.approx(16 / 31.75), pytest.approx(np.log(16)))
    assert found.converted[3].logit == pytest.approx(np.log(2) + 1)
    assert found.max_abs_error == pytest.approx(4)
    assert found.max_rel_error == pytest.approx(4 / np.log(16))


def test_both_networks_see_the_middle_and_the_map_is_of_the_whole_image():
    image = np.zeros((24, 40, 3), np.uint8)
    image[16:20, 24:28] = 255  # A lower right quarter of the window at row 12, column 20.
    told = []
    found = demonstrate(quarters(), image, None, 40, told.append)
    assert found.map_shape == (5, 9, 4)
    # Every class has one cell with this very square; the first one wins.
    assert (found.label, found.peak_xy) == ("upper left", (28, 20))
    assert found.score == pytest.approx(1)
    assert found.evaluated_size == (40, 24)
    assert found.agreement.max_abs_error < 1e-4
    assert [score.label for score in found.top5_converted] == [score.label for score in found.agreement.original]
    assert told == list(found.seconds)
    assert told[0] == "building the original network"


def test_the_middle_is_as_the_network_takes_it():
    image = np.zeros((24, 40, 3), np.uint8)
    image[:, 8:32] = 100
    found = middle(quarters(), image)
    np.testing.assert_array_equal(found, np.full((8, 8, 1), 100))
