"""The heads of networks that end in average pooling: which are found, and what is said of the others."""

import keras
import numpy as np
import pytest

import vggfcn
from vggfcn.conversion.pooled_heads import pooled_head
from vggfcn.errors import ConversionError
from vggfcn.graph.walking import graph_of

layers = keras.layers


def network(*after, before=(), shape=(12, 12, 3)):
    """A convolution on 12 x 12 pixels, `before`, the pooling and all that is in `after`."""
    first = layers.Conv2D(6, 3, activation="relu", name="conv")
    return keras.Sequential([keras.Input(shape), first, *before, *after], name="net")


def gap(**options):
    return layers.GlobalAveragePooling2D(name="gap", **options)


def found(model, **options):
    converted = vggfcn.convert(model, check=False, **options)
    return pooled_head(graph_of(converted), converted.name)


def test_the_pooling_and_the_models_around_it():
    inner = keras.Sequential([keras.Input((10, 10, 6)), gap()], name="inner")
    top = keras.Sequential([keras.Input((10, 10, 6)), inner, layers.Dense(3)], name="top")
    head = found(network(top))
    assert (head.pool.layer.name, head.pool.path, len(head.pool.around)) == ("gap", "top/inner/", 2)
    assert tuple(head.pool.layer.pool_size) == (10, 10)
    assert head.order == "hwc"


LINEAR = {
    "nothing": (),
    "a dense layer": (layers.Dense(3),),
    "dropout, normalisation, scaling": (
        layers.Dropout(0.5), layers.BatchNormalization(), layers.Rescaling([1, 2, 3, 4, 5, 6]), layers.Dense(3),
    ),
    "a normalisation over everything": (layers.Normalization(axis=None, mean=1.0, variance=2.0), layers.Dense(3)),
    "1 x 1 convolutions": (
        layers.Reshape((1, 1, 6)), layers.Conv2D(4, 1), layers.SeparableConv2D(3, 1), layers.MaxPooling2D(1),
        layers.Flatten(),
    ),
    "an activation that is none": (layers.Dense(3, activation="linear"), layers.Activation("linear", dtype="float32")),
    "pooling of one cell": (layers.Reshape((1, 1, 6)), layers.GlobalAveragePooling2D(), layers.Dense(3)),
}  # fmt: skip


@pytest.mark.parametrize("after", LINEAR.values(), ids=LINEAR)
def test_linear_layers_may_follow(after):
    assert found(network(gap(), *after)).pool.layer.name == "gap"


def test_an_earlier_average_pooling_belongs_to_the_trunk():
    """Between it and the head's is a ReLU, or it has a stride or padding."""
    trunk = [layers.AveragePooling2D(2), layers.AveragePooling2D(2, 1, "same"), layers.AveragePooling2D(2, 1)]
    head = found(network(gap(), layers.Dense(3), before=[*trunk, layers.ReLU()]))
    assert head.pool.layer.name == "gap"


def operation(function):
    """keras.ops after the pooling."""
    image = keras.Input((12, 12, 3))
    return keras.Model(image, function(gap()(layers.Conv2D(6, 3)(image))))


@pytest.mark.parametrize(
    "function",
    [lambda x: 2.0 * x, lambda x: x + np.ones(6, np.float32), lambda x: 1.0 - x, lambda x: x / 3.0, keras.ops.negative],
    ids=["a factor", "a summand for each channel", "from a constant", "a divisor", "negative"],
)
def test_operations_with_constants_are_linear(function):
    assert found(operation(function)).pool.layer.name == "gap"


def in_training():
    image = keras.Input((12, 12, 3))
    x = layers.BatchNormalization(name="norm")(gap()(layers.Conv2D(6, 3)(image)), training=True)
    return keras.Model(image, layers.Dense(3)(x))


def quantised():
    model = network(gap(), layers.Dense(3, name="fc"))
    model.get_layer("fc").quantize("int8")
    return model


