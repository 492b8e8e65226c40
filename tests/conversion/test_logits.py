"""The final activation is recognised wherever it is, and what is left gives the network's own probabilities."""

import keras
import numpy as np
import own_networks
import pytest
from own_networks import ENDINGS, NATIVE, functional, own_network, scores_of

import vggfcn
from vggfcn.conversion.logits import ending, pass_on, returns_logits
from vggfcn.maps.activations import NONE, log_probabilities

layers = keras.layers
BATCH = np.random.default_rng(1).uniform(0, 255, (3, NATIVE, NATIVE, 3)).astype(np.float32)


@pytest.mark.parametrize("converted", [False, True], ids=["original", "converted"])
@pytest.mark.parametrize("name", ENDINGS)
def test_the_logits_give_the_networks_own_scores(name, converted):
    make, kind = ENDINGS[name]
    model = make()
    expected = scores_of(kind, model.predict(BATCH, verbose=0))
    found = ending(vggfcn.convert(model) if converted else model)
    assert found.activation == {"log_softmax": "softmax", "one sigmoid": "softmax"}.get(kind, kind)
    assert found.single_unit == (kind == "one sigmoid")
    logits = found.model.predict(BATCH, verbose=0).reshape(len(BATCH), -1)
    if found.activation != NONE:
        logits = np.exp(log_probabilities(logits, found.activation))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_weights_are_shared_so_that_training_goes_on():
    model = own_network("softmax")
    logits = ending(model).model
    before = logits.predict(BATCH, verbose=0)
    model.layers[-1].bias.assign(model.layers[-1].bias + 1)
    np.testing.assert_allclose(logits.predict(BATCH, verbose=0), before + 1, rtol=1e-4, atol=1e-5)


def test_the_result_is_kept_with_the_model():
    model = own_network("softmax")
    assert ending(model) is ending(model)


def test_a_network_that_returns_logits_keeps_its_softmax():
    """A softmax of a softmax: only the last one is taken off, however often one asks."""
    model = own_network(layers.Flatten(), layers.Dense(5, activation="softmax"), layers.Softmax())
    logits = ending(model).model
    assert ending(logits).model is logits
    assert ending(logits, "softmax").model is logits


def test_what_is_noted_of_a_model_is_passed_on():
    source, target = own_network("softmax"), own_network("softmax")
    pass_on(returns_logits(source, "softmax"), target)
    assert ending(target).model is target
    assert ending(target).activation == "softmax"


@pytest.mark.parametrize("name", ["predictions", "logits", "fc8"])
def test_last_layers_whose_name_says_logits(name):
    found = ending(own_network(layers.Flatten(), layers.Dense(5, name=name)))
    assert found.activation == "softmax"
    assert repr(name) in found.reason


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(lambda: [layers.Dense(5, activation="tanh", name="predictions")], id="tanh"),
        pytest.param(
            lambda: [layers.Dense(5, activation=lambda x: keras.ops.softmax(x / 2), name="predictions")],
            id="a softmax with a temperature, as a custom function",
        ),
        pytest.param(
            lambda: [layers.Dense(5), layers.Activation("hard_sigmoid", name="predictions")], id="hard sigmoid"
        ),
        pytest.param(lambda: [layers.Dense(5), layers.UnitNormalization(name="logits")], id="unit length"),
    ],
)
def test_a_name_that_says_logits_counts_for_layers_without_activation_only(head):
    found = ending(own_network(layers.Flatten(), *head()))
    assert found.activation == "none"


def test_a_mean_of_probabilities_is_no_logit_whatever_its_name():
    inputs = keras.Input((NATIVE, NATIVE, 3))
    mean = layers.Average(name="predictions")([own_network("softmax", seed=seed)(inputs) for seed in (0, 1)])
    model = keras.Model(inputs, mean)
    found = ending(model)
    assert found.activation == "none"
    np.testing.assert_array_equal(found.model.predict(BATCH, verbose=0), model.predict(BATCH, verbose=0))


def test_probabilities_rounded_to_integers_are_no_probabilities():
    assert ending(functional(lambda x: keras.ops.cast(keras.ops.softmax(x) * 255, "uint8"))).activation == "none"
    assert ending(functional(lambda x: keras.ops.cast(keras.ops.softmax(x), "int32"))).activation == "none"


def test_axes_of_length_1_after_the_softmax():
    model = functional(lambda x: keras.ops.squeeze(keras.ops.expand_dims(keras.ops.softmax(x), 1), 1))
    assert ending(model).activation == ending(vggfcn.convert(model)).activation == "softmax"
    np.testing.assert_allclose(
        np.exp(log_probabilities(ending(model).model.predict(BATCH, verbose=0))),
        model.predict(BATCH, verbose=0),
        rtol=1e-4,
    )


