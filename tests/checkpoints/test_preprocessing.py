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
    parse_preprocessing,
    published_for,
    unknown_preprocessing,
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


# What each choice does to black, white and pure red, written out from Keras's imagenet_utils.py and torchvision.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("raw", [[0, 0, 0], [255, 255, 255], [255, 0, 0]], id="raw"),
        pytest.param("0..1", [[0, 0, 0], [1, 1, 1], [1, 0, 0]], id="0..1"),
        pytest.param("-1..1", [[-1, -1, -1], [1, 1, 1], [1, -1, -1]], id="-1..1"),
        pytest.param("TF", [[-1, -1, -1], [1, 1, 1], [1, -1, -1]], id="tf"),
        pytest.param(
            "caffe",
            [
                [-103.939, -116.779, -123.68],
                [255 - 103.939, 255 - 116.779, 255 - 123.68],
                [-103.939, -116.779, 255 - 123.68],
            ],
            id="caffe: blue first",
        ),
        pytest.param(
            "torch",
            [
                [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
                [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225],
                [0.515 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
            ],
            id="torch",
        ),
        pytest.param("mean=10,20,30,std=2", [[-5, -10, -15], [122.5, 117.5, 112.5], [122.5, -10, -15]], id="numbers"),
        pytest.param("mean=10,20,30,order=bgr", [[-30, -20, -10], [225, 235, 245], [-30, -20, 245]], id="BGR"),
    ],
)
def test_choices(text, expected):
    preprocessing = parse_preprocessing(text)
    values = applied(preprocessing, [[0, 0, 0], [255, 255, 255], [255, 0, 0]])
    np.testing.assert_allclose(values[:, ::-1] if preprocessing.color_order == "BGR" else values, expected, atol=1e-12)
    assert parse_preprocessing(str(preprocessing)) == preprocessing


@pytest.mark.parametrize("text", ["raw", "0..1", "-1..1", "mean=0.1234567890123,std=7"])
def test_choices_for_grey(text):
    preprocessing = parse_preprocessing(text, 1)
    assert len(preprocessing.mean) == 1
    assert parse_preprocessing(str(preprocessing), 1) == preprocessing


@pytest.mark.parametrize(
    ("text", "channels", "message"),
    [
        pytest.param("", 3, r"expected raw, 0\.\.1, -1\.\.1, caffe, torch, mean=\.\.,std=\.\., got ''", id="nothing"),
        pytest.param("imagenet", 3, "expected raw", id="an unknown name"),
        pytest.param("caffe", 1, "is for RGB, and the network takes 1 channel", id="BGR for grey"),
        pytest.param("mean=..,std=..", 3, "3 number", id="the template itself"),
        pytest.param("mean=1,2", 3, "3 number", id="too few numbers"),
        pytest.param("mean=1,2,3,std=0", 3, "greater than 0", id="a deviation of zero"),
        pytest.param("mean=nan", 3, "3 number", id="not a number"),
        pytest.param("mean=0,std=255,std=1", 3, "3 number", id="a name given twice"),
        pytest.param("mean=1,2,3,order=grb", 3, "3 number", id="an unknown order"),
        pytest.param("mean=.485,.456,.406,std=.229,.224,.225", 3, "multiply both by 255", id="for pixels in [0, 1]"),
        pytest.param("mean=.5,std=1", 3, "multiply both by 255", id="a mean for pixels in [0, 1]"),
    ],
)
def test_refuses_a_text(text, channels, message):
    with pytest.raises(ValueError, match=message):
        parse_preprocessing(text, channels)


def test_nobody_guesses_how_images_were_prepared():
    """The error says how to say it, what can be said, what is likely, and how to find out."""
    zero_to_one = published_for(parse_preprocessing("0..1"))
    error = unknown_preprocessing("w.h5", zero_to_one)
    assert isinstance(error, WeightsError)
    text = str(error)
    assert text.startswith("w.h5: nothing says how images were prepared when it was trained")
    for part in ("--preprocess", "preprocess=", "published for 0..1. ", "caffe: BGR", "vggfcn inspect w.h5 --images"):
        assert part in text
    assert published_for(None) == ""
    assert "published" not in str(unknown_preprocessing("w.h5"))


@pytest.mark.parametrize(
    ("channels", "offered"),
    [
        (1, ["raw", "0..1", "-1..1", "mean=..,std=.."]),
        (3, ["raw", "0..1", "-1..1", "caffe", "torch", "mean=..,std=.."]),
    ],
)
def test_only_what_fits_the_channels_is_offered(channels, offered):
    text = str(unknown_preprocessing("grey one.h5", channels=channels))
    choices = text.partition("The choices: ")[2].partition(". Unsure?")[0]
    assert [choice.partition(": ")[0] for choice in choices.split("; ") if ": " in choice] == offered
    for choice in offered[:-1]:
        assert len(parse_preprocessing(choice, channels).mean) == channels
    assert "vggfcn inspect 'grey one.h5' --images" in text


def test_a_model_in_memory_has_to_be_saved_before_it_is_inspected():
    assert "Save it, and vggfcn inspect FILE --images" in str(unknown_preprocessing("model_1", is_file=False))