def two_branches():
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3)(image)
    x = layers.Concatenate(name="join")([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model(image, layers.Dense(3)(x))


def two_outputs_of_a_nested_model():
    """The head reads the second output of a nested model, in which another pooling leads to the first."""
    inner = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3)(inner)
    outputs = [layers.GlobalMaxPooling2D(name="maximum")(x), gap()(x)]
    trunk = keras.Model(inner, outputs, name="trunk")
    image = keras.Input((12, 12, 3))
    return keras.Model(image, layers.Dense(3)(trunk(image)[1]))


def test_the_outputs_of_nested_models_are_told_apart():
    assert found(two_outputs_of_a_nested_model()).pool.path == "trunk/"


LOGITS = "take it off, so that the network returns logits"
OTHER = "use the map of the network itself"
REFUSED = {
    "softmax in the last layer": (
        lambda: network(gap(), layers.Dense(3, activation="softmax", name="fc")), {},
        "fc (Conv2D): applies softmax after the pooling, so the mean over the cells is not the logit; " + LOGITS,
    ),
    "sigmoid in a layer of its own": (
        lambda: network(gap(), layers.Dense(1), layers.Activation("sigmoid", name="end")), {},
        "end (Activation): applies sigmoid after the pooling, so the mean over the cells is not the logit; " + LOGITS,
    ),
    "a Softmax layer": (
        lambda: network(gap(), layers.Dense(3), layers.Softmax(name="end")), {},
        "end (Softmax): is not linear, and follows the pooling, so the mean over the cells is not the logit; " + LOGITS,
    ),
    "a ReLU": (
        lambda: network(gap(), layers.ReLU(name="relu"), layers.Dense(3)), {},
        "relu (ReLU): is not linear, and follows the pooling, so the mean over the cells is not the logit; " + OTHER,
    ),
    "a dense layer with a ReLU": (
        lambda: network(gap(), layers.Dense(3, activation="relu", name="fc"), layers.Dense(2)), {},
        "fc (Conv2D): applies relu after the pooling",
    ),
    "layer normalisation": (
        lambda: network(gap(), layers.LayerNormalization(name="norm"), layers.Dense(3)), {},
        "norm (LayerNormalization): is not linear, and follows the pooling",
    ),
    "PReLU": (
        lambda: network(gap(), layers.PReLU(name="slopes"), layers.Dense(3)), {},
        "slopes (PReLU): is not linear, and follows the pooling",
    ),
    "training mode": (in_training, {}, "norm (BatchNormalization): runs in training mode after the pooling"),
    "a quantised layer": (quantised, {}, "fc (Dense): is quantised after the pooling, and so rounds what it reads"),
    "a square": (lambda: operation(keras.ops.square), {}, "(Square): is not linear, and follows the pooling"),
    "a division by the map": (lambda: operation(lambda x: 1.0 / x), {}, "is not linear, and follows the pooling"),
    "whole numbers": (
        lambda: operation(lambda x: keras.ops.cast(x, "int32")), {}, "(Cast): is not linear, and follows the pooling",
    ),
    "max pooling": (
        lambda: network(layers.GlobalMaxPooling2D(name="pool"), layers.Dense(3)), {},
        "pool (MaxPooling2D): takes the maximum, and no average pooling follows it; a class activation map needs "
        "global average pooling near the output",
    ),
    "Flatten and dense layers": (
        lambda: network(layers.Flatten(), layers.Dense(3, name="fc")), {},
        "fc (Conv2D): reads more than one cell, and no average pooling follows it",
    ),
    "two poolings": (
        lambda: network(
            layers.AveragePooling2D((10, 1), 1, name="rows"), layers.Conv2D(6, 1), gap(), layers.Dense(3)
        ), {},
        "rows (AveragePooling2D): averages before gap averages again; pool once, over the whole native map",
    ),
    "two branches": (
        two_branches, {}, "join (Concatenate): merges several branches, and no average pooling follows it",
    ),
    "pooling with a stride": (
        lambda: network(layers.AveragePooling2D(2, name="half"), layers.Conv2D(3, 1)), {},
        "half (AveragePooling2D): averages with strides (2, 2) and valid padding, where pooling over the native map",
    ),
    "pooling with padding": (
        lambda: network(layers.AveragePooling2D(2, 1, "same", name="smooth"), layers.Conv2D(3, 1)), {},
        "smooth (AveragePooling2D): averages with strides (1, 1) and same padding",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("build", "options", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_other_heads_are_refused_by_name(build, options, message):
    with pytest.raises(ConversionError) as refusal:
        found(build(), **options)
    assert message in str(refusal.value)


def test_what_was_not_converted_is_told_to_be():
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, layers.Conv2D(3, 1)(gap(keepdims=True)(layers.Conv2D(6, 3)(image))))
    with pytest.raises(
        ConversionError, match=r"gap \(GlobalAveragePooling2D\): pools over the whole image; convert the"
    ):
        pooled_head(graph_of(model), "net")


def test_a_finer_network_is_told_to_be_made_finer_afterwards():
    model = vggfcn.convert(network(gap(), layers.Dense(3), before=[layers.MaxPooling2D(2)]), check=False)
    finer = vggfcn.with_output_stride(model, 1)
    with pytest.raises(ConversionError, match=r"gap/.*a network that was not made finer before"):
        pooled_head(graph_of(finer), "net")


def test_a_network_that_reads_nothing_but_pixels_has_no_pooling():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(3, 1)], name="pixels")
    with pytest.raises(ConversionError, match="pixels: has no average pooling"):
        pooled_head(graph_of(model), "pixels")
