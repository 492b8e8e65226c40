"""The input of a network: which images it takes, and what is done to their pixels."""

import keras
import numpy as np
import pytest

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.networks.builders.inputs import image_input
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
