"""Rebuild the models nested in a network, once for each kind of input."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from vggfcn.graph.walking import graph_or_refuse

# Rebuilds a model. Takes the model, its graph, the values of its inputs, the prefix of its layers' paths, and how many
# copies exist; returns the new model and the values of its outputs.
Rebuild = Callable[[keras.Model, Any, list[Any], str, int], tuple[keras.Model, list[Any]]]


class NestedModels:
    """The nested models of a network that have been rebuilt.

    The values that flow into and out of a model are dataclasses with a field `tensor`, the tensor of the new network.
    If a model is called on inputs whose other fields differ, it is rebuilt once for each variant.
    """

    def __init__(self, rebuild: Rebuild):
        self._rebuild = rebuild
        self._rebuilt: dict[Any, tuple[keras.Model, list[Any]]] = {}

    def call(self, model: keras.Model, inputs: Sequence[Any], path: str) -> list[Any]:
        """Call the rebuilt model on these values and return its outputs.

        Raises `ConversionError`, with the path, if the model has no graph.
        """
        key = id(model), *(dataclasses.replace(value, tensor=None) for value in inputs)
        if key not in self._rebuilt:
            graph = graph_or_refuse(model, path)
            copies = sum(known[0] == id(model) for known in self._rebuilt)
            self._rebuilt[key] = self._rebuild(model, graph, _inputs(graph, inputs), f"{path}/", copies)
        rebuilt, outputs = self._rebuilt[key]
        structure = keras.tree.pack_sequence_as(rebuilt.input, [value.tensor for value in inputs])
        tensors = keras.tree.flatten(rebuilt(structure))
        return [dataclasses.replace(value, tensor=tensor) for value, tensor in zip(outputs, tensors, strict=True)]


def model_like(
    model: keras.Model, graph: Any, inputs: Sequence[Any], outputs: Sequence[Any], copies: int = 0
) -> keras.Model:
    """Make a model with the name, and the structure of inputs and outputs, of another.

    - `model`: the other model.
    - `graph`: its graph.
    - `inputs`, `outputs`: the values of the new model, in the order of the graph's.
    - `copies`: how many copies exist already; it makes the name unique.
    """
    ready = {id(tensor): value.tensor for tensor, value in zip(graph.outputs, outputs, strict=True)}
    ready.update({id(tensor): value.tensor for tensor, value in zip(graph.inputs, inputs, strict=True)})
    arranged = (keras.tree.map_structure(lambda t: ready[id(t)], part) for part in (graph.input, graph.output))
    return keras.Model(*arranged, name=model.name + "_again" * copies, trainable=model.trainable)


def _inputs(graph: Any, values: Sequence[Any]) -> list[Any]:
    """The same values on new inputs, which have the names of the model's."""
    return [
        dataclasses.replace(
            value,
            tensor=keras.Input(batch_shape=value.tensor.shape, dtype=value.tensor.dtype, name=tensor.name),
        )
        for value, tensor in zip(values, graph.inputs, strict=True)
    ]
