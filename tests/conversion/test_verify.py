"""What `convert` promises beyond equal numbers: the proof, the weights, and the model it was given."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import (
    EXACT,
    attention,
    channels_first,
    cube,
    head,
    nested,
    noise,
    plain,
    randomize,
    relative_difference,
    run,
    shared,
    squeeze_and_excite,
    two_scales,
)

import vggfcn
from vggfcn.conversion import convert as conversion
from vggfcn.errors import ConversionError
from vggfcn.graph.layers import Kind

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


def test_convert_raises_when_a_rule_is_wrong(monkeypatch):
    from vggfcn.conversion import heads

    right = heads.convolution_kernel
    monkeypatch.setattr(heads, "convolution_kernel", lambda *arguments: right(*arguments)[::-1])
    with pytest.raises(ConversionError, match="plain: the converted network is not the same network: NOT the same"):
        vggfcn.convert(randomize(plain()))
    assert vggfcn.convert(randomize(plain()), check=False).conversion.equivalence is None


def test_a_saturated_softmax_hides_nothing():
    model = keras.Sequential([keras.Input((9,)), layers.Dense(8, name="fc1"), layers.Dense(4, activation="softmax")])
    randomize(model)
    model.layers[-1].bias.assign([1000.0, 0, 0, 0])
    converted = changed(vggfcn.convert(model), position=(0, 0, 1, 2))
    assert run(converted, [noise(model)[0][:, None, None]])[0].max() == 1
    assert not vggfcn.verify(model, converted).ok


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ConversionError, match=r"at native size the outputs have shapes .* where .* is expected"):
        vggfcn.verify(plain(), head(layers.Flatten(), layers.Dense(9), shape=(21, 18, 3)))
    with pytest.raises(ConversionError, match="expected 2 inputs as in the original, got 1"):
        vggfcn.verify(shared(), plain())


def test_overflow_in_the_original_is_not_taken_for_a_difference():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = randomize(head(layers.Flatten(), layers.Dense(4), before=[layers.Rescaling(100.0)]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert vggfcn.convert(model).conversion.equivalence.ok


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


def test_copied_weights_are_not(monkeypatch):
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
    context = [row for row in converted.conversion.rows if row.whole_image]
    assert context
    assert all(row.changed and "whole image" in row.after for row in context)
    assert "windows are not independent" in str(converted.conversion)
    larger = noise(model, (24, 20, model.input_shape[-1]))
    scores = run(converted, larger)[0]
    converted.save(tmp_path / "x.keras")
    np.testing.assert_array_equal(run(keras.saving.load_model(tmp_path / "x.keras"), larger)[0], scores)


def test_context_that_fits_one_size_only_is_refused_all_the_same():
    from networks import REFUSED

    with pytest.raises(ConversionError, match="its weights fit one size only"):
        vggfcn.convert(REFUSED["dense inside"][0](), keep_global=True)


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


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_quantised_dense_layers_compute_the_same(mode, tmp_path):
    model = randomize(plain())
    for name in ("fc1", "scores"):
        model.get_layer(name).quantize(mode)
    converted = vggfcn.convert(model)
    images = noise(model)
    assert relative_difference(run(converted, images)[0], run(model, images)[0]) < 1e-6
    assert run(converted, noise(model, (25, 22, 3)))[0].shape == (1, 3, 3, 4)
    converted.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(run(again, images)[0], run(converted, images)[0])


def lora():
    model = plain()
    model.get_layer("fc1").enable_lora(2)
    return model


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (two_scales, "trunk: is called on inputs of another kind too, and so is there 2 times"),
        (lora, r"fc1 \(Dense\): its low-rank adaptation is merged into the kernel"),
        (
            lambda: head(layers.Flatten(), layers.Dense(5, activation=cube)),
            "cube is taken to work on each value by itself",
        ),
        (lambda: head(layers.Flatten(), layers.Dense(5, kernel_constraint="max_norm")), "kernel constraint is dropped"),
    ],
    ids=["one nested model on two sizes", "low-rank adaptation", "a function of one's own", "a kernel constraint"],
)
def test_what_is_left_out_or_taken_for_granted_is_said(build, note, tmp_path):
    model = randomize(build())
    with pytest.warns(UserWarning, match=note):
        converted = vggfcn.convert(model)
    assert len(converted.conversion.notes) == 1
    images = noise(model)
    for one, other in zip(run(converted, images), run(model, images), strict=True):
        assert relative_difference(one, other) < 1e-5
    converted.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", custom_objects={"cube": cube})
    for one, other in zip(run(again, images), run(converted, images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_masked_attention_is_refused():
    image = keras.Input((4, 4, 6))
    x = layers.Reshape((16, 6))(image)
    x = layers.MultiHeadAttention(2, 4, name="attend")(x, x, use_causal_mask=True)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    with pytest.raises(ConversionError, match="has a mask, which fits one size only"):
        vggfcn.convert(model, keep_global=True)


def test_what_keras_refuses_is_refused_by_name(monkeypatch):
    def impossible(site):
        raise ValueError("no such shape")

    monkeypatch.setitem(conversion.RULES, Kind.FLATTEN, impossible)
    with pytest.raises(ConversionError, match=r"flatten \(Flatten\): cannot be used .*; Keras says: no such shape"):
        vggfcn.convert(plain())


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
