"""Walk a Keras model's graph, nested models included, and apply a conversion rule to each layer."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from vggfcn.conversion.call import LayerCall, LayerReport, Value, map_shape, split_shape
from vggfcn.errors import ConversionError
from vggfcn.graph.copying import LayerFactory
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.nesting import NestedModels, model_like
from vggfcn.graph.walking import evaluate, graph_of, graph_or_refuse, native_shape, nodes_of, order_of_inputs

Rule = Callable[[LayerCall], Value]


class Walk:
    """One conversion: its rules by kind of layer, its options, and its reports."""

    def __init__(self, rules: Mapping[Kind, Rule], *, keep_global: bool, share_weights: bool):
        self.rules = rules
        self.keep_global = keep_global
        self.share_weights = share_weights
        self.layers: list[LayerReport] = []
        self.notes: list[str] = []
        self.made: dict[Any, Any] = {}
        self.nested = NestedModels(self._convert)
        self.flowing: set[int] = set()

    def convert(self, model: keras.Model, input_shape: tuple[int, ...] | None) -> tuple[keras.Model, list[Value]]:
        """Convert a model, and return the values of its outputs too."""
        graph = graph_or_refuse(model, model.name)
        self.flowing = _flowing_into_maps(graph)
        order = order_of_inputs(graph)
        inputs = [_input_value(tensor, input_shape, order) for tensor in graph.inputs]
        return self._convert(model, graph, inputs, "", 0)

    def _convert(
        self, model: keras.Model, graph: Any, inputs: list[Value], path: str, copies: int
    ) -> tuple[keras.Model, list[Value]]:
        made = self.made
        if copies:
            self.notes.append(
                f"{path.removesuffix('/')}: is called on different kinds of input; made copy {copies + 1}"
            )
            # Keras cannot restore layers that are shared by two nested models.
            self.made = {}
        factory = LayerFactory(self.share_weights, self.made)
        values = evaluate(graph, inputs, lambda node, args, kwargs: self._visit(node, args, kwargs, factory, path))
        self.made = made
        outputs = [_as_flattened(value) for value in values]
        return model_like(model, graph, inputs, outputs, copies), outputs

    def _visit(
        self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any], factory: LayerFactory, path: str
    ) -> list[Value]:
        layer = node.operation
        path += layer.name
        if isinstance(layer, keras.Model):
            inputs = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, Value)]
            return self.nested.call(layer, inputs, path)
        shapes = _native_shapes(node, args, kwargs)
        call = LayerCall(
            layer=layer,
            path=path,
            args=args,
            kwargs=kwargs,
            shape=shapes[0],
            flows_back=id(node.outputs[0]) in self.flowing,
            keep_global=self.keep_global,
            factory=factory,
        )
        if len(node.outputs) > 1:
            call.refuse("has several outputs", "remove the layer")
        value = self._converted(call)
        self.layers.append(call.report(value))
        self.notes += _notes(call)
        return [value]

    def _converted(self, call: LayerCall) -> Value:
        rule = _on_context if all(value.is_context for value in call.values) else self._rule(call)
        try:
            return rule(call)
        except (TypeError, ValueError) as error:
            reason = f"does not work on maps that grow with the image; Keras says: {str(error).splitlines()[0]}"
            raise ConversionError(call.refusal(reason, "remove the layer, or report this")) from error

    def _rule(self, call: LayerCall) -> Rule:
        kind = kind_of(call.layer)
        rule = None if kind is None else self.rules.get(kind)
        if rule is None:
            call.refuse("has no conversion rule", "use stock Keras layers that work on one position or one window")
        return rule


def _input_value(tensor: Any, input_shape: tuple[int, ...] | None, order: str) -> Value:
    """An input of open size. A vector becomes a map of one cell, an image without channels gets one channel."""
    shape = native_shape(tensor, input_shape)
    if len(shape) == 3:
        size, channels = split_shape(shape, order)
    else:
        size, channels, order = ((shape[0], shape[1]), 1, "hwc") if len(shape) == 2 else ((1, 1), shape[0], "hwc")
    resizable = keras.Input(
        batch_shape=(tensor.shape[0], *map_shape((None, None), channels, order)), dtype=tensor.dtype, name=tensor.name
    )
    return Value(resizable, shape, size, channels, order)


def _native_shapes(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[int, ...]]:
    """The shapes of a call's outputs in the original network at native size, without the batch."""
    tensors = iter(node.input_tensors)

    def specification(item: Any) -> Any:
        if not isinstance(item, Value):
            return item
        tensor = next(tensors)
        return keras.KerasTensor((tensor.shape[0], *item.shape), tensor.dtype)

    args, kwargs = keras.tree.map_structure(specification, (args, kwargs))
    outputs = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
    return [tuple(output.shape[1:]) for output in outputs]


def _on_context(call: LayerCall) -> Value:
    """Every layer can be kept on whole-image context."""
    return dataclasses.replace(call.values[0], tensor=call.keep(), shape=call.shape)


def _as_flattened(value: Value) -> Value:
    """An output that the original flattens channels first, as a channels-first map."""
    if value.is_context or value.is_map or value.order == "hwc" or value.size == (1, 1):
        return value
    return dataclasses.replace(value, tensor=keras.ops.transpose(value.tensor, (0, 3, 1, 2)))


def _notes(call: LayerCall) -> list[str]:
    """What the conversion of a layer assumes or drops."""
    layer, notes = call.layer, []
    activation = getattr(layer, "activation", None)
    if activation is not None and not activation.__module__.startswith("keras."):
        notes.append(f"{call.title}: assumed that {activation.__name__} works on each value separately")
    if isinstance(layer, keras.layers.Dense) and layer.kernel_constraint is not None:
        notes.append(f"{call.title}: dropped its kernel constraint, since the kernel has another shape")
    if getattr(layer, "lora_enabled", False) and isinstance(layer, keras.layers.Dense):
        notes.append(f"{call.title}: merged its low-rank adaptation into the kernel")
    return notes


def _flowing_into_maps(graph: Any) -> set[int]:
    """The ids of the tensors, in nested models too, from which a map is computed later on.

    A map is a tensor with more than one axis longer than 1. There is none after a classifier's head.
    """
    sources: dict[int, list[Any]] = {}
    maps = [tensor for producer in _calls(graph) for tensor in _link(producer, sources) if _is_map(tensor)]
    reached: set[int] = set()
    waiting = [source for tensor in maps for source in sources[id(tensor)]]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in reached:
            reached.add(id(tensor))
            waiting += sources.get(id(tensor), [])
    return reached


def _is_map(tensor: Any) -> bool:
    return sum(length != 1 for length in tensor.shape[1:]) > 1


def _calls(graph: Any) -> Iterator[Any]:
    """The calls of layers in a graph and in its nested models."""
    for node in nodes_of(graph):
        yield node
        if isinstance(node.operation, keras.Model) and graph_of(node.operation):
            yield from _calls(graph_of(node.operation))


def _link(node: Any, sources: dict[int, list[Any]]) -> list[Any]:
    """Record what each output of a call is computed from, through the tensors of a nested model if it is one."""
    inner = graph_of(node.operation) if isinstance(node.operation, keras.Model) else None
    if inner is None:
        for output in node.outputs:
            sources.setdefault(id(output), []).extend(node.input_tensors)
        return node.outputs
    for outer_input, inner_input in zip(node.input_tensors, inner.inputs, strict=True):
        sources.setdefault(id(inner_input), []).append(outer_input)
    for outer_output, inner_output in zip(node.outputs, inner.outputs, strict=True):
        sources.setdefault(id(outer_output), []).append(inner_output)
    return node.outputs
