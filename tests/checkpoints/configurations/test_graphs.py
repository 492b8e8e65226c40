"""The calls of layers keep their inputs, whichever version counted them."""

import json
import pathlib

import keras
import pytest
from raw_configs import functional, image_input, layer

from vggfcn.checkpoints.configurations import graphs, models
from vggfcn.checkpoints.configurations.notes import Rewriting
from vggfcn.errors import WeightsError


def rewritten(config, version=(2, 15)):
    rewriting = Rewriting(pathlib.Path("m.h5"), version)
    found = models.rewrite(json.loads(json.dumps(config)), rewriting)
    again = models.rewrite(json.loads(json.dumps(found)), Rewriting(pathlib.Path("m.h5"), version))
    assert again == found, "rewriting twice is rewriting once"
    return found, rewriting.notes()


def called_on(config, name):
    """(layer, call) of each input of each call of a layer."""
    (part,) = [part for part in config["config"]["layers"] if part["name"] == name]
    firsts = [node["args"][0] for node in part["inbound_nodes"]]
    args = [first if isinstance(first, list) else [first] for first in firsts]
    return [[tuple(tensor["config"]["keras_history"][:2]) for tensor in tensors] for tensors in args]


def test_one_tensor_and_several():
    add = layer("Add", "add", "image", "relu")
    found, _ = rewritten(functional(image_input(), layer("ReLU", "relu", "image"), add))
    assert called_on(found, "relu") == [[("image", 0)]]
    assert called_on(found, "add") == [[("image", 0), ("relu", 0)]]
    assert found["config"]["output_layers"] == ["add", 0, 0]
    assert keras.saving.deserialize_keras_object(found).output_shape == (None, 8, 8, 3)


def test_calls_of_a_nested_model_count_from_1_in_keras_2():
    inner = {**functional(image_input("inside"), layer("ReLU", "relu", "inside"), name="inner"), "name": "inner"}
    inner["inbound_nodes"] = [[["image", 0, 0, {"training": False}]], [["inner", 1, 0, {}]]]
    last = layer("Add", "add", "inner", "inner")
    last["inbound_nodes"] = [[["inner", 1, 0, {}], ["inner", 2, 0, {}]]]
    found, _ = rewritten(functional(image_input(), inner, last))
    assert called_on(found, "inner") == [[("image", 0)], [("inner", 0)]]
    assert called_on(found, "add") == [[("inner", 0), ("inner", 1)]]
    config = functional(image_input(), inner, last, outputs=["inner"])
    config["config"]["output_layers"] = [["inner", 2, 0]]
    assert rewritten(config)[0]["config"]["output_layers"] == ["inner", 2, 0]


def test_a_list_of_one_output_becomes_the_output():
    class_name = {"class_name": "Functional", "module": "keras.src.models.functional", "registered_name": "Functional"}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = keras.Model(model.inputs, [model.outputs[0]])
    config = {**class_name, "config": model.get_config()}
    config["config"]["output_layers"] = [["dense", 0, 0]]
    config = json.loads(json.dumps(config).replace(model.layers[-1].name, "dense"))
    found, notes = rewritten(config, (3, 8))
    assert found["config"]["output_layers"] == ["dense", 0, 0]
    assert notes == ("rewrote 1 Functional layer: its one output is a tensor, not a list of one",)


def function(name, function, *call):
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": "TFOpLambda", "config": config, "name": name, "inbound_nodes": [list(call)]}


