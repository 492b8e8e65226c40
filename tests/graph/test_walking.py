"""What is asked of Keras's graph, and that nobody else asks."""

import ast

import keras
import numpy as np
from networks import nested
from paths import ROOT

from vggfcn.graph.walking import dense_kernel, layers_of, producer_of

PACKAGE = ROOT / "vggfcn"


def defined(nodes):
    """Names of functions, classes, fields, and of attributes that are set."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
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
    """Private names are somebody else's if nothing in the package defines them."""
    modules = {path.name: list(ast.walk(ast.parse(path.read_text()))) for path in PACKAGE.rglob("*.py")}
    own = {name for nodes in modules.values() for name in defined(nodes)}
    found = {module: set(filter(is_private, asked_for(nodes))) - own for module, nodes in modules.items()}
    keras_names = {"_functional", "_nodes_by_depth", "_flatten_layers", "_keras_history", "_kernel"}
    assert {module: names for module, names in found.items() if names} == {"walking.py": keras_names}


def test_layers_of_nested_models():
    model = nested()
    names = [layer.name for layer in layers_of(model)]
    assert len(names) == len(set(names)) > len(model.layers) + 1
    assert names[0] == model.name


def test_the_producer_of_a_tensor():
    layer = keras.layers.Dense(3)
    assert producer_of(layer(keras.Input((4,)))) is layer


def test_the_kernel_of_a_dense_layer_is_its_variable_or_with_its_adaptation():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    assert dense_kernel(layer) is layer.variables[0]
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    assert np.abs(np.asarray(dense_kernel(layer)) - np.asarray(layer.variables[0])).max() > 0
