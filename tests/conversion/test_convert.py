"""Converted networks are the originals; what cannot be kept exact is refused by name."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import (
    EXACT,
    REFUSED,
    as_maps,
    attention,
    channels_first,
    head,
    nested,
    noise,
    plain,
    randomize,
    relative_difference,
    run,
    shared,
    squeeze_and_excite,
)
from rule_networks import UNPADDED

import vggfcn
from vggfcn.conversion.convert import RULES
from vggfcn.errors import ConversionError
from vggfcn.graph.walking import graph_of

layers = keras.layers
TOLERANCE = 1e-5


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in EXACT.items()])
def test_is_the_original_at_native_size_and_is_saved_and_loaded_with_stock_keras(build, tmp_path):
    original = randomize(build())
    converted = vggfcn.convert(original)
    images = noise(original)
    expected, scores = run(original, images), run(converted, as_maps(images))
    assert len(expected) == len(scores)
    for one, other in zip(scores, expected, strict=True):
        assert one.ndim == 4
        assert relative_difference(one, other) < TOLERANCE
        assert np.abs(other).min() > 0
    converted.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    for one, other in zip(run(again, as_maps(images)), scores, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in EXACT.items()])
def test_takes_larger_images(build):
    converted = vggfcn.convert(build(), check=False)
    for output in run(converted, [np.zeros((1, *grown(tensor)), np.float32) for tensor in converted.inputs]):
        assert output.ndim == 4
        assert sum(side > 1 for side in output.shape[1:]) > 1


def grown(tensor):
    """A larger image for such an input."""
    return tuple(40 if side is None else side for side in tensor.shape[1:])


@pytest.mark.parametrize(("build", "title", "hint"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_what_cannot_be_exact_is_refused_by_name_with_a_hint(build, title, hint):
    with pytest.raises(ConversionError) as refusal:
        vggfcn.convert(build())
    assert title in str(refusal.value)
    assert hint in str(refusal.value)


def test_what_is_no_model_is_a_type_error():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        vggfcn.convert("model.keras")


def test_every_rule_has_a_network_that_it_is_tried_on():
    """By the kinds of layers that the networks of this file have."""
    classes = set()
    for build in [*EXACT.values(), *UNPADDED.values(), *(case[0] for case in REFUSED.values())]:
        model = build()
        classes |= {type(layer).__name__ for layer in model._flatten_layers()}
        classes |= {type(operation).__name__ for operation in getattr(graph_of(model), "operations", [])}
    untried = [kind for kind in RULES if not classes & set(kind.value.split())]
    assert untried == []


def test_convert_raises_when_a_rule_is_wrong(monkeypatch):
    from vggfcn.conversion.rules import heads

    right = heads.convolution_kernel
    monkeypatch.setattr(heads, "convolution_kernel", lambda *arguments: right(*arguments)[::-1])
    with pytest.raises(ConversionError, match="plain: the converted network is not the same network: NOT the same"):
        vggfcn.convert(randomize(plain()))
    assert vggfcn.convert(randomize(plain()), check=False).conversion.equivalence is None


def test_the_model_is_left_untouched():
    model = randomize(nested())
    model.compile("sgd", "mse")
    before = json.dumps(model.get_config(), sort_keys=True), [value.copy() for value in model.get_weights()]
    nodes = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    converted = vggfcn.convert(model)
    for variable in converted.weights:
        variable.assign(np.zeros(variable.shape))
    assert json.dumps(model.get_config(), sort_keys=True) == before[0]
    for old, new in zip(before[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert nodes == [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    assert model.optimizer is not None


def test_shared_weights_are_the_same_variables():
    model = randomize(plain())
    converted = vggfcn.convert(model, share_weights=True)
    own = {id(variable) for variable in model.weights}
    apart = [variable.path for variable in converted.weights if id(variable) not in own]
    assert apart == ["fc1/kernel", "scores/kernel"]  # They have another shape.
    converted.get_layer("conv").bias.assign(np.ones(5))
    np.testing.assert_array_equal(model.get_layer("conv").bias, np.ones(5))


def test_copied_weights_are_not():
    model = randomize(plain())
    converted = vggfcn.convert(model)
    assert not {id(variable) for variable in model.weights} & {id(variable) for variable in converted.weights}
    assert [variable.path.split("/")[-2:] for variable in model.weights] == [
        variable.path.split("/")[-2:] for variable in converted.weights
    ]


def test_nothing_is_initialised_at_random(monkeypatch):
    model = randomize(plain())

    def random(*arguments, **options):
        raise AssertionError("initialised at random")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", random)
    vggfcn.convert(model, check=False)


def memory(model, layer):
    """A layer's kernel as it lies in memory, flat."""
    return np.from_dlpack(tf.convert_to_tensor(model.get_layer(layer).kernel.value)).ravel()