def test_functions_become_operations():
    halved = function("half", "math.truediv", "image", 0, 0, {"y": 2.0, "name": None})
    rest = function("rest", "math.subtract", "_CONSTANT_VALUE", -1, 1.0, {"y": ["half", 0, 0], "name": None})
    found, notes = rewritten(functional(image_input(), halved, rest))
    assert [part["class_name"] for part in found["config"]["layers"]] == ["InputLayer", "TrueDivide", "Subtract"]
    assert "tf.math.truediv became the operation TrueDivide" in notes[0]
    model = keras.saving.deserialize_keras_object(found)
    assert model(keras.ops.full((1, 8, 8, 3), 3.0))[0, 0, 0, 0] == -0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts[1]["inbound_nodes"][0][0].__setitem__(0, "nowhere"), "what the layer 'relu' is called on"),
        (lambda parts: parts[1]["inbound_nodes"][0][0].__setitem__(1, 5), "a call of 'image' that there is not"),
        (lambda parts: parts[1]["inbound_nodes"].__setitem__(0, []), "what the layer 'relu' is called on"),
        (lambda parts: parts[1].update(inbound_nodes=[{"args": 3}]), "what the layer 'relu' is called on"),
        (lambda parts: parts[1].update(name="image"), "two layers of one name"),
        (lambda parts: parts[1].pop("name"), "layers without names"),
    ],
)
def test_graphs_that_are_none(change, message):
    config = functional(image_input(), layer("ReLU", "relu", "image"))
    change(config["config"]["layers"])
    with pytest.raises(WeightsError, match=message):
        rewritten(config)


def test_integers_are_cast_before_arithmetic():
    start = image_input()
    start["config"]["dtype"] = "uint8"
    half = function("half", "math.multiply", "image", 0, 0, {"y": 2})
    with pytest.raises(WeightsError, match=r"half \(tf\.math\.multiply\): tf\.math\.multiply of integers may round"):
        rewritten(functional(start, half))
    padded = layer("ZeroPadding2D", "pad", "image", padding=1)
    half["inbound_nodes"][0][0] = "pad"
    with pytest.raises(WeightsError, match="of integers"):
        rewritten(functional(start, padded, half))
    cast = function("cast", "cast", "pad", 0, 0, {"dtype": "float32"})
    half["inbound_nodes"][0][0] = "cast"
    assert rewritten(functional(start, padded, cast, half))


def test_functions_in_other_precisions_are_refused():
    half = function("half", "math.multiply", "image", 0, 0, {"y": 2})
    half["config"]["dtype"] = "float16"
    with pytest.raises(WeightsError, match="another precision"):
        rewritten(functional(image_input(), half))


def test_references_to_many_nested_models_are_looked_up_once(monkeypatch):
    """Else the time would grow with the square of their number."""
    walks = []
    walk = graphs._Graph._all_references
    monkeypatch.setattr(graphs._Graph, "_all_references", lambda self: walks.append(1) or walk(self))
    inner = functional(image_input(), layer("ReLU", "relu", "image"))
    parts, last = [], "image"
    for number in range(5):
        part = {
            **json.loads(json.dumps(inner)),
            "name": f"m{number}",
            "inbound_nodes": [[[last, int(number > 0), 0, {}]]],
        }
        parts, last = [*parts, part], f"m{number}"
    config = functional(image_input(), *parts)
    config["config"]["output_layers"] = [[last, 1, 0]]
    found, _ = rewritten(config)
    assert called_on(found, "m4") == [[("m3", 0)]]
    assert len(walks) <= 2 * (1 + 5)


def test_a_call_on_constants_alone_is_refused():
    """Keras would compute it while it loads the model, before anything could bound the result."""
    config = functional(image_input(), layer("ReLU", "relu", "image"))
    new = rewritten(config)[0]
    constant = {"class_name": "__tensor__", "config": {"value": [[1.0]], "dtype": "float32"}}
    new["config"]["layers"][-1]["inbound_nodes"] = [{"args": [constant], "kwargs": {}}]
    with pytest.raises(WeightsError, match="calls the layer 'relu' on no other layer's result"):
        models.rewrite(new, Rewriting(pathlib.Path("m.keras"), (3, 8)))
    function = {"class_name": "TFOpLambda", "config": {"name": "tf.tile", "function": "math.add"}, "name": "tf.tile"}
    function["inbound_nodes"] = [["_CONSTANT_VALUE", -1, [1.0], {"y": 2.0}]]
    with pytest.raises(WeightsError, match=r"calls the layer 'tf.tile' on no other layer's result"):
        rewritten(functional(image_input(), function, outputs=["tf.tile"]))
