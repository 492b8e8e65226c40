"""Find the head of a network that ends in average pooling over the native map and linear layers."""

import dataclasses
import itertools
from collections.abc import Generator
from typing import Any, NoReturn

import keras
import numpy as np

from vggfcn.conversion.logits import FUNCTIONS, OPERATIONS
from vggfcn.errors import ConversionError
from vggfcn.graph.kernels import KERNEL_KINDS, kernels_of
from vggfcn.graph.layers import ALONG_CHANNELS, POINTWISE, Kind, axes_of, kind_of, reordering_of
from vggfcn.graph.receptive_fields import MULTIPLE
from vggfcn.graph.walking import arguments_of, graph_or_refuse, nodes_of

# Layers that may stand between the pooling and the output: each cell of their output depends on the same cell alone.
CELL_BY_CELL = POINTWISE | ALONG_CHANNELS | {Kind.ONES_LIKE, Kind.PRELU, Kind.DENSE, Kind.PERMUTE, Kind.MERGING}
# Layers that are linear, up to a constant, whatever their configuration.
LINEAR = ("Activation", "Identity", "ActivityRegularization", "Rescaling", "Negative")
LINEAR_ALONG_AN_AXIS = ("BatchNormalization", "Normalization", "LayerScale", "Dense")
LINEAR_WITH_A_CONSTANT = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide")
LOGITS = (
    "take it off, so that the network returns logits (classifier_activation=None in keras.applications), and convert "
    "it again"
)
OTHER_MAPS = "use the map of the network itself, and with_output_stride (--output-stride) for finer cells"


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer: its node, the prefix of the layer's path, and the ids of the calls of models around it."""

    node: Any
    path: str
    around: tuple[int, ...]

    @property
    def layer(self) -> Any:
        return self.node.operation

    @property
    def kind(self) -> Kind | None:
        return kind_of(self.layer)

    def refuse(self, reason: str, hint: str) -> NoReturn:
        """Raise a `ConversionError` that names the layer."""
        raise ConversionError(f"{self.path}{self.layer.name} ({type(self.layer).__name__}): {reason}; {hint}")

    @property
    def averages(self) -> bool:
        """Whether it is average pooling with stride 1 and no padding, as `convert` makes of global average pooling."""
        average = self.kind is Kind.POOLING and type(self.layer).__name__ == "AveragePooling2D"
        return average and self.layer.padding == "valid" and tuple(self.layer.strides) == (1, 1)

    @property
    def averages_neighbours(self) -> bool:
        return self.averages and tuple(self.layer.pool_size) != (1, 1)

    @property
    def cell_by_cell(self) -> bool:
        """Whether it has one input, and each cell of its output depends on the same cell of the input alone."""
        return len(self.node.input_tensors) == 1 and (self.kind in CELL_BY_CELL or self._reads_one_cell)

    @property
    def _reads_one_cell(self) -> bool:
        if self.kind not in KERNEL_KINDS:
            return False
        try:
            kernels = kernels_of(self.layer, (MULTIPLE, MULTIPLE))
        except ValueError:
            return False
        return all((one.dilated_size, one.stride, one.before, one.after) == (1, 1, 0, 0) for one in kernels)

    def nonlinearity(self, order: str) -> str | None:
        """Why its mean over cells is not what it makes of the cells' mean, given the axis order; None if it is.

        It is cell by cell.
        """
        name, activation = type(self.layer).__name__, getattr(self.layer, "activation", None)
        if activation not in (None, keras.activations.linear):
            return f"applies {getattr(activation, '__name__', 'an activation')} after the pooling"
        if getattr(self.layer, "quantization_mode", None) is not None:
            return "is quantised after the pooling, and so rounds what it reads"
        if any(value is True for value in arguments_of(self.node)):
            return "runs in training mode after the pooling"
        along = axes_of(self.layer, 4) <= {1 + order.index("c")}
        if (
            (self._reads_one_cell or self.kind is Kind.DROPOUT or name in LINEAR)
            or (name in LINEAR_ALONG_AN_AXIS and along)
            or (name == "Cast" and "float" in str(self.layer.dtype))
            or (self.kind is Kind.PERMUTE and reordering_of(self.layer))
            or (name in LINEAR_WITH_A_CONSTANT and self._combines_with_a_constant(name))
        ):
            return None
        return "is not linear, and follows the pooling"

    @property
    def ends_classifier(self) -> bool:
        """Whether it turns logits into probabilities."""
        activation = getattr(getattr(self.layer, "activation", None), "__name__", "")
        return activation in FUNCTIONS or type(self.layer).__name__ in OPERATIONS

    def _combines_with_a_constant(self, name: str) -> bool:
        """Whether it combines the map with a constant, the same for all cells, and does not divide by the map."""
        arguments = arguments_of(self.node)
        constants = [value for value in arguments if not isinstance(value, keras.KerasTensor)]
        same = all(max(np.shape(value)[:-1], default=1) == 1 for value in constants)
        return same and ("Divide" not in name or isinstance(arguments[0], keras.KerasTensor))


