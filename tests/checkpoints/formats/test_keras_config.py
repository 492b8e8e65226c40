"""A model's configuration says what the model computes and how it preprocesses, whichever Keras wrote it."""

import math

import pytest

from vggfcn.checkpoints.formats.keras_config import MAX_DEPTH, read
from vggfcn.checkpoints.preprocessing import Preprocessing

SHAPE = {"batch_shape": [None, 8, 8, 3], "name": "image"}
CONVOLUTION = {
    "name": "conv", "filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "groups": 1,
    "dilation_rate": [1, 1], "data_format": "channels_last", "use_bias": True, "activation": "relu",
    "kernel_initializer": {"class_name": "Zeros"}, "bias_regularizer": None, "trainable": False, "dtype": "float32",
}  # fmt: skip
POOL = {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "padding": "valid", "data_format": "channels_last"}
DENSE = {"name": "fc", "units": 5, "use_bias": True, "activation": "softmax"}
INPUT = ("input", {"rows": 8, "columns": 8, "channels": 3})
CONVOLVED = {
    "filters": 2, "size": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1, "bias": True, "arrays": "conv",
}  # fmt: skip


def layer(kind, _options=None, **options):
    return {"class_name": kind, "config": {**(_options or {}), **options}}


def sequential(*layers):
    return layer("Sequential", name="model", layers=[layer("InputLayer", SHAPE), *layers])


def keras3(name, **options):
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
    return [{"args": [tensor], "kwargs": {"mask": None, **options}}]


def keras2(name, **options):
    return [[[name, 0, 0, options]]]


def functional(call=keras3, change=lambda layers: None):
    """image -> conv -> flat -> fc, listed in another order."""
    layers = {
        "fc": {**layer("Dense", DENSE), "inbound_nodes": call("flat")},
        "image": {**layer("InputLayer", SHAPE), "inbound_nodes": []},
        "flat": {**layer("Flatten", name="flat"), "inbound_nodes": call("conv")},
        "conv": {**layer("Conv2D", CONVOLUTION), "inbound_nodes": call("image")},
    }
    change(layers)
    members = [{**member, "name": name} for name, member in layers.items()]
    ends = {"input_layers": ["image", 0, 0], "output_layers": [["fc", 0, 0]]}
    return layer("Functional", name="model", layers=members, **ends)


def steps(config):
    return [(step.kind, dict(step.options)) for step in read(config).steps]


CHAIN = [INPUT, ("convolution", CONVOLVED), ("relu", {}), ("flatten", {})]
CHAIN += [("dense layer", {"units": 5, "bias": True, "arrays": "fc"}), ("softmax", {})]


@pytest.mark.parametrize("call", [keras3, keras2])
def test_a_functional_model_is_followed_from_its_input_to_its_output(call):
    assert steps(functional(call)) == CHAIN


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda layers: layers["flat"].update(inbound_nodes=keras3("image")), "a layer left out"),
        (lambda layers: layers["flat"].update(inbound_nodes=keras3("conv") * 2), "two calls"),
        (lambda layers: layers["flat"].update(inbound_nodes=keras3("conv", training=True)), "called in training"),
        (lambda layers: layers["flat"].update(inbound_nodes=[[["conv", 0, 0, {}], ["image", 0, 0, {}]]]), "two inputs"),
        (lambda layers: layers["conv"].update(inbound_nodes=keras3("fc")), "a circle"),
        (lambda layers: layers["conv"].update(inbound_nodes="image"), "no list"),
        (lambda layers: layers["image"].update(inbound_nodes=keras3("fc")), "an input that is called"),
    ],
)
def test_a_graph_that_is_no_chain_is_said_to_be_none(change, why):
    assert [kind for kind, _ in steps(functional(change=change))] == [
        "a model whose layers are not one chain, each called once"
    ], why


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([layer("Conv2D", CONVOLUTION)], [("convolution", CONVOLVED), ("relu", {})], id="convolution"),
        pytest.param(
            [layer("Conv2D", CONVOLUTION, strides=[2, 2])],
            [("convolution", {**CONVOLVED, "stride": 2, "padding": "same"}), ("relu", {})],
            id="padding that depends on the map's size",
        ),
        pytest.param(
            [layer("Conv2D", CONVOLUTION, padding="causal", activation="linear", data_format="channels_first")],
            [("convolution", {**CONVOLVED, "padding": "causal", "data_format": "channels_first"})],
            id="other data format",
        ),
        pytest.param(
            [layer("Conv2D", CONVOLUTION, dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}})],
            [("convolution", {**CONVOLVED, "dtype": "mixed_float16"}), ("relu", {})],
            id="other precision",
        ),
        pytest.param(
            [layer("Conv2D", CONVOLUTION, lora_rank=4)],
            [("convolution", {**CONVOLVED, "lora_rank": 4}), ("relu", {})],
            id="an option that nobody knows",
        ),
        pytest.param(
            [layer("Conv2D", CONVOLUTION, activation={"class_name": "Mine"})],
            [("convolution", CONVOLVED), ("the activation {'class_name': 'Mine'}", {})],
            id="an activation that is an object",
        ),
        pytest.param(
            [layer("MaxPooling2D", POOL)], [("max pooling", {"size": 2, "stride": 2, "padding": 0})], id="pool"
        ),
        pytest.param(
            [layer("MaxPooling2D", POOL, strides=None)],
            [("max pooling", {"size": 2, "stride": 2, "padding": 0})],
            id="a pool whose stride is its size",
        ),
        pytest.param([layer("Dropout", rate=0.5), layer("InputLayer", SHAPE)], [], id="what changes nothing"),
        pytest.param([layer("Activation", activation="tanh")], [("tanh", {})], id="an activation"),
        pytest.param([layer("ReLU", max_value=None, negative_slope=0.0, threshold=0.0)], [("relu", {})], id="ReLU"),
        pytest.param([layer("ReLU", max_value=6.0)], [("relu", {"max_value": 6.0})], id="ReLU6"),
        pytest.param([layer("ReLU", max_value=0.0)], [("relu", {"max_value": 0.0})], id="zero"),
        pytest.param([layer("Softmax", axis=1)], [("softmax", {"axis": 1})], id="softmax over rows"),
        pytest.param([layer("Lambda")], [("Lambda", {})], id="an unknown layer"),
        pytest.param(
            [{**layer("Conv2D", CONVOLUTION), "module": "mine", "registered_name": "mine>Conv2D"}],
            [("the class mine>Conv2D, which is not Keras's", {})],
            id="a class of somebody's that is called as one of Keras's",
        ),
        pytest.param(
            [layer("Flatten", name="f"), layer("Rescaling", scale=2.0)], [("flatten", {}), ("Rescaling", {})], id="late"
        ),
    ],
)
def test_what_layers_compute(layers, expected):
    assert steps(sequential(*layers)) == [INPUT, *expected]


