"""Walk a Keras model's graph, nested models included, and apply a conversion rule to each layer."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from vggfcn.conversion.call import LayerCall, LayerReport, Value, map_shape, split_shape
from vggfcn.errors import ConversionError
from vggfcn.graph.copying import LayerFactory
from vggfcn.graph.fronts import Front, fronts_of
from vggfcn.graph.layers import POINTWISE, Kind, kind_of
from vggfcn.graph.nesting import NestedModels, model_like
from vggfcn.graph.walking import evaluate, graph_of, graph_or_refuse, nodes_of, order_of_inputs

Rule = Callable[[LayerCall], Value | list[Value]]


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
        self.resizing: frozenset[int] = frozenset()
        self.native_shapes: tuple[tuple[int, ...], ...] = ()

    def convert(self, model: keras.Model, input_shape: tuple[int, ...] | None) -> tuple[keras.Model, list[Value]]:
        """Convert a model, and return the values of its outputs too."""
        graph = graph_or_refuse(model, model.name)
        self.flowing = _flowing_into_maps(graph)
        order, fronts = order_of_inputs(graph), fronts_of(graph)
        self.resizing = frozenset[int]().union(*(front.outputs for front in fronts))
        shapes = [front.native_shape(tensor, input_shape) for tensor, front in zip(graph.inputs, fronts, strict=True)]
        resized = [front.resized(shape) for front, shape in zip(fronts, shapes, strict=True)]
        self.native_shapes = tuple(resized)
        self.notes += [
            _resizing_note(front, shape) for front, shape in zip(fronts, resized, strict=True) if front.layers
        ]
        has_images = any(len(shape) > 1 or front.shape for shape, front in zip(shapes, fronts, strict=True))
        inputs = [
            _input_value(tensor, shape, order, front, has_images)
            for tensor, shape, front in zip(graph.inputs, shapes, fronts, strict=True)
        ]
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
            shapes=tuple(shapes),
            at_input=id(node.outputs[0]) in self.resizing,
        )
        values = self._converted(call)
        for value, shape in zip(values, shapes, strict=True):
            _check_numbers(call, value, shape)
        self.layers.append(call.report(values[0]))
        self.notes += [*_notes(call), *call.notes]
        return values

    def _converted(self, call: LayerCall) -> list[Value]:
        try:
            call = _unwrapped(call)
            values = self._rule(call)(call)
        except (TypeError, ValueError) as error:
            reason = f"does not work on maps that grow with the image; Keras says: {str(error).splitlines()[0]}"
            raise ConversionError(call.refusal(reason, "remove the layer, or report this")) from error
        values = values if isinstance(values, list) else [values]
        if len(values) != len(call.shapes):
            call.refuse(f"has {len(call.shapes)} outputs", "use a layer for each of them")
        return values

    def _rule(self, call: LayerCall) -> Rule:
        if all(value.is_context for value in call.values):
            return _on_context
        kind = kind_of(call.layer)
        rule = None if kind is None else self.rules.get(kind)
        if rule is None:
            call.refuse("has no conversion rule", "use stock Keras layers that work on one position or one window")
        return rule


def _resizing_note(front: Front, shape: tuple[int, ...]) -> str:
    names = " and ".join(f"{layer.name} ({type(layer).__name__})" for layer in front.layers)
    rows, columns = split_shape(shape, front.order)[0]
    return f"{names}: dropped; windows now have {rows} x {columns} pixels, and images are scanned as they come"


def _input_value(tensor: Any, shape: tuple[int, ...], order: str, front: Front, beside_images: bool) -> Value:
    """An input of open size. A vector becomes a map of one cell, an image without channels gets one channel.

    A vector beside images belongs to the whole image, and keeps its shape.
    """
    if front.shape is not None:  # A flat image; it is not a channels-first map until it has its shape.
        size, channels = split_shape(front.shape, order)
        flat = keras.Input((None, None, channels), tensor.shape[0], tensor.dtype, name=tensor.name)
        return Value(flat, shape, size, channels, order)
    if len(shape) == 1 and beside_images:
        vector = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
        return Value(vector, shape, (1, 1), shape[0], is_context=True)
    if len(shape) == 3:
        size, channels = split_shape(shape, order)
    else:
        size, channels, order = ((shape[0], shape[1]), 1, "hwc") if len(shape) == 2 else ((1, 1), shape[0], "hwc")
    resizable = keras.Input(
        batch_shape=(tensor.shape[0], *map_shape((None, None), channels, order)), dtype=tensor.dtype, name=tensor.name
    )
    return Value(resizable, shape, size, channels, order)


def _check_numbers(call: LayerCall, value: Value, shape: tuple[int, ...]) -> None:
    """Refuse a layer after which the value would not stand for the numbers that the original has there."""
    if value.is_context:
        return
    axis = 1 if value.is_map and value.order == "chw" else -1
    numbers = value.size[0] * value.size[1] * value.channels
    if value.shape != shape or math.prod(shape) != numbers or value.tensor.shape[axis] != value.channels:
        call.refuse(
            f"makes {shape} of a map of {value.size[0]} x {value.size[1]} cells with {value.channels} channels, which "
            "cannot be followed",
            "use stock layers that keep rows, columns and channels apart",
        )


def _unwrapped(call: LayerCall) -> LayerCall:
    """The call of the layer inside a wrapper that does no more at inference than call it."""
    wrapper = call.layer
    if kind_of(wrapper) is not Kind.WRAPPER:
        return call
    call.changed = True
    inner = dataclasses.replace(call, layer=wrapper.layer, args=call.args[:1], kwargs={})
    if type(wrapper).__name__ == "SpectralNormalization":
        call.note("dropped; the weights that it made last are kept, but training no longer normalises them")
        return inner
    along_last = kind_of(wrapper.layer) is Kind.DENSE or getattr(wrapper.layer, "axis", None) in (-1, [-1])
    if (
        not (kind_of(wrapper.layer) in POINTWISE or along_last)
        or len(call.args) > 1
        or call.kwargs.get("mask") is not None
    ):
        call.refuse(
            "applies a layer to each step, which is a row or a position here, and that layer mixes several positions",
            "apply the layer to the whole map instead",
        )
    return inner


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


def _on_context(call: LayerCall) -> list[Value]:
    """Every layer can be kept on whole-image context."""
    tensors = keras.tree.flatten(call.keep())
    shapes = zip(tensors, call.shapes, strict=True)
    return [dataclasses.replace(call.values[0], tensor=tensor, shape=shape) for tensor, shape in shapes]


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
