"""Copies of layers, and variables made from existing values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vggfcn.graph.copying import LayerFactory, building_from, copy_layer, has_sublayers, has_weights, values_of

layers = keras.layers


class Unnamed(layers.Layer):
    """Its only variable has no name."""

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


def test_a_copy_has_the_changes_and_the_custom_activation():
    def cube(x):
        return x**3

    copy = copy_layer(layers.Conv2D(4, 3, 2, activation=cube, name="conv"), strides=(1, 1))
    assert (copy.name, copy.strides, copy.kernel_size, copy.activation) == ("conv", (1, 1), (3, 3), cube)
    assert copy.weights == []


def test_a_layer_is_copied_once_for_each_change_and_under_names_of_their_own():
    layer, factory = layers.Conv2D(4, 3, name="conv"), LayerFactory(share_weights=False, made={})
    image = keras.Input((9, 9, 3))
    layer(image)
    first, second, changed = (factory.copy(layer, changes) for changes in ({}, {}, {"strides": (2, 2)}))
    assert first is second
    assert (first.layer.name, changed.layer.name, changed.layer.strides) == ("conv", "conv_again", (2, 2))
    for made in (first, first, changed):
        factory.call(made, image)
        np.testing.assert_array_equal(made.layer.kernel, layer.kernel)


@pytest.mark.parametrize("share", [False, True])
def test_layers_with_sublayers_are_copied_with_all_values_or_shared_as_a_whole(share):
    layer, image = layers.MultiHeadAttention(2, 4), keras.Input((5, 6))
    layer(image, image)
    for variable in layer.weights:
        variable.assign(np.arange(np.prod(variable.shape), dtype=np.float32).reshape(variable.shape))
    assert has_sublayers(layer)
    assert has_weights(layer)
    factory = LayerFactory(share_weights=share, made={})
    made = factory.copy(layer, {})
    factory.call(made, image, image)
    assert (made.layer is layer) is share
    for copied, original in zip(made.layer.weights, layer.weights, strict=True):
        np.testing.assert_array_equal(copied, original)
