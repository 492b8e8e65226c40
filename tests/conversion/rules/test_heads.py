"""Rules for heads: kernels of dense layers as kernels of convolutions, pooling, quantised layers, attention."""

import keras
import numpy as np
import pytest
from layer_calls import call_of, map_value
from networks import channels_first, noise, plain, randomize, relative_difference, run

import vggfcn
from vggfcn.conversion.rules import heads
from vggfcn.errors import ConversionError

layers = keras.layers


@pytest.mark.parametrize("order", ["hwc", "chw"])
def test_a_convolution_with_the_viewed_kernel_is_the_dense_layer(order):
    """Written out: unit u is the sum over the map's numbers in the order in which Flatten unrolls them."""
    rng = np.random.default_rng(0)
    rows, columns, channels, units = 2, 3, 4, 5
    layer = layers.Dense(units)
    layer.build((None, rows * columns * channels))
    layer.kernel.assign(rng.standard_normal(layer.kernel.shape))
    image = rng.standard_normal((rows, columns, channels)).astype(np.float32)
    value = map_value((rows, columns), channels, order, shape=(rows * columns * channels,))
    kernel = np.asarray(heads.convolution_kernel(layer, value, (rows, columns)))
    assert kernel.shape == (rows, columns, channels, units)
    flat = image if order == "hwc" else image.transpose(2, 0, 1)
    expected = flat.ravel() @ np.asarray(layer.kernel)
    np.testing.assert_allclose(np.einsum("hwc,hwcu->u", image, kernel), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "value", "after", "size"),
    [
        pytest.param(layers.Dense(5), map_value((3, 4), 2, shape=(24,)), "Conv2D 3 x 4", (1, 1), id="an unrolled map"),
        pytest.param(layers.Dense(5), map_value((1, 1), 2, shape=(2,)), "Conv2D 1 x 1", (1, 1), id="a vector"),
        pytest.param(layers.Dense(5), map_value((3, 4), 2), "Conv2D 1 x 1", (3, 4), id="a map"),
        pytest.param(
            layers.GlobalMaxPooling2D(), map_value((3, 4), 2), "MaxPooling2D 3 x 4", (1, 1), id="global max pooling"
        ),
        pytest.param(
            layers.GlobalAveragePooling1D(), map_value((3, 4), 2, shape=(12, 2)), "AveragePooling2D 3 x 4", (1, 1),
            id="global average pooling of tokens",
        ),
    ],
)  # fmt: skip
def test_what_replaces_a_head(layer, value, after, size):
    call = call_of(layer, value)
    rule = heads.dense if isinstance(layer, layers.Dense) else heads.pooling
    output = rule(call)
    assert call.report(output).after == after
    assert output.size == size
    assert output.channels == output.tensor.shape[-1] == (5 if isinstance(layer, layers.Dense) else 2)


@pytest.mark.parametrize(
    ("rule", "layer", "value", "message"),
    [
        pytest.param(
            heads.pooling, layers.GlobalMaxPooling2D(data_format="channels_first", name="pool"), map_value((3, 4), 2),
            r"pool \(GlobalMaxPooling2D\): pools over axes \[2, 3\] of \(None, 3, 4, 2\); pool over rows and columns",
            id="pooling over columns and channels",
        ),
        pytest.param(
            heads.dense, layers.Dense(5, name="fc"), map_value((3, 4), 2, "chw"),
            r"fc \(Dense\): runs along the last axis of \(2, 3, 4\), which is not the channels",
            id="dense along the columns",
        ),
        pytest.param(
            heads.fixed_size, layers.Resizing(5, 5, name="resize"), map_value((3, 4), 2),
            r"resize \(Resizing\): resizes every image to a fixed size, \(5, 5, 2\); remove it, or keep_global=True",
            id="resizing",
        ),
    ],
)  # fmt: skip
def test_refused(rule, layer, value, message):
    with pytest.raises(ConversionError, match=message):
        rule(call_of(layer, value))


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


def test_a_quantised_layer_on_a_flattened_channels_first_map_is_refused():
    model = channels_first(layers.Flatten(data_format="channels_last"), layers.Dense(4, name="fc"))
    model.get_layer("fc").quantize("int8")
    with pytest.raises(ConversionError, match=r"fc \(Dense\): is quantised and reads a flattened channels-first map"):
        vggfcn.convert(model)


def test_masked_attention_is_refused():
    image = keras.Input((4, 4, 6))
    x = layers.Reshape((16, 6))(image)
    x = layers.MultiHeadAttention(2, 4, name="attend")(x, x, use_causal_mask=True)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    with pytest.raises(ConversionError, match="has a mask, which fits one size only"):
        vggfcn.convert(model, keep_global=True)
