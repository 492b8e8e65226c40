"""Arguments of layers hold data and Keras's own objects, and nothing else."""

import pathlib

import pytest
from raw_configs import of_keras_3

from vggfcn.checkpoints.configurations.checks import MAX_CALLS, check_calls, check_data
from vggfcn.checkpoints.configurations.notes import Rewriting
from vggfcn.errors import WeightsError

REWRITING = Rewriting(pathlib.Path("m.keras"), (3, 8))
LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAA=="]}}


@pytest.mark.parametrize(
    "value",
    [
        1,
        "relu",
        [None, {"a": 1.5}],
        {"class_name": "__tensor__", "config": {"value": [1.0], "dtype": "float32"}},
        {"class_name": "__numpy__", "config": {"value": [[1, 2], [3, True]], "dtype": "int64"}},
        of_keras_3("GlorotUniform", "keras.initializers", seed=None),
        of_keras_3("Dense", units=2),
    ],
)
def test_data(value):
    check_data({"argument": [value]}, "conv", "Conv2D", REWRITING)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (LAMBDA, "a function whose Python code is in the file"),
        ({"class_name": "__typespec__", "config": []}, "__typespec__"),
        ({"class_name": "function", "config": "evil", "module": "builtins"}, "'function'"),
        (of_keras_3("Dense", "os.path", units=2), "'Dense', which only its author's code has"),
        (of_keras_3("Lambda"), "a Lambda layer"),
    ],
)
def test_code_is_found_at_any_depth(value, named):
    with pytest.raises(WeightsError, match=r"m\.keras: conv \(Conv2D\): has an argument that is ") as caught:
        check_data({"argument": [[{"deeper": value}]]}, "conv", "Conv2D", REWRITING)
    assert named in str(caught.value)


def test_depth_is_bounded():
    value = 0
    for _ in range(500):
        value = [value]
    with pytest.raises(WeightsError, match="nested too deep"):
        check_data(value, "conv", "Conv2D", REWRITING)


def array(value, dtype, kind="__numpy__"):
    return {"class_name": kind, "config": {"value": value, "dtype": dtype}}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(array(["a", "a"], "U500000000"), id="texts of a gigabyte each"),
        pytest.param(array([0, 0], "(1000,1000,500)f4"), id="arrays of a gigabyte each"),
        pytest.param(array([0], "object"), id="objects"),
        pytest.param(array([0], [["a", "f4"]]), id="records"),
        pytest.param(array(["1"], "float32"), id="texts for numbers"),
        pytest.param(array([{"a": 1}], "float32", "__tensor__"), id="no numbers"),
        pytest.param({"class_name": "__numpy__", "config": None}, id="no array"),
    ],
)
def test_arrays_are_numbers_of_a_known_dtype(value):
    with pytest.raises(WeightsError, match=r"conv \(Conv2D\): has an array that is not one of numbers"):
        check_data({"argument": [value]}, "conv", "Conv2D", REWRITING)


def called(model, times):
    return {**model, "inbound_nodes": [{}] * times}


def nested(depth, times, wrap=lambda model: model):
    """Models in each other, each calling the one within it several times."""
    model = of_keras_3("Functional", "keras", layers=[of_keras_3("ReLU")])
    for _ in range(depth):
        model = of_keras_3("Functional", "keras", layers=[called(wrap(model), times)])
    return model


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda model: model, id="itself"),
        pytest.param(lambda model: of_keras_3("TimeDistributed", layer=model), id="in a wrapper"),
        pytest.param(lambda model: of_keras_3("Activation", activation=model), id="as an activation"),
    ],
)
def test_calls_multiply_along_the_nesting(wrap):
    check_calls(nested(3, 2, wrap), REWRITING)
    with pytest.raises(WeightsError, match=f"calls its layers over {MAX_CALLS:,} times"):
        check_calls(nested(22, 2, wrap), REWRITING)


def test_a_deep_network_may_be_as_long_as_it_is():
    check_calls(of_keras_3("Functional", "keras", layers=[called(of_keras_3("ReLU"), 1)] * 10_000), REWRITING)