def nested(config, depth):
    for _ in range(depth):
        config = sequential(config)
    return config


def test_models_within_models_are_entered():
    assert steps(nested(sequential(layer("Flatten", name="f")), 5)) == [INPUT, ("flatten", {})]
    assert steps(nested(layer("Flatten"), MAX_DEPTH + 3))[-1][0] == "a model that is damaged or too deep"


def normalization(mean, variance, **options):
    return layer("Normalization", {"axis": [-1], "mean": mean, "variance": variance, "name": "scaled", **options})


STATED = Preprocessing((1, 2, 3), (1, 2, 3))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([normalization([1, 2, 3], [1, 4, 9])], STATED, id="Normalization"),
        pytest.param([normalization([[[[1, 2, 3]]]], [[[[1, 4, 9]]]])], STATED, id="numbers in lists of one"),
        pytest.param([normalization(2, 9)], Preprocessing((2,) * 3, (3,) * 3), id="one number for all channels"),
        pytest.param([layer("Rescaling", scale=0.5)], Preprocessing((0,) * 3, (2,) * 3), id="Rescaling"),
        pytest.param(
            [layer("Rescaling", scale=0.5, offset=-1.0)], Preprocessing((2,) * 3, (2,) * 3), id="Rescaling with offset"
        ),
        pytest.param(
            [layer("Rescaling", scale=0.5), normalization([1, 2, 3], [4, 4, 4])],
            Preprocessing((2, 4, 6), (4,) * 3),
            id="one after the other",
        ),
        pytest.param([], None, id="none"),
    ],
)
def test_preprocessing_is_that_of_the_layers_before_all_others(layers, expected):
    model = read(sequential(*layers, layer("Flatten", name="f")))
    assert [step.kind for step in model.steps] == ["input", "flatten"]
    if expected is None:
        assert model.preprocessing is None
    else:
        assert model.preprocessing.mean == pytest.approx(expected.mean)
        assert model.preprocessing.std == pytest.approx(expected.std)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(normalization(None, None), id="no numbers, because they were adapted"),
        pytest.param(normalization([1, 2, 3], None), id="no variance"),
        pytest.param(normalization(["a"], ["b"]), id="text"),
        pytest.param(normalization([10**400], [1]), id="a mean with no float"),
        pytest.param(normalization([1, 2, 3], [1, -1, 1]), id="a negative variance"),
        pytest.param(normalization([1, 2, 3], [1, 0, 1]), id="a variance of zero"),
        pytest.param(normalization([1, 2, math.nan], [1, 1, 1]), id="a mean that is not a number"),
        pytest.param(normalization([1, 2], [1, 1]), id="two channels"),
        pytest.param(normalization([1, 2, 3], [1, 1, 1], invert=True), id="the other way round"),
        pytest.param(normalization([1, 2, 3], [1, 1, 1], axis=1), id="another axis"),
        pytest.param(layer("Rescaling", scale=-1.0), id="a negative scale"),
        pytest.param(layer("Rescaling", scale=0.0), id="a scale of zero"),
        pytest.param(layer("Rescaling", scale="x"), id="a scale that is text"),
    ],
)
def test_preprocessing_that_cannot_be_taken_over_is_a_step_that_no_network_has(first):
    model = read(sequential(first, layer("Flatten", name="f")))
    assert model.preprocessing is None
    assert [step.kind for step in model.steps][1].startswith(first["class_name"])


@pytest.mark.parametrize(
    "config",
    [
        [1, "text"],
        7,
        layer("Mine"),
        {"class_name": "Functional"},
        {**functional(), "module": "mine", "registered_name": "mine>Functional"},
    ],
)
def test_a_model_of_another_class_is_no_network_here(config):
    (step,) = read(config).steps
    assert step.kind.startswith("a model of the class")


def test_damaged_models_are_no_network_here():
    for layers in (7, [7], [layer("Conv2D"), {"class_name": 3, "config": {}}]):
        assert [step.kind for step in read(layer("Sequential", layers=layers)).steps] == [
            "a model that is damaged or too deep"
        ]
    assert read(None) is None
