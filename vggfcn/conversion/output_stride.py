"""`with_output_stride` makes a network's map finer: it removes strides and dilates later layers, with the same weights.

A removed stride keeps the phases that it would drop, and every later layer is dilated to read cells as far apart in
pixels as before. This is the "hole algorithm" of Chen et al. 2014 (DeepLab), section 3.1, here exact at borders too.
"""

import dataclasses
import functools
import math
from typing import Any, NoReturn

import keras

from vggfcn.conversion.logits import pass_on
from vggfcn.conversion.phases import Plan, as_model, pooled, with_same_padding
from vggfcn.errors import GeometryError
from vggfcn.graph.copying import LayerFactory
from vggfcn.graph.kernels import KERNEL_KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import Kind, kind_of, leaves_cells_alone, reordering_of
from vggfcn.graph.nesting import NestedModels, model_like
from vggfcn.graph.receptive_fields import MULTIPLE, receptive_field
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs

HINT = "choose an output stride that is reached only after this layer, or cut the model before it"


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a finer map.

    `step` is the distance between neighbouring cells in pixels, `rate` the number of phases, which is the distance in
    cells between neighbours of the coarse map, and `cells` the number of cells.
    """

    step: int
    rate: int
    cells: int


@dataclasses.dataclass(frozen=True)
class FineMap:
    """A map of the finer network; `order` is "hwc" or "chw"."""

    tensor: Any
    axes: tuple[Axis, Axis]
    order: str


def with_output_stride(model: keras.Model, output_stride: int, *, share_weights: bool = False) -> keras.Model:
    """Make the cells of a network's map `output_stride` pixels apart, with the same weights.

    `model` is fully convolutional: a result of `vggfcn.convert` or `build`, or any Keras model that `receptive_field`
    accepts. It is not changed, and it is returned itself if `output_stride` is its stride.

    The last strides of the network become smaller, and later layers are dilated instead. The receptive field of a cell
    keeps its size. With k = (stride of the model) / output_stride, the model's map (batch, rows, columns, channels)
    equals the finer map's [:, ::k, ::k] up to float rounding, for images of any size and at borders too. The cells in
    between are the same network at positions in between: if nothing in it is padded, each is the network's output on
    its own window.

    The result is a Keras model of stock layers. Its weights are copies, which share memory with the model's until one
    of the two is trained; with `share_weights=True` they are the same variables.

    Raises `ValueError` if `output_stride` does not divide the model's stride; `GeometryError`, with the layer's name,
    if a layer cannot be made finer or its receptive field is unknown; `TypeError` if `model` is not a Keras model.

    >>> with_output_stride(keras.applications.VGG16(include_top=False, weights=None), 8).output_shape
    (None, None, None, 512)
    """
    strides = receptive_field(model).stride
    if not isinstance(output_stride, int) or output_stride < 1 or any(stride % output_stride for stride in strides):
        divisors = [str(s) for s in range(1, min(strides) + 1) if not any(stride % s for stride in strides)]
        raise ValueError(
            f"output_stride: expected one of {', '.join(divisors)} for a network whose cells are "
            f"{strides[0]} x {strides[1]} pixels apart, got {output_stride!r}"
        )
    if strides == (output_stride, output_stride):
        return model
    graph = graph_or_refuse(model, model.name)
    order, tensor = order_of_inputs(graph), graph.inputs[0]
    resizable = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
    image = FineMap(resizable, (Axis(1, 1, MULTIPLE), Axis(1, 1, MULTIPLE)), order)
    return pass_on(model, _Finer(output_stride, share_weights).model(model, graph, [image], "", 0)[0])


class _Finer:
    """One network being made finer: the output stride, and the nested models rebuilt so far."""

    def __init__(self, output_stride: int, share_weights: bool):
        self.output_stride = output_stride
        self.share_weights = share_weights
        self.nested = NestedModels(self.model)

    def model(
        self, model: keras.Model, graph: Any, inputs: list[FineMap], path: str, copies: int
    ) -> tuple[keras.Model, list[FineMap]]:
        calls = _Calls(self, LayerFactory(self.share_weights, {}), path)
        outputs = evaluate(graph, inputs, calls.visit)
        return model_like(model, graph, inputs, outputs, copies), outputs


class _Calls:
    """Rebuilds the calls of one graph."""

    def __init__(self, finer: _Finer, factory: LayerFactory, path: str):
        self.finer = finer
        self.factory = factory
        self.path = path

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[FineMap]:
        layer = node.operation
        maps = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, FineMap)]
        if isinstance(layer, keras.Model):
            return self.finer.nested.call(layer, maps, self.path + layer.name)
        kind = kind_of(layer)
        if kind in KERNEL_KINDS:
            return [self.slide(layer, maps[0], args, kwargs)]
        if kind in (Kind.TAKE, Kind.GET_ITEM, Kind.PAD) and not leaves_cells_alone(
            layer, (*args, *kwargs.values()), len(maps[0].tensor.shape), 1 + maps[0].order.index("c")
        ):
            hint = "if the network was made finer before, start from the original; else cut it before this layer"
            self.refuse(layer, "crops or pads the map with keras.ops", hint)
        if kind is Kind.MERGING:
            maps = self.of_one_size(layer, maps)
        value = dataclasses.replace(maps[0], tensor=self.keep(layer, maps, args, kwargs))
        if reordering := kind is Kind.PERMUTE and reordering_of(layer):
            value = dataclasses.replace(value, order=reordering[1])
        return [value]

    def refuse(self, layer: keras.layers.Layer, reason: str, hint: str = HINT) -> NoReturn:
        raise GeometryError(f"{self.path}{layer.name} ({type(layer).__name__}): {reason}; {hint}")

    def keep(
        self,
        layer: keras.layers.Layer,
        maps: list[FineMap],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        changes: dict[str, Any] | None = None,
    ) -> Any:
        """Call a copy of the layer, with `changes` to its configuration, and return its output."""
        tensors = iter(maps)
        args, kwargs = keras.tree.map_structure(
            lambda item: next(tensors).tensor if isinstance(item, FineMap) else item, (args, kwargs)
        )
        return self.factory.call(self.factory.copy(layer, changes or {}), *args, **kwargs)

    def slide(
        self, layer: keras.layers.Layer, source: FineMap, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> FineMap:
        plans = self.plans(layer, source)
        if all(plan.unchanged for plan in plans):
            tensor = self.keep(layer, [source], args, kwargs)
        else:
            tensor = self.finer_layer(layer, source, plans, args, kwargs)
        rows, columns = (_after(axis, plan) for axis, plan in zip(source.axes, plans, strict=True))
        return FineMap(tensor, (rows, columns), source.order)

    def plans(self, layer: keras.layers.Layer, source: FineMap) -> tuple[Plan, Plan]:
        """How the layer changes, by axis."""
        rows, columns = (-(-axis.cells // axis.rate) for axis in source.axes)
        same = getattr(layer, "padding", None) == "same"
        first, second = (
            Plan(coarse, axis.rate, math.gcd(coarse.stride, self.finer.output_stride // axis.step), same)
            for coarse, axis in zip(kernels_of(layer, (rows, columns)), source.axes, strict=True)
        )
        return first, second

    def finer_layer(
        self,
        layer: keras.layers.Layer,
        source: FineMap,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        kind = kind_of(layer)
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            self.refuse(layer, "works on channels first", "build the network channels last")
        if any(plan.stride > 1 for plan in plans) and any(plan.dilation > 1 or plan.rate > 1 for plan in plans):
            self.refuse(layer, "would need a stride and dilation at the same time")
        if kind is Kind.CONVOLUTION:
            return self.convolution(layer, source, plans, args, kwargs)
        if kind is Kind.POOLING:
            return self.pool(layer, source, plans, args, kwargs)
        if kind in (Kind.PADDING, Kind.CROPPING):
            name = "padding" if kind is Kind.PADDING else "cropping"
            pairs = zip(getattr(layer, name), plans, strict=True)
            widths = [[width * plan.rate for width in pair] for pair, plan in pairs]
            return self.keep(layer, [source], args, kwargs, {name: widths})
        return self.refuse(layer, "reads neighbouring cells after a removed stride, and cannot be dilated")

    def convolution(
        self,
        layer: keras.layers.Layer,
        source: FineMap,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        changes: dict[str, Any] = {
            "strides": tuple(plan.stride for plan in plans),
            "dilation_rate": tuple(plan.dilation for plan in plans),
        }
        # Padding is the same on both sides and does not depend on the size, so TensorFlow pads these correctly.
        symmetric = all(plan.coarse.stride == 1 and plan.coarse.dilated_size % 2 for plan in plans)
        if plans[0].same and not symmetric:
            source = dataclasses.replace(source, tensor=self.padded(layer, source.tensor, plans))
            changes["padding"] = "valid"
        return self.keep(layer, [source], args, kwargs, changes)

    def padded(self, layer: keras.layers.Layer, tensor: Any, plans: tuple[Plan, Plan]) -> Any:
        def make(name: str) -> Any:
            return as_model(name, tensor, lambda x: with_same_padding(x, plans))

        made = self.factory.new(layer, f"padding {plans}", make, {}, suffix="_padding")
        return self.factory.call(made, tensor)

    def pool(
        self,
        layer: keras.layers.Layer,
        source: FineMap,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if all(plan.rate == 1 and not plan.same for plan in plans):
            return self.keep(layer, [source], args, kwargs, {"strides": tuple(plan.stride for plan in plans)})
        made = self.factory.new(
            layer, str(plans), lambda name: as_model(name, source.tensor, lambda x: pooled(layer, x, plans)), {}
        )
        return self.factory.call(made, source.tensor)

    def of_one_size(self, layer: keras.layers.Layer, maps: list[FineMap]) -> list[FineMap]:
        """Crop merged branches at the end to a common size: one may have cells in phases that another lacks."""
        if len({tuple((axis.step, axis.rate) for axis in value.axes) for value in maps}) > 1:
            self.refuse(layer, "merges maps of different strides")
        smallest = [min(value.axes[axis].cells for value in maps) for axis in (0, 1)]
        return [self.crop(layer, number, value, smallest) for number, value in enumerate(maps)]

    def crop(self, layer: keras.layers.Layer, number: int, value: FineMap, size: list[int]) -> FineMap:
        surplus = [(0, axis.cells - cells) for axis, cells in zip(value.axes, size, strict=True)]
        if not any(after for _, after in surplus):
            return value
        if value.order == "chw":
            self.refuse(layer, "works on channels first", "build the network channels last")
        kind, suffix = f"crop {number} {surplus}", f"_cut{number}"
        crop = functools.partial(keras.layers.Cropping2D, surplus)
        made = self.factory.new(layer, kind, lambda name: crop(name=name), {}, suffix=suffix)
        rows, columns = (dataclasses.replace(axis, cells=cells) for axis, cells in zip(value.axes, size, strict=True))
        return dataclasses.replace(value, tensor=self.factory.call(made, value.tensor), axes=(rows, columns))


def _after(axis: Axis, plan: Plan) -> Axis:
    """The axis of the layer's output."""
    coarse, rate = plan.coarse, plan.rate
    if plan.same:
        cells = -(-axis.cells // plan.stride)
    else:
        widened = Kernel1D(coarse.kernel, plan.dilation, plan.stride, coarse.before * rate, coarse.after * rate)
        cells = widened.cells(axis.cells)
    return Axis(axis.step * plan.stride, rate * coarse.stride // plan.stride, cells)
