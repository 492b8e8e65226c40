"""Walk the graph of a Keras model: each call of a layer, after the calls that it depends on.

This is the only module that uses private names of Keras.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from vggfcn.errors import ConversionError

HINT = "rebuild it as a Functional model: outputs = its layers called on keras.Input, keras.Model(inputs, outputs)"


def graph_of(model: keras.Model) -> Any:
    """The graph of a Functional or built Sequential model; None for any other."""
    if not type(model).call.__module__.startswith("keras."):
        return None  # A custom `call` decides what is computed.
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def graph_or_refuse(model: keras.Model, path: str) -> Any:
    """The model's graph. Raises `ConversionError`, with the path, if it has none."""
    graph = graph_of(model)
    if graph is None and isinstance(model, keras.Sequential):
        raise ConversionError(f"{path}: has not been built; start it with keras.Input(shape), or call it once on data")
    if graph is None:
        raise ConversionError(
            f"{path}: is a subclassed {type(model).__name__}: only its code says how its layers are connected; {HINT}"
        )
    return graph


def nodes_of(graph: Any) -> Iterator[Any]:
    """The graph's calls of layers, except inputs, each after those that it depends on."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def evaluate(
    graph: Any, inputs: Sequence[Any], visit: Callable[[Any, tuple[Any, ...], dict[str, Any]], Sequence[Any]]
) -> list[Any]:
    """Evaluate a graph on values of any kind: return its outputs for these inputs.

    `visit` is called with each node, its arguments and its keyword arguments, in which values stand for tensors. It
    returns one value for each output of the node.
    """
    values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    for node in nodes_of(graph):
        args, kwargs = node.arguments.fill_in(values)
        outputs = visit(node, args, kwargs)
        values.update({id(output): value for output, value in zip(node.outputs, outputs, strict=True)})
    return [values[id(tensor)] for tensor in graph.outputs]


def arguments_of(node: Any) -> list[Any]:
    """All arguments of a call, positional ones first; a Keras tensor stands for each tensor."""
    return keras.tree.flatten((node.arguments.args, node.arguments.kwargs))


def order_of_inputs(graph: Any) -> str:
    """The axis order of the images, "hwc" or "chw", from the first layer that states one; "hwc" if none does."""
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
    """The shape of an input at native size, without the batch; `input_shape` fills in what the model leaves open.

    Raises `ConversionError` if the two contradict each other, or if the size is still open.
    """
    own = tuple(tensor.shape[1:])
    if not 1 <= len(own) <= 3:
        raise ConversionError(f"{tensor.name}: expected images or vectors, got an input of shape {own}")
    shape = tuple(input_shape) if input_shape is not None and (None in own or len(own) == len(input_shape)) else own
    if len(shape) != len(own) or any(mine not in (None, given) for mine, given in zip(own, shape, strict=True)):
        raise ConversionError(f"{tensor.name}: input_shape {shape} does not fit the model's input, {own}")
    if None in shape:
        raise ConversionError(
            f"{tensor.name}: the input {own} has no fixed size; pass the network's native size, for example "
            "input_shape=(224, 224, 3) (--input-shape 224x224x3)"
        )
    return shape


def layers_of(layer: keras.layers.Layer) -> Iterator[Any]:
    """The layer or model itself and all layers inside it, to any depth, each once."""
    yield from layer._flatten_layers()


def producer_of(tensor: Any) -> Any:
    """The layer or operation that computes a tensor of a graph."""
    return tensor._keras_history.operation


def slicing(name: str) -> Any:
    """An operation that computes x[key] when it is called with x and a key; Keras has no public name for it."""
    operation = producer_of(keras.KerasTensor((1,))[..., :1])
    return type(operation)(name=name)


def dense_kernel(layer: keras.layers.Dense) -> Any:
    """The kernel (inputs, units) of a dense layer: its variable, or the sum with its low-rank adaptation."""
    return layer._kernel if hasattr(layer, "_kernel") and not layer.lora_enabled else layer.kernel


def call_inputs(layer: Any, tensor: Any) -> list[Any]:
    """The tensors that a layer was called on when it computed `tensor`."""
    node = next(node for node in layer._inbound_nodes if any(output is tensor for output in node.outputs))
    return list(node.input_tensors)
