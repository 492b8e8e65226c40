"""Networks made anew call by call: the models nested in them, each made once for each kind of input."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from vggfcn.graph.walking import graph_or_refuse

# Makes a model anew: the model, its graph, values for its inputs, what the paths of its layers begin with, and how
# many copies of it there are already. Gives the new model and values for its outputs.
Make = Callable[[keras.Model, Any, list[Any], str, int], tuple[keras.Model, list[Any]]]


class NestedModels:
    """The nested models of a network that have been made anew.

    The values that flow into a model and out of it are dataclasses with a field `tensor`, the tensor of the new
    network. A model that is called on inputs whose other fields differ is made once for each of them.
    """

    def __init__(self, make: Make):
        self._make = make
        self._made: dict[Any, tuple[keras.Model, list[Any]]] = {}

    def call(self, model: keras.Model, given: Sequence[Any], path: str) -> list[Any]:
        """The values that a nested model gives for those; `ConversionError`, with its path, if it has no graph."""
        key = id(model), *(dataclasses.replace(value, tensor=None) for value in given)
        if key not in self._made:
            graph = graph_or_refuse(model, path)
            copies = sum(known[0] == id(model) for known in self._made)
            self._made[key] = self._make(model, graph, _inputs(graph, given), f"{path}/", copies)
        made, outputs = self._made[key]
        structure = keras.tree.pack_sequence_as(made.input, [value.tensor for value in given])
        tensors = keras.tree.flatten(made(structure))
        return [dataclasses.replace(value, tensor=tensor) for value, tensor in zip(outputs, tensors, strict=True)]


def model_like(
    model: keras.Model, graph: Any, inputs: Sequence[Any], outputs: Sequence[Any], copies: int = 0
) -> keras.Model:
    """The model from these values to those, which are arranged as the inputs and outputs of `model` are.

    It has the model's name, set apart if there are copies of it already.
    """
    ready = {id(tensor): value.tensor for tensor, value in zip(graph.outputs, outputs, strict=True)}
    ready.update({id(tensor): value.tensor for tensor, value in zip(graph.inputs, inputs, strict=True)})
    arranged = (keras.tree.map_structure(lambda t: ready[id(t)], part) for part in (graph.input, graph.output))
    return keras.Model(*arranged, name=model.name + "_again" * copies, trainable=model.trainable)


def _inputs(graph: Any, given: Sequence[Any]) -> list[Any]:
    """The values on inputs of their own, named as the model's."""
    return [
        dataclasses.replace(
            value,
            tensor=keras.Input(batch_shape=value.tensor.shape, dtype=value.tensor.dtype, name=tensor.name),
        )
        for value, tensor in zip(given, graph.inputs, strict=True)
    ]
