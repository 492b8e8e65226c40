"""What logits mean: against the definitions, written out, and where float32 rounds to 0 or 1."""

import math

import numpy as np
import pytest

from vggfcn.maps.activations import NONE, SIGMOID, SOFTMAX, log_probabilities, log_probability, logits_of

LOGITS = np.random.default_rng(0).normal(0, 5, (3, 4, 7)).astype(np.float32)


def test_softmax_against_its_definition():
    exponentials = np.exp(LOGITS.astype(float))
    expected = np.log(exponentials / exponentials.sum(-1, keepdims=True))
    np.testing.assert_allclose(log_probabilities(LOGITS), expected, rtol=1e-12)
    assert log_probabilities(np.array([1000.0, 0.0]))[0] == 0


def test_sigmoids_against_their_definition():
    expected = np.log(1 / (1 + np.exp(-LOGITS.astype(float))))
    np.testing.assert_allclose(log_probabilities(LOGITS, SIGMOID), expected, rtol=1e-12, atol=1e-15)


def test_sigmoids_that_round_to_one_stay_apart():
    found = log_probabilities(np.array([[50.0], [60.0], [-1000.0]]), SIGMOID)
    np.testing.assert_allclose(found, [[-math.exp(-50)], [-math.exp(-60)], [-1000]], rtol=1e-12)


@pytest.mark.parametrize("members", [[3], [0, 3], [0, 1, 2, 3, 4, 5, 6]])
def test_a_group_is_the_sum_under_a_softmax_and_the_largest_of_sigmoids(members):
    probabilities = np.exp(LOGITS.astype(float)) / np.exp(LOGITS.astype(float)).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        np.exp(log_probability(LOGITS, members)), probabilities[..., members].sum(-1), rtol=1e-12
    )
    independent = 1 / (1 + np.exp(-LOGITS.astype(float)))
    np.testing.assert_allclose(
        np.exp(log_probability(LOGITS, members, SIGMOID)), independent[..., members].max(-1), rtol=1e-12
    )


@pytest.mark.parametrize("activation", [SOFTMAX, SIGMOID])
def test_logits_of_probabilities_give_them_back(activation):
    probabilities = np.exp(log_probabilities(LOGITS, activation))
    again = np.exp(log_probabilities(logits_of(probabilities, activation), activation))
    np.testing.assert_allclose(again, probabilities, rtol=1e-6)


@pytest.mark.parametrize("activation", [SOFTMAX, SIGMOID])
def test_certain_probabilities_have_finite_logits(activation):
    logits = logits_of(np.array([0.0, 1.0]), activation)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(np.exp(log_probabilities(logits, activation)), [0, 1], atol=1e-300)


def test_values_have_no_probabilities():
    for function in (log_probabilities, lambda logits, activation: log_probability(logits, [0], activation)):
        with pytest.raises(ValueError, match="no softmax and no sigmoid, so its values are no probabilities"):
            function(LOGITS, NONE)
