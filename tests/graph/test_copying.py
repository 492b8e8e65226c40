"""Layers built from values that are there already."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vggfcn.graph.copying import building_from, copy_layer, values_of

layers = keras.layers


class Unnamed(layers.Layer):
    """Its only variable has no name of its own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")


def test_variables_are_made_from_arrays_by_name():
    layer = layers.Conv2D(2, 3)
    kernel, bias = np.arange(54, dtype=np.float32), np.array([5, 6], np.float32)
    with building_from(layer, {"kernel": kernel, "bias": bias, "something else": bias}):
        layer.build((None, 9, 9, 3))
    np.testing.assert_array_equal(layer.kernel, kernel.reshape(3, 3, 3, 2))
    np.testing.assert_array_equal(layer.bias, bias)
    assert type(layer.get_config()["kernel_initializer"]["config"]) is dict
    assert "add_weight" not in vars(layer)


@pytest.mark.parametrize("values", [{}, {"bias": None}], ids=["none", "no value"])
def test_what_has_no_value_is_initialized(values):
    layer = layers.Dense(2, bias_initializer="ones")
    with building_from(layer, {"kernel": np.zeros((3, 2), np.float32), **values}):
        layer.build((None, 3))
    np.testing.assert_array_equal(layer.bias, [1, 1])
    np.testing.assert_array_equal(layer.kernel, np.zeros((3, 2)))


def test_the_only_variable_needs_no_name():
    original = Unnamed()
    original.build((None, 3))
    original.scale.assign([1, 2, 3])
    copy = Unnamed()
    with building_from(copy, values_of(original)):
        copy.build((None, 3))
    np.testing.assert_array_equal(copy.scale, [1, 2, 3])


def test_shared_variables_are_the_same_if_the_shape_is():
    original = layers.Dense(2)
    original.build((None, 3))
    twin, other = copy_layer(original), layers.Conv2D(2, 1)
    with building_from(twin, values_of(original), share=True):
        twin.build((None, 3))
    with building_from(other, values_of(original), share=True):
        other.build((None, 1, 1, 3))
    assert twin.kernel is original.kernel
    assert other.bias is original.bias
    assert other.kernel is not original.kernel
    np.testing.assert_array_equal(other.kernel[0, 0], original.kernel)


def test_a_layer_is_itself_again_after_an_error():
    layer = layers.Dense(2)
    with pytest.raises(tf.errors.InvalidArgumentError), building_from(layer, {"kernel": np.zeros(5, np.float32)}):
        layer.build((None, 3))
    assert "add_weight" not in vars(layer)