@pytest.mark.parametrize("trained", ["the copy", "the original"])
def test_copies_share_memory_until_one_of_them_is_trained(trained):
    model = randomize(plain())
    converted = vggfcn.convert(model)
    for layer in ("conv", "fc1", "scores"):
        assert np.shares_memory(memory(model, layer), memory(converted, layer))
    target, other = (converted, model) if trained == "the copy" else (model, converted)
    before = {layer: memory(other, layer).copy() for layer in ("conv", "fc1", "scores")}
    for layer in before:
        kernel = target.get_layer(layer).kernel.value
        kernel.assign_sub(tf.ones_like(kernel))  # In place, as optimizers do.
    for layer, values in before.items():
        np.testing.assert_array_equal(memory(other, layer), values)
        np.testing.assert_array_equal(memory(target, layer), values - 1)


def test_trainable_flags_names_and_dtypes_are_kept():
    model = plain()
    model.get_layer("fc1").trainable = False
    converted = vggfcn.convert(model)
    assert not converted.get_layer("fc1").trainable
    assert converted.get_layer("scores").trainable
    assert converted.name == "plain"
    kept = [layer.name for layer in model.layers if layer.name != "flatten"]
    assert [layer.name for layer in converted.layers[1:]] == kept


def test_nested_models_stay_nested_and_shared_layers_shared():
    converted = vggfcn.convert(randomize(nested()))
    assert converted.get_layer("top").get_layer("fc").kernel.shape == (10, 10, 4, 5)
    assert converted.get_layer("level2").get_layer("level1").get_layer("level0").get_layer("trunk").get_layer("conv")
    converted = vggfcn.convert(shared())
    assert len(converted.get_layer("conv")._inbound_nodes) == len(converted.get_layer("fc")._inbound_nodes) == 2
    assert set(converted.output) == {"distance", "first"}


def test_a_fully_convolutional_model_is_returned_as_such():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.ReLU()])
    assert vggfcn.convert(model, input_shape=(8, 8, 3)) is model
    fixed = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    assert vggfcn.convert(fixed).output_shape == (None, None, None, 4)


@pytest.mark.parametrize(
    "build",
    [squeeze_and_excite, attention, lambda: head(layers.GroupNormalization(2), layers.Flatten(), layers.Dense(3)),
     lambda: head(layers.Resizing(5, 4), layers.Flatten(), layers.Dense(3))],
    ids=["squeeze and excite", "attention", "group normalisation", "resizing"],
)  # fmt: skip
def test_context_is_kept_when_asked_and_the_result_says_so(build, tmp_path):
    model = randomize(build())
    converted = vggfcn.convert(model, keep_global=True)
    images = noise(model)
    assert relative_difference(run(converted, images)[0], run(model, images)[0]) < 1e-5
    assert not converted.conversion.independent_windows
    context = [layer for layer in converted.conversion.layers if layer.whole_image]
    assert context
    assert all(layer.changed and "whole image" in layer.after for layer in context)
    assert "windows are not independent" in str(converted.conversion)
    larger = noise(model, (24, 20, model.input_shape[-1]))
    scores = run(converted, larger)[0]
    converted.save(tmp_path / "x.keras")
    np.testing.assert_array_equal(run(keras.saving.load_model(tmp_path / "x.keras"), larger)[0], scores)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies_are_kept(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = randomize(plain())
    finally:
        keras.config.set_dtype_policy("float32")
    converted = vggfcn.convert(model)
    assert converted.get_layer("fc1").dtype_policy.name == policy
    assert converted.conversion.equivalence.dtype == policy.removeprefix("mixed_")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_models_from_files(suffix, tmp_path):
    model = randomize(EXACT["nested models"]())
    model.save(tmp_path / f"x.{suffix}")
    loaded = keras.saving.load_model(tmp_path / f"x.{suffix}", compile=False)
    images = noise(model)
    assert relative_difference(run(vggfcn.convert(loaded), images)[0], run(model, images)[0]) < 1e-5


def test_channels_first_results_are_channels_last_after_the_head():
    model = channels_first(layers.Flatten(), layers.Dense(4))
    converted = vggfcn.convert(model)
    assert converted.input_shape == (None, 3, None, None)
    assert converted.output_shape == (None, None, None, 4)
