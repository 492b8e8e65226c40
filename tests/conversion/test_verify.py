"""`verify`: it sees one changed number, whatever could hide it, and refuses networks that do not match."""

import dataclasses

import keras
import numpy as np
import pytest
from networks import head, noise, plain, randomize, run, shared

import vggfcn
from vggfcn.conversion.verify import rounding
from vggfcn.errors import ConversionError

layers = keras.layers


def changed(model, layer="fc1", amount=0.01, position=(0, 1, 2, 3)):
    """One element of one kernel changed."""
    kernel = model.get_layer(layer).kernel
    values = np.array(kernel)
    values[position] += amount
    kernel.assign(values)
    return model


def test_equivalence_prints_as_one_line_and_carries_the_figures():
    original = randomize(plain())
    found = vggfcn.verify(original, vggfcn.convert(original))
    assert found.ok
    assert 0 <= found.max_rel_error <= found.tolerance < 1e-4
    assert found.float64_error <= found.float64_tolerance < 1e-10
    assert found.dtype == "float32"
    assert str(found).startswith("the same at native size: outputs differ by at most ")
    assert "\n" not in str(found)


@pytest.mark.parametrize("seed", range(3))
def test_one_changed_element_of_a_converted_kernel_is_seen(seed):
    original = randomize(plain(), seed)
    rng = np.random.default_rng(seed)
    for layer, amount in [("fc1", 1e-3), ("scores", 1e-3), ("conv", 1e-3)]:
        converted = vggfcn.convert(original)
        position = tuple(rng.integers(0, side) for side in converted.get_layer(layer).kernel.shape)
        found = vggfcn.verify(original, changed(converted, layer, amount, position))
        assert not found.ok
        assert str(found).startswith("NOT the same at native size")


def test_a_saturated_softmax_hides_nothing():
    model = keras.Sequential([keras.Input((9,)), layers.Dense(8, name="fc1"), layers.Dense(4, activation="softmax")])
    randomize(model)
    model.layers[-1].bias.assign([1000.0, 0, 0, 0])
    converted = changed(vggfcn.convert(model), position=(0, 0, 1, 2))
    assert run(converted, [noise(model)[0][:, None, None]])[0].max() == 1
    assert not vggfcn.verify(model, converted).ok


def test_a_dead_unit_hides_nothing():
    model = keras.Sequential([keras.Input((9,)), layers.Dense(8, activation="relu", name="fc1"), layers.Dense(4)])
    randomize(model)
    model.layers[0].bias.assign([-1e6] * 8)
    converted = changed(vggfcn.convert(model), position=(0, 0, 1, 2))
    found = vggfcn.verify(model, converted)
    assert found.max_rel_error == 0
    assert not found.ok


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(
        ConversionError, match=r"expected outputs of shapes \[\(1, 4\)\] at native size, got \[\(1, 9\)\]"
    ):
        vggfcn.verify(plain(), head(layers.Flatten(), layers.Dense(9), shape=(21, 18, 3)))
    with pytest.raises(ConversionError, match="expected 2 inputs like the original, got 1"):
        vggfcn.verify(shared(), plain())


def test_overflow_in_the_original_is_not_taken_for_a_difference():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = randomize(head(layers.Flatten(), layers.Dense(4), before=[layers.Rescaling(100.0)]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert vggfcn.convert(model).conversion.equivalence.ok


def test_the_tolerance_grows_with_the_square_root_of_the_depth_and_with_the_dtypes_rounding():
    """32 units in the last place: 2^-23 in float32, 2^-7 in bfloat16."""
    one = keras.Sequential([keras.Input((9,)), layers.Dense(3)])
    four = keras.Sequential([keras.Input((9,)), *(layers.Dense(3) for _ in range(4)), layers.ReLU()])
    coarse = keras.Sequential([keras.Input((9,)), layers.Dense(3, dtype="mixed_bfloat16")])
    assert rounding(one) == ("float32", 32 * 2.0**-23)
    assert rounding(four) == ("float32", 64 * 2.0**-23)
    assert rounding(coarse) == ("bfloat16", 32 * 2.0**-7)


def test_samples_and_seed_choose_the_noise():
    original = randomize(plain())
    converted = vggfcn.convert(original, check=False)
    one, same, other = (vggfcn.verify(original, converted, samples=n, seed=s) for n, s in ((1, 0), (1, 0), (1, 1)))
    assert dataclasses.asdict(one) == dataclasses.asdict(same)
    assert one.largest != other.largest
    assert vggfcn.verify(original, converted, samples=2).largest > 10 * one.largest  # The second has size 255.


def test_a_nested_model_computes_in_float64_too():
    """Keras would round what flows into it to float32, and so take the same layers for another network."""
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4)], name="inner")
    nested = randomize(keras.Sequential([keras.Input((5,)), layers.Dense(6), inner]))
    flat = keras.Sequential([keras.Input((5,)), layers.Dense(6), layers.Dense(4)])
    flat.set_weights(nested.get_weights())
    assert vggfcn.verify(nested, flat).float64_error < 1e-15
