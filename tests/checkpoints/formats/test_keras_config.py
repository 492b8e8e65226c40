"""A model's configuration states its preprocessing, or makes clear that weights alone are not enough."""

import math

import pytest

from vggfcn.checkpoints.formats.keras_config import MAX_DEPTH, preprocessing
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError


def layer(kind, **options):
    return {"class_name": kind, "config": options}


def model(*layers):
    return layer("Functional", name="model", layers=[layer("InputLayer"), *layers])


def normalization(mean, variance):
    return layer("Normalization", axis=-1, mean=mean, variance=variance)


def nested(config, depth):
    for _ in range(depth):
        config = model(config)
    return config


STATED = Preprocessing((1, 2, 3), (1, 2, 3))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(model(normalization([1, 2, 3], [1, 4, 9])), STATED, id="a Normalization layer"),
        pytest.param(model(normalization([[[[1, 2, 3]]]], [[[[1, 4, 9]]]])), STATED, id="numbers in lists of one"),
        pytest.param(normalization([1, 2, 3], [1, 4, 9]), STATED, id="a layer alone"),
        pytest.param(nested(normalization([1, 2, 3], [1, 4, 9]), 5), STATED, id="in models within the model"),
        pytest.param(nested(layer("Rescaling"), MAX_DEPTH), None, id="deeper than any model"),
        pytest.param(model(layer("Conv2D")), None, id="no such layer"),
        pytest.param(None, None, id="no configuration"),
        pytest.param([1, "text"], None, id="JSON of something else"),
        pytest.param(layer("Functional", layers=7), None, id="layers that are no list"),
    ],
)
def test_states(config, expected):
    assert preprocessing("w.keras", config) == expected


@pytest.mark.parametrize("kind", ["Rescaling", "Lambda", "TFOpLambda", "Resizing", "CenterCrop"])
@pytest.mark.parametrize("depth", [0, 3])
def test_other_preprocessing_is_refused_with_a_way_to_convert_the_model(kind, depth):
    message = (
        rf"^w.keras: the model preprocesses images with its {kind} layer, which is not part of the weights; convert "
        r"the loaded model instead: vggfcn.convert\(keras.saving.load_model\(path\)\)$"
    )
    with pytest.raises(WeightsError, match=message):
        preprocessing("w.keras", nested(layer(kind), depth))


@pytest.mark.parametrize(
    ("mean", "variance", "message"),
    [
        pytest.param(None, None, "expected a mean and a variance in the configuration", id="none"),
        pytest.param([1, 2, 3], None, "expected a mean and a variance", id="no variance"),
        pytest.param(["a"], ["b"], "expected a mean and a variance", id="text"),
        pytest.param([10**400], [1], "expected a mean and a variance", id="a mean with no float"),
        pytest.param([1, 2, 3], [1, -1, 1], "expected a mean and a variance", id="a negative variance"),
        pytest.param([1, 2, 3], [1, 0, 1], "positive standard deviation", id="a variance of zero"),
        pytest.param([1, 2, math.nan], [1, 1, 1], "positive standard deviation", id="a mean that is not a number"),
        pytest.param([1, 2], [1, 1], "three for RGB, one for grey", id="two channels"),
    ],
)
def test_a_normalization_without_usable_numbers_is_refused(mean, variance, message):
    with pytest.raises(WeightsError, match=message):
        preprocessing("w.keras", model(normalization(mean, variance)))