@dataclasses.dataclass(frozen=True)
class PooledHead:
    """The head of a fully convolutional network: `pool` averages over the native map, and what follows is linear.

    `order` is the order of the output's axes, "hwc" or "chw".
    """

    pool: Call
    order: str


def pooled_head(graph: Any, name: str) -> PooledHead:
    """The head of the graph's only output; raises `ConversionError`, with the layer's name, if it is no such head."""
    calls, stop = [], None
    for call in _backwards(graph, graph.outputs[0]):
        if not (call.averages or call.cell_by_cell):
            stop = call
            break
        calls.append(call)
    pools = [number for number, call in enumerate(calls) if call.averages]
    if not pools:
        _refuse_without_pool(stop, name)
    # Pooling over 1 x 1 cells counts only if there is no other.
    number = next((number for number in pools if calls[number].averages_neighbours), pools[0])
    pool = calls[number]
    order = "chw" if pool.layer.data_format == "channels_first" else "hwc"
    _refuse_second(pool, calls[number + 1 :], order)
    for call in reversed(calls[:number]):
        if reason := call.nonlinearity(order):
            hint = LOGITS if call.ends_classifier else OTHER_MAPS
            call.refuse(f"{reason}, so the mean over the cells is not the logit", hint)
        if reordering := call.kind is Kind.PERMUTE and reordering_of(call.layer):
            order = reordering[1]
    return PooledHead(pool, order)


def _refuse_second(pool: Call, before: list[Call], order: str) -> None:
    """Refuse another average pooling with only linear layers between it and the head's; `before` runs backwards."""
    for call in itertools.takewhile(lambda call: call.averages or not call.nonlinearity(order), before):
        if call.averages_neighbours:
            call.refuse(f"averages before {pool.layer.name} averages again", "pool once, over the whole native map")


def _backwards(graph: Any, tensor: Any, path: str = "", around: tuple[int, ...] = ()) -> Generator[Call, None, int]:
    """Yield the calls from a tensor back to an input, nested models included, and return the number of that input.

    Each call that the caller goes on after must have one input.
    """
    producers = {id(output): node for node in nodes_of(graph) for output in node.outputs}
    while (node := producers.get(id(tensor))) is not None:
        number, layer = 0, node.operation
        if isinstance(layer, keras.Model):
            inner = graph_or_refuse(layer, path + layer.name)
            last = inner.outputs[_position(tensor, node.outputs)]
            number = yield from _backwards(inner, last, f"{path}{layer.name}/", (*around, id(node)))
        else:
            yield Call(node, path, around)
        tensor = node.input_tensors[number]
    return _position(tensor, graph.inputs)


def _position(tensor: Any, tensors: list[Any]) -> int:
    return next(number for number, one in enumerate(tensors) if one is tensor)


def _refuse_without_pool(stop: Call | None, name: str) -> NoReturn:
    """Refuse a network whose last layer that is not cell by cell, `stop`, is no average pooling over the native map."""
    if stop is None:
        raise ConversionError(f"{name}: has no average pooling; {OTHER_MAPS}")
    if stop.kind is Kind.GLOBAL_POOLING:
        stop.refuse("pools over the whole image", "convert the network first: cam(vggfcn.convert(model))")
    if len(stop.node.input_tensors) > 1:
        reason = "merges several branches, and no average pooling follows it"
    elif stop.kind is Kind.POOLING and "Max" in type(stop.layer).__name__:
        reason = "takes the maximum, and no average pooling follows it"
    elif stop.kind is Kind.POOLING:
        reason = (
            f"averages with strides {tuple(stop.layer.strides)} and {stop.layer.padding} padding, where pooling over "
            "the native map has stride 1 and no padding"
        )
    elif stop.kind in KERNEL_KINDS:
        reason = "reads more than one cell, and no average pooling follows it"
    else:
        reason = "does not work on each cell separately, or is unknown, and no average pooling follows it"
    stop.refuse(
        reason,
        "a class activation map needs global average pooling near the output, and a network that was not made finer "
        f"before; else {OTHER_MAPS}",
    )
