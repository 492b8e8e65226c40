"""A loss that takes logits says what the outputs of a network are; nothing else does."""

import json

import keras
import pytest

from vggfcn.checkpoints.configurations.losses import activation_of_logits

LOGITS = '{"loss": {"class_name": "BinaryCrossentropy", "config": {"from_logits": true}}}'


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("CategoricalCrossentropy", "softmax"),
        ("SparseCategoricalCrossentropy", "softmax"),
        ("CategoricalFocalCrossentropy", "softmax"),
        ("BinaryCrossentropy", "sigmoid"),
        ("BinaryFocalCrossentropy", "sigmoid"),
    ],
)
def test_losses_that_take_logits(name, activation):
    loss = keras.saving.serialize_keras_object(getattr(keras.losses, name)(from_logits=True))
    expected = activation, f"it was trained with {name}(from_logits=True)"
    assert activation_of_logits({"optimizer": "adam", "loss": loss}) == expected
    assert activation_of_logits(json.dumps({"loss": loss})) == expected
    probabilities = keras.saving.serialize_keras_object(getattr(keras.losses, name)())
    assert activation_of_logits({"loss": probabilities}) == ("", "")


@pytest.mark.parametrize(
    "training",
    [
        pytest.param(None, id="not compiled"),
        pytest.param("{", id="no JSON"),
        pytest.param("[" * 100_000, id="nested too deep"),
        pytest.param([1], id="a list"),
        pytest.param(LOGITS + " " * (1 << 20), id="far too long"),
        pytest.param({"loss": "categorical_crossentropy"}, id="a loss by its name takes probabilities"),
        pytest.param({"loss": [{"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}]}, id="several"),
        pytest.param({"loss": {"class_name": ["BinaryCrossentropy"], "config": {"from_logits": True}}}, id="no name"),
        pytest.param({"loss": {"class_name": "BinaryCrossentropy", "config": {"from_logits": "yes"}}}, id="a text"),
        pytest.param({"loss": {"class_name": "MeanSquaredError", "config": {"from_logits": True}}}, id="another loss"),
    ],
)
def test_everything_else_says_nothing(training):
    assert activation_of_logits(training) == ("", "")
