"""Layers get variables of the listed shapes alone, and nothing is allocated for others."""

import re
import threading

import keras
import numpy as np
import pytest

from vggfcn.networks.builders import bounded_layers
from vggfcn.networks.builders.bounded_layers import NoSuchArrayError, bounded_by, excessive_output


def build(units, name="dense"):
    layer = keras.layers.Dense(units, name=name)
    layer.build((None, 3))
    return layer


def test_variables_of_listed_shapes_are_zeros():
    with bounded_by([(3, 2), (2,)]):
        layer = build(2)
    assert not np.any(layer.kernel)
    assert np.any(build(2).kernel)


@pytest.mark.parametrize("units", [4, 2**31])
def test_other_shapes_are_refused_before_memory_is_allocated(units):
    with bounded_by([(3, 2), (2,)]), pytest.raises(NoSuchArrayError, match=r"big \(Dense\): .* an array \(3, "):
        build(units, "big")


def test_each_array_is_there_once():
    with bounded_by([(3, 2), (2,)]):
        build(2)
        with pytest.raises(NoSuchArrayError):
            build(2)


def test_other_threads_are_not_affected():
    made = []
    with bounded_by([]):
        thread = threading.Thread(target=lambda: made.append(build(5)))
        thread.start()
        thread.join()
    assert made[0].kernel.shape == (3, 5)


def test_layers_are_as_before_after_an_error():
    before = keras.layers.Layer.add_weight
    with pytest.raises(NoSuchArrayError), bounded_by([]):
        build(2)
    assert keras.layers.Layer.add_weight is before


def model(*layers, shape=(32, 32, 3)):
    return keras.Sequential([keras.Input(shape), *layers])


EXCESSIVE = {
    "an input of any size": (
        lambda: model(keras.layers.ReLU(), shape=(60_000, 60_000, 3)),
        "the input has 60,000 x 60,000 x 3 numbers",
    ),
    "padding": (
        lambda: model(keras.layers.ZeroPadding2D(100_000, name="pad")),
        r"pad \(ZeroPadding2D\) has 200,032 x 200,032 x 3",
    ),
    "upsampling": (lambda: model(keras.layers.UpSampling2D(10_000, name="up")), r"up \(UpSampling2D\) has 320,000 x"),
    "a model within the model": (
        lambda: model(model(keras.layers.ZeroPadding2D(10**5, name="pad"))),
        r"sequential.*/pad \(ZeroPadding2D\) has",
    ),
    "rows without a size": (
        lambda: model(keras.layers.ZeroPadding2D((0, 10**9), name="pad"), shape=(None, 32, 3)),
        "pad .ZeroPadding2D. has any x 2,000,000,032 x 3",
    ),
}


@pytest.mark.parametrize("name", EXCESSIVE)
def test_layers_without_arrays_may_not_take_all_memory(name):
    build, message = EXCESSIVE[name]
    assert re.match(message, excessive_output(build()))


def test_the_largest_published_networks_may(monkeypatch):
    large = keras.applications.EfficientNetB7(weights=None)
    assert excessive_output(large) == ""
    monkeypatch.setattr(bounded_layers, "MOST_NUMBERS", 600 * 600 * 3)
    assert "stem_conv" in excessive_output(large)


def test_threads_that_build_at_once_wait_for_each_other():
    """Else they would restore each other's replacement, and count in each other's lists."""
    before, failures = keras.layers.Layer.add_weight, []

    def build_many():
        for units in range(2, 30):
            try:
                with bounded_by([(3, units), (units,)]):
                    build(units)
            except NoSuchArrayError as error:
                failures.append(error)

    threads = [threading.Thread(target=build_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert keras.layers.Layer.add_weight is before


def test_a_model_that_is_called_many_times_is_looked_at_once():
    inner = model(keras.layers.ReLU())
    for _ in range(12):
        image = keras.Input((32, 32, 3))
        inner = keras.Model(image, inner(inner(image)))
    assert excessive_output(inner) == ""
