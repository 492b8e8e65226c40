"""Keras's graph of a model: which layer is called on what, in an order in which it can be computed.

No other module uses Keras's private names.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from vggfcn.errors import ConversionError

HINT = "rebuild it as a Functional model: outputs = its layers called on keras.Input, keras.Model(inputs, outputs)"


def graph_of(model: keras.Model) -> Any:
    """The Functional graph of a Sequential or Functional model; None for any other."""
    if not type(model).call.__module__.startswith("keras."):
        return None  # Somebody's own code decides what is computed.
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def graph_or_refuse(model: keras.Model, path: str) -> Any:
    """The model's graph; `ConversionError` where there is none to walk."""
    graph = graph_of(model)
    if graph is None and isinstance(model, keras.Sequential):
        raise ConversionError(f"{path}: has not been built; begin it with keras.Input(shape) or call it on data once")
    if graph is None:
        raise ConversionError(
            f"{path}: is a subclassed {type(model).__name__}, whose layers' order is only in its code; {HINT}"
        )
    return graph


def nodes_of(graph: Any) -> Iterator[Any]:
    """The graph's calls of layers, inputs left out, in an order in which they can be computed."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def evaluate(
    graph: Any, given: Sequence[Any], visit: Callable[[Any, tuple[Any, ...], dict[str, Any]], Sequence[Any]]
) -> list[Any]:
    """Values for the graph's outputs, of whatever kind, when its inputs have the values `given`.

    `visit` is told of each call, with values in the places of tensors, and gives one value for each of its outputs.
    """
    values = {id(tensor): value for tensor, value in zip(graph.inputs, given, strict=True)}
    for node in nodes_of(graph):
        args, kwargs = node.arguments.fill_in(values)
        found = visit(node, args, kwargs)
        values.update({id(output): value for output, value in zip(node.outputs, found, strict=True)})
    return [values[id(tensor)] for tensor in graph.outputs]


def order_of_inputs(graph: Any) -> str:
    """Whether images come channels first, from the first layer that says how it takes them."""
    for node in nodes_of(graph):
        layer = node.operation
        if isinstance(layer, keras.Model):
            return order_of_inputs(graph_or_refuse(layer, layer.name))
        if isinstance(layer, keras.layers.Permute):
            return "chw" if layer.dims == (2, 3, 1) else "hwc"
        if hasattr(layer, "data_format") and not isinstance(layer, keras.layers.Flatten):
            return "chw" if layer.data_format == "channels_first" else "hwc"
    return "hwc"


def native_shape(tensor: Any, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input at native size, without the batch; what the model leaves open is taken from `input_shape`.

    Raises `ConversionError` if the two do not go together, or leave something open.
    """
    own = tuple(tensor.shape[1:])
    if not 1 <= len(own) <= 3:
        raise ConversionError(f"{tensor.name}: expected images or vectors, got an input of shape {own}")
    shape = tuple(input_shape) if input_shape is not None and (None in own or len(own) == len(input_shape)) else own
    if len(shape) != len(own) or any(mine not in (None, given) for mine, given in zip(own, shape, strict=True)):
        raise ConversionError(f"{tensor.name}: input_shape {shape} does not fit the model's input, {own}")
    if None in shape:
        raise ConversionError(
            f"{tensor.name}: the input {own} leaves the native size open; say at which size the network is a "
            "classifier, such as input_shape=(224, 224, 3)"
        )
    return shape


def layers_of(layer: keras.layers.Layer) -> Iterator[Any]:
    """The layer or model itself and all that are in it, to any depth, each once."""
    yield from layer._flatten_layers()


def producer_of(tensor: Any) -> Any:
    """The layer or operation whose output a tensor of a graph is."""
    return tensor._keras_history.operation


def dense_kernel(layer: keras.layers.Dense) -> Any:
    """The kernel (inputs, units) of a dense layer: its variable, or with low-rank adaptation the two put together."""
    return layer._kernel if hasattr(layer, "_kernel") and not layer.lora_enabled else layer.kernel
