"""Preprocessing takes the numbers of papers and files, and refuses those that no image can be preprocessed with."""

import math

import numpy as np
import pytest

from vggfcn.checkpoints.preprocessing import (
    IMAGENET_MEAN,
    LENET_RANGE,
    TORCHVISION,
    Preprocessing,
    default_preprocessing,
)
from vggfcn.errors import WeightsError


def applied(preprocessing, pixels):
    return (np.asarray(pixels) - preprocessing.mean) / preprocessing.std


@pytest.mark.parametrize(
    ("preprocessing", "pixels", "expected"),
    [
        pytest.param(LENET_RANGE, [[0], [255]], [[-0.1], [1.175]], id="LeCun et al., from -0.1 to 1.175"),
        pytest.param(
            IMAGENET_MEAN, [[123.68, 116.779, 103.939]], [[0, 0, 0]], id="Simonyan and Zisserman: only the mean"
        ),
        pytest.param(
            TORCHVISION,
            [[0, 0, 0], [255, 255, 255]],
            [[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]],
            id="torchvision: its numbers are for pixels in [0, 1]",
        ),
    ],
)
def test_published_preprocessing(preprocessing, pixels, expected):
    np.testing.assert_allclose(applied(preprocessing, pixels), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        pytest.param(1, LENET_RANGE, id="grey, as LeNet-5"),
        pytest.param(3, IMAGENET_MEAN, id="RGB, as VGG"),
        pytest.param(2, Preprocessing((0.0, 0.0), (1.0, 1.0)), id="other channels are left alone"),
    ],
)
def test_random_weights_get_the_preprocessing_of_their_paper(channels, expected):
    assert default_preprocessing(channels) == expected


@pytest.mark.parametrize(
    ("mean", "std"),
    [pytest.param([1.0, 2, 3], [1, 1, 0.5], id="RGB"), pytest.param([127.5], [50], id="grey")],
)
def test_accepts(mean, std):
    assert Preprocessing.checked("w.h5", mean, std) == Preprocessing(tuple(mean), tuple(std))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        pytest.param([], [], id="no numbers"),
        pytest.param([0, 0], [1, 1], id="two channels"),
        pytest.param([0, 0, 0], [1], id="different numbers of channels"),
        pytest.param([0, math.nan, 0], [1, 1, 1], id="a mean that is not a number"),
        pytest.param([0, 0, 0], [1, math.inf, 1], id="an infinite deviation"),
        pytest.param([0, 0, 0], [1, 0, 1], id="a deviation of zero"),
        pytest.param([0], [-1], id="a negative deviation"),
    ],
)
def test_refuses(mean, std):
    with pytest.raises(WeightsError, match=r"^w.h5: expected a mean and a positive standard dev") as error:
        Preprocessing.checked("w.h5", mean, std)
    assert str(error.value).endswith(f"found {mean} and {std}")
