"""Nested models made anew: once for each kind of input, under names of their own."""

import dataclasses
from typing import Any

import keras
import pytest

from vggfcn.errors import ConversionError
from vggfcn.graph.nesting import NestedModels, model_like


@dataclasses.dataclass(frozen=True)
class Value:
    tensor: Any
    kind: str = "plain"


@pytest.fixture
def inner():
    image = keras.Input((4, 4, 3), name="image")
    return keras.Model({"image": image}, {"relu": keras.ops.relu(image)}, name="inner")


def nested_models(calls):
    """Negation in the place of whatever the model does."""

    def make(model, graph, given, path, copies):
        calls.append((path, copies, [value.tensor.name for value in given]))
        outputs = [Value(-value.tensor, "negated") for value in given]
        return model_like(model, graph, given, outputs, copies), outputs

    return NestedModels(make)


def test_a_model_is_made_once_for_each_kind_of_input(inner):
    calls = []
    nested = nested_models(calls)
    images = [keras.Input((4, 4, 3)) for _ in range(3)]
    (first,), (second,) = (nested.call(inner, [Value(image)], "outer/inner") for image in images[:2])
    (third,) = nested.call(inner, [Value(images[2], "other")], "outer/inner")
    assert calls == [("outer/inner/", 0, ["image"]), ("outer/inner/", 1, ["image"])]
    assert [value.kind for value in (first, second, third)] == ["negated"] * 3
    model = keras.Model(images, [first.tensor, second.tensor, third.tensor])
    assert sorted(layer.name for layer in model.layers if isinstance(layer, keras.Model)) == ["inner", "inner_again"]
    ones = keras.ops.ones((1, 4, 4, 3))
    assert [float(output[0, 0, 0, 0]) for output in model([ones, 2 * ones, 3 * ones])] == [-1, -2, -3]


def test_inputs_and_outputs_are_arranged_as_the_models(inner):
    value = Value(keras.Input((4, 4, 3), name="image"))
    made = model_like(inner, inner, [value], [Value(-value.tensor)], copies=2)
    assert (made.name, list(made.input), list(made.output)) == ("inner_again_again", ["image"], ["relu"])


def test_a_model_without_a_graph_is_refused_by_its_path():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ConversionError, match="outer/own: is a subclassed Own"):
        nested_models([]).call(Own(), [Value(keras.Input((4, 4, 3)))], "outer/own")
