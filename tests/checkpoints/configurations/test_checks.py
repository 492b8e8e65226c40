"""Arguments of layers hold data and Keras's own objects, and nothing else."""

import pathlib

import pytest
from raw_configs import of_keras_3

from vggfcn.checkpoints.configurations.checks import check_data
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