def test_a_head_that_is_called_twice_loses_only_its_last_softmax():
    head = keras.Sequential([keras.Input((5,)), layers.Dense(5, activation="softmax")], name="head")
    model = functional(lambda x: head(head(x)))
    found = ending(model)
    logits = found.model.predict(BATCH, verbose=0)
    np.testing.assert_allclose(
        np.exp(log_probabilities(logits, found.activation)), model.predict(BATCH, verbose=0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("model", "asked", "activation", "classes"),
    [
        pytest.param(lambda: own_network(None), "softmax", "softmax", 5, id="logits of a softmax"),
        pytest.param(lambda: own_network(None), "sigmoid", "sigmoid", 5, id="logits of sigmoids"),
        pytest.param(lambda: own_network(None, units=1), "sigmoid", "softmax", 2, id="the logit of one sigmoid"),
        pytest.param(lambda: own_network("softmax"), "none", "none", 5, id="the network's output as it is"),
        pytest.param(lambda: own_network("softmax"), "softmax", "softmax", 5, id="what it is anyway"),
    ],
)
def test_what_is_said_counts(model, asked, activation, classes):
    found = ending(model(), asked)
    assert (found.activation, found.model.output_shape[-1]) == (activation, classes)


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        pytest.param(lambda: own_network("softmax"), "sigmoid", "ends in softmax", id="softmax called sigmoid"),
        pytest.param(lambda: own_network("sigmoid"), "softmax", "ends in sigmoid", id="sigmoid called softmax"),
        pytest.param(lambda: own_network(None, units=1), "softmax", "would always be 1", id="softmax of one unit"),
        pytest.param(lambda: own_network(None), "relu", "expected 'auto', 'softmax', 'sigmoid', 'none'", id="unknown"),
    ],
)
def test_contradictions_are_refused(model, asked, message):
    with pytest.raises(ValueError, match=message):
        ending(model(), asked)


def test_a_softmax_of_one_unit_is_no_probability():
    found = ending(own_network("softmax", units=1))
    assert (found.activation, found.single_unit) == ("none", False)


def test_softmax_along_other_axes_is_none_of_ours():
    model = own_networks.own_network(layers.Conv2D(5, 8), layers.Softmax(axis=[1, 2]), layers.Flatten())
    assert ending(model).activation == "none"


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_layers_that_cannot_be_copied(activation):
    """A quantised layer keeps its activation, and the logits are those of its probabilities."""
    model = own_network(activation)
    model.layers[-1].quantize("int8")
    found = ending(model)
    logits = found.model.predict(BATCH, verbose=0)
    expected = model.predict(BATCH, verbose=0)
    np.testing.assert_allclose(np.exp(log_probabilities(logits, found.activation)), expected, rtol=1e-3, atol=1e-6)


def test_logits_of_outputs():
    """For an engine that was compiled from the network with its activation."""
    for name in ("softmax in the dense layer", "log-softmax in the dense layer", "several sigmoids", "one sigmoid"):
        make, kind = ENDINGS[name]
        model = make()
        outputs, found = model.predict(BATCH, verbose=0), ending(model)
        scores = np.exp(log_probabilities(found.logits(outputs), found.activation))
        np.testing.assert_allclose(scores, scores_of(kind, outputs), rtol=1e-5, atol=1e-7)


@keras.saving.register_keras_serializable("test_logits")
class Dropout(keras.layers.Layer):
    """A custom layer that is called as one of Keras's, but halves its input."""

    def call(self, inputs):
        return inputs / 2


@keras.saving.register_keras_serializable("test_logits")
class Softmax(keras.layers.Layer):
    """A custom layer that is called as one of Keras's, but returns the square root of a softmax."""

    def call(self, inputs):
        return keras.ops.sqrt(keras.ops.softmax(inputs))


@pytest.mark.parametrize("layers", [("softmax", Dropout), (None, Softmax)], ids=["dropout", "softmax"])
def test_custom_layers_are_not_taken_for_keras_ones_of_the_same_name(layers):
    activation, last = layers
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation), last()])
    end = ending(model)
    assert (end.activation, end.function) == ("none", "")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_array_equal(end.model(x), model(x))


@pytest.mark.parametrize("layer", [keras.layers.GaussianNoise(0.5), keras.layers.AlphaDropout(0.5)], ids=repr)
def test_noise_of_training_at_the_end_hides_no_softmax(layer):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax"), layer])
    assert ending(model).function == "softmax"
