"""Layers get variables of the listed shapes alone, and nothing is allocated for others."""

import threading

import keras
import numpy as np
import pytest

from vggfcn.networks.builders.bounded_layers import NoSuchArrayError, bounded_by


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
