"""The input of a network: which images it takes, and what is done to their pixels."""

import keras
import numpy as np
import pytest

from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing
from vggfcn.networks.builders.inputs import given, image_input, prepared
from vggfcn.networks.catalogue import ARCHITECTURES


@pytest.mark.parametrize(
    ("name", "native", "shape"),
    [
        ("vgg16", True, (None, 224, 224, 3)),
        ("vgg16", False, (None, None, None, 3)),
        ("lenet5", True, (None, 32, 32, 1)),
        ("lenet5", False, (None, None, None, 1)),
    ],
)
def test_images_of_native_size_or_of_any(name, native, shape):
    inputs, pixels = image_input(ARCHITECTURES[name], native, None)
    assert inputs.shape == shape
    assert pixels is inputs


def test_the_mean_is_subtracted_by_channel_and_the_deviation_divides():
    preprocessing = Preprocessing(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    model = keras.Model(*image_input(ARCHITECTURES["vgg16"], False, preprocessing))
    image = np.random.default_rng(0).integers(0, 256, (1, 2, 3, 3), np.uint8)
    expected = (image.astype(np.float64) - [1, 2, 3]) / [4, 5, 6]
    np.testing.assert_allclose(model(image), expected, rtol=1e-6)
    assert type(model.get_layer("preprocessing")) is keras.layers.Normalization


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (True, None),
        (False, None),
        ("0..1", Preprocessing((0.0,) * 3, (255.0,) * 3)),
        (Preprocessing((1.0, 2.0, 3.0)), Preprocessing((1.0, 2.0, 3.0))),
    ],
)
def test_what_the_caller_asks_for(asked, expected):
    assert given(asked, 3) == expected


@pytest.mark.parametrize("asked", ["vgg", 0.5, Preprocessing((1.0,), (1.0,))])
def test_and_what_is_no_preprocessing_of_three_channels(asked):
    with pytest.raises(ValueError, match="preprocess: expected"):
        given(asked, 3)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("how", ["0..1", "-1..1", "caffe", "torch", "mean=1,2,3,std=4,5,6,order=BGR"])
def test_a_model_whose_pixels_are_prepared(how, native):
    """The model gives back what it gets, so that what it gets is seen."""
    model = keras.Sequential([keras.Input((2, 3, 3) if native else (None, None, 3)), keras.layers.Identity()])
    preprocessing = parse_preprocessing(how)
    found = prepared(model, preprocessing, native=native)
    assert found.input_shape == ((None, 2, 3, 3) if native else (None, None, None, 3))
    image = np.random.default_rng(0).integers(0, 256, (1, 2, 3, 3), np.uint8)
    expected = (image.astype(np.float64) - preprocessing.mean) / preprocessing.std
    if "caffe" in how or "BGR" in how:
        expected = expected[..., ::-1]
    np.testing.assert_allclose(found(image), expected, rtol=1e-5, atol=1e-6)


def test_a_model_that_takes_pixels_as_they_are_stays_itself():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Identity()])
    assert prepared(model, parse_preprocessing("raw"), native=False) is model
    assert prepared(model, None, native=False) is model


@pytest.mark.parametrize("name", ["image", "preprocessing"])
def test_a_network_may_have_the_name_of_a_layer_that_comes_before_it(name):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(2)(inputs), name=name)
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    found = prepared(model, parse_preprocessing("0..1"), native=True)
    np.testing.assert_allclose(found(image), image / 127.5, rtol=1e-6)
