"""One trace for images of all sizes, replacements that do not outlive it, and digests of what was traced."""

import keras
import networks
import pytest
from small_models import noise, small

import vggfcn
from vggfcn.engines.tracing import digest_of, replaced, trace

layers = keras.layers


def test_a_network_is_traced_once_for_all_sizes():
    traces = []

    def seen(x):
        traces.append(x.shape)
        return x

    model = keras.Sequential([keras.Input((None, None, 3)), layers.Lambda(seen), layers.Conv2D(2, 3)])
    traces.clear()
    engine = vggfcn.compile(model, "tensorflow")
    for size in range(8, 20):
        engine(noise(size % 3 + 1, size, 2 * size, 3))
    assert traces == [(None, None, None, 3)]


def test_replacements_apply_to_stock_convolutions_and_only_while_tracing():
    class Custom(layers.Conv2D):
        pass

    stock, custom = layers.Conv2D(2, 3), Custom(2, 3)
    replacement = lambda layer: f"instead of {layer.name}"  # noqa: E731
    with replaced([stock, custom, layers.ReLU()], replacement):
        assert vars(stock)["convolution_op"] == f"instead of {stock.name}"
        assert "convolution_op" not in vars(custom)
    assert "convolution_op" not in vars(stock)


def test_a_layer_is_itself_again_after_an_error():
    layer = layers.Conv2D(2, 3)
    with pytest.raises(RuntimeError, match="stopped"), replaced([layer], lambda layer: print):
        raise RuntimeError("stopped")
    assert "convolution_op" not in vars(layer)


def test_the_same_network_has_the_same_digest_whatever_its_layers_names():
    model, same = small(), small()
    assert [layer.name for layer in same.layers] != [layer.name for layer in model.layers]
    assert digest_of(trace(same)) == digest_of(trace(model))


def plain(**arguments):
    arguments = {"filters": 4, "kernel_size": 3, **arguments}
    layer = layers.Conv2D(**arguments)
    return networks.randomize(keras.Sequential([keras.Input((None, None, 3)), layer]))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: plain(activation="relu"), id="an activation"),
        pytest.param(lambda: plain(padding="same"), id="the padding"),
        pytest.param(lambda: plain(dilation_rate=2), id="the dilation"),
        pytest.param(lambda: keras.Sequential([keras.Input((8, 8, 3)), *plain().layers]), id="the size of the image"),
    ],
)
def test_another_structure_has_another_digest(other):
    assert digest_of(trace(other())) != digest_of(trace(plain()))


def test_one_changed_number_gives_another_digest():
    model = plain()
    before = digest_of(trace(model))
    model.layers[-1].bias.value[1].assign(model.layers[-1].bias.value[1] + 1e-6)
    assert digest_of(trace(model)) != before
