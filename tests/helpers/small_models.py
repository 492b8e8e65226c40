"""A small Keras model, an image for it, and how close two outputs must be."""

import keras
import networks
import numpy as np

layers = keras.layers


def small():
    """Stock layers, an open size, and a normalisation that is worked out before the first trace."""
    return networks.randomize(
        keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.Normalization(),
                layers.Conv2D(16, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(2),
                layers.Conv2D(4, 3),
            ]
        )
    )


def noise(*shape):
    return np.random.default_rng(3).uniform(0, 255, shape).astype(np.float32)


def assert_same(found, expected, tolerance=1e-5):
    expected = np.asarray(expected, np.float32)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
