"""Walks over Keras's graph; no other module uses its private names."""

import ast

import keras
import numpy as np
import pytest
from networks import channels_first, nested, subclassed
from paths import ROOT

from vggfcn.errors import ConversionError
from vggfcn.graph.walking import (
    arguments_of,
    dense_kernel,
    evaluate,
    graph_of,
    graph_or_refuse,
    layers_of,
    native_shape,
    nodes_of,
    order_of_inputs,
    producer_of,
)

layers = keras.layers

PACKAGE = ROOT / "vggfcn"


def defined(nodes):
    """Names of functions, classes, fields, and of attributes that are set."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def asked_for(nodes):
    """Names of attributes that are read, also by string."""
    for node in nodes:
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            yield str(getattr(node.args[1], "value", ""))


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def test_only_the_graph_uses_private_names_of_keras():
    """A private name is Keras's if nothing in the package defines it."""
    modules = {path.name: list(ast.walk(ast.parse(path.read_text()))) for path in PACKAGE.rglob("*.py")}
    own = {name for nodes in modules.values() for name in defined(nodes)} | {"_exit"}  # `os._exit` is public.
    found = {module: set(filter(is_private, asked_for(nodes))) - own for module, nodes in modules.items()}
    keras_names = {"_functional", "_inbound_nodes", "_nodes_by_depth", "_flatten_layers", "_keras_history", "_kernel"}
    gradio_names = {"_id"}  # Of an event in its queue.
    expected = {"walking.py": keras_names, "queue.py": gradio_names}
    assert {module: names for module, names in found.items() if names} == expected


def test_layers_of_nested_models():
    model = nested()
    names = [layer.name for layer in layers_of(model)]
    assert len(names) == len(set(names)) > len(model.layers) + 1
    assert names[0] == model.name


def test_the_producer_of_a_tensor():
    layer = keras.layers.Dense(3)
    assert producer_of(layer(keras.Input((4,)))) is layer


def test_all_arguments_of_a_call():
    image = keras.Input((3,))
    model = keras.Model(image, layers.Dropout(0.5)(2.0 / image, training=True))
    division, dropout = (arguments_of(node) for node in nodes_of(graph_of(model)))
    assert division[0] == 2
    assert division[1] is model.inputs[0]
    assert dropout[1:] == [True]


def test_the_kernel_of_a_dense_layer_is_its_variable_or_with_its_adaptation():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    assert dense_kernel(layer) is layer.variables[0]
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    assert np.abs(np.asarray(dense_kernel(layer)) - np.asarray(layer.variables[0])).max() > 0


def diamond():
    """2 x + 6 x, and 6 x."""
    image = keras.Input((4, 4, 1))
    doubled = layers.Rescaling(2.0)(image)
    tripled = layers.Rescaling(3.0)(doubled)
    return keras.Model(image, [layers.Add()([doubled, tripled]), tripled])


def test_evaluation_visits_each_call_after_those_it_depends_on():
    names = []

    def visit(node, args, kwargs):
        names.append(type(node.operation).__name__)
        (values,) = args
        return [sum(values) if isinstance(values, list) else node.operation.scale * values]

    assert evaluate(graph_of(diamond()), [5.0], visit) == [10 + 30, 30]
    assert names == ["Rescaling", "Rescaling", "Add"]


@pytest.mark.parametrize(
    ("build", "order"),
    [
        pytest.param(lambda: channels_first(layers.Flatten()), "chw", id="a channels-first convolution"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((3, 4, 4)), layers.ReLU(), layers.Permute((2, 3, 1))]), "chw",
            id="channels moved to the end",
        ),
        pytest.param(
            lambda: keras.Sequential([keras.Input((3, 13, 11)), channels_first(layers.Flatten())]), "chw",
            id="a nested model",
        ),
        pytest.param(
            lambda: keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(data_format="channels_first")]), "hwc",
            id="Flatten says nothing of the image",
        ),
        pytest.param(diamond, "hwc", id="no layer says anything"),
    ],
)  # fmt: skip
def test_the_order_of_the_images_axes(build, order):
    assert order_of_inputs(graph_of(build())) == order


@pytest.mark.parametrize(
    ("own", "input_shape", "expected"),
    [
        pytest.param((8, 9, 3), None, (8, 9, 3), id="the model's own"),
        pytest.param((None, None, 3), (8, 9, 3), (8, 9, 3), id="what the model leaves open"),
        pytest.param((5,), (8, 9, 3), (5,), id="a vector beside an image"),
        pytest.param((8, 9), None, (8, 9), id="an image without channels"),
    ],
)
def test_native_shapes(own, input_shape, expected):
    assert native_shape(keras.Input(own), input_shape) == expected


@pytest.mark.parametrize(
    ("own", "input_shape", "message"),
    [
        pytest.param((None, None, 3), None, r"the input \(None, None, 3\) has no fixed size; pass", id="open"),
        pytest.param((None, 9, 3), (8, 8, 3), r"input_shape \(8, 8, 3\) does not fit the model's input", id="other"),
        pytest.param((None, None, 3), (8, 9), r"input_shape \(8, 9\) does not fit the model's input", id="too short"),
        pytest.param((2, 3, 4, 5), None, "expected images or vectors, got an input of shape", id="a volume"),
    ],
)
def test_native_shapes_that_are_refused(own, input_shape, message):
    with pytest.raises(ConversionError, match=message):
        native_shape(keras.Input(own), input_shape)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: keras.Sequential([layers.Dense(2)]), "path/x: has not been built; start it with", id="not built"
        ),
        pytest.param(subclassed, "path/x: is a subclassed Subclassed: only its code says how", id="subclassed"),
    ],
)
def test_models_without_a_graph_are_refused(build, message):
    assert graph_of(build()) is None
    with pytest.raises(ConversionError, match=message):
        graph_or_refuse(build(), "path/x")
