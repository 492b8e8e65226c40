"""The same network with the cells of its map closer together: strides go, dilation comes, weights stay.

Leaving out a stride keeps all the phases that it dropped; every later layer reads cells that are as far apart as they
were in pixels. That is the "hole algorithm" of Chen et al. 2014 (DeepLab), section 3.1, here kept exact at borders.
"""

import dataclasses
import functools
import math
from typing import Any, NoReturn

import keras

from vggfcn.conversion.phases import Plan, as_model, pooled, with_same_padding
from vggfcn.errors import GeometryError
from vggfcn.graph.copying import LayerFactory
from vggfcn.graph.kernels import KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import Kind, kind_of, reordering_of
from vggfcn.graph.nesting import NestedModels, model_like
from vggfcn.graph.receptive_fields import MULTIPLE, receptive_field
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs

HINT = "ask for a stride that is reached behind it, or take the model up to this layer"


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a finer map: pixels from cell to cell, cells from phase (0) to phase (0), and a number of cells."""

    step: int
    rate: int
    cells: int


@dataclasses.dataclass(frozen=True)
class Fine:
    """A tensor of the finer network."""

    tensor: Any
    axes: tuple[Axis, Axis]
    order: str


def with_output_stride(model: keras.Model, output_stride: int, *, share_weights: bool = False) -> keras.Model:
    """The same network with its cells `output_stride` pixels apart: for images of any size, with the same weights.

    `model` is fully convolutional: what `vggfcn.convert` or `build` give, or any Keras model that `receptive_field`
    understands. The last strides of the network become 1, or smaller, and all later layers are dilated instead. With
    k = (stride of the model) / output_stride, the model's map (batch, rows, columns, channels) is the finer map's
    [:, ::k, ::k], borders included, to float rounding. The cells between are the same network's, at places between:
    if nothing in it is padded, each is the network's output on its own window. Cells see as many pixels as they did.

    The result is an ordinary Keras model of stock layers, which is saved and loaded as such. Its weights are copies
    that share memory with the model's until one of the two is trained; with `share_weights=True` they are the same
    variables. `model` itself is left as it is, and returned as such if its stride is `output_stride`.

    Raises `ValueError` if `output_stride` does not divide the model's stride; `GeometryError`, with the layer's name,
    if a layer cannot be made finer or what its cells see is not known; `TypeError` if `model` is no Keras model.

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
    free = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
    given = Fine(free, (Axis(1, 1, MULTIPLE), Axis(1, 1, MULTIPLE)), order)
    return _Finer(output_stride, share_weights).model(model, graph, [given], "", 0)[0]


class _Finer:
    """One network being made finer: the stride wanted, and the nested models that have been made."""

    def __init__(self, output_stride: int, share_weights: bool):
        self.output_stride = output_stride
        self.share_weights = share_weights
        self.nested = NestedModels(self.model)

    def model(
        self, model: keras.Model, graph: Any, given: list[Fine], path: str, copies: int
    ) -> tuple[keras.Model, list[Fine]]:
        calls = _Calls(self, LayerFactory(self.share_weights, {}), path)
        outputs = evaluate(graph, given, calls.visit)
        return model_like(model, graph, given, outputs, copies), outputs


class _Calls:
    """The calls of one graph, each made anew."""

    def __init__(self, finer: _Finer, factory: LayerFactory, path: str):
        self.finer = finer
        self.factory = factory
        self.path = path

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Fine]:
        layer = node.operation
        given = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, Fine)]
        if isinstance(layer, keras.Model):
            return self.finer.nested.call(layer, given, self.path + layer.name)
        kind = kind_of(layer)
        if kind in KINDS:
            return [self.slide(layer, given[0], args, kwargs)]
        if kind in (Kind.TAKE, Kind.GET_ITEM, Kind.PAD):
            self.refuse(layer, "cuts or pads the map by itself", "make the network finer before, or in one go")
        if kind is Kind.MERGING:
            given = self.of_one_size(layer, given)
        value = dataclasses.replace(given[0], tensor=self.keep(layer, given, args, kwargs))
        if reordering := kind is Kind.PERMUTE and reordering_of(layer):
            value = dataclasses.replace(value, order=reordering[1])
        return [value]

    def refuse(self, layer: keras.layers.Layer, reason: str, hint: str = HINT) -> NoReturn:
        raise GeometryError(f"{self.path}{layer.name} ({type(layer).__name__}): {reason}; {hint}")

    def keep(
        self,
        layer: keras.layers.Layer,
        given: list[Fine],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        changes: dict[str, Any] | None = None,
    ) -> Any:
        """The output of the same layer, its configuration changed so."""
        tensors = iter(given)
        args, kwargs = keras.tree.map_structure(
            lambda item: next(tensors).tensor if isinstance(item, Fine) else item, (args, kwargs)
        )
        return self.factory.call(self.factory.copy(layer, changes or {}), *args, **kwargs)

    def slide(self, layer: keras.layers.Layer, given: Fine, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Fine:
        plans = self.plans(layer, given)
        if all(plan.stays for plan in plans):
            tensor = self.keep(layer, [given], args, kwargs)
        else:
            tensor = self.finer_layer(layer, given, plans, args, kwargs)
        rows, columns = (_after(axis, plan) for axis, plan in zip(given.axes, plans, strict=True))
        return Fine(tensor, (rows, columns), given.order)

    def plans(self, layer: keras.layers.Layer, given: Fine) -> tuple[Plan, Plan]:
        """What becomes of the layer, by axis."""
        rows, columns = (-(-axis.cells // axis.rate) for axis in given.axes)
        same = getattr(layer, "padding", None) == "same"
        first, second = (
            Plan(coarse, axis.rate, math.gcd(coarse.stride, self.finer.output_stride // axis.step), same)
            for coarse, axis in zip(kernels_of(layer, (rows, columns)), given.axes, strict=True)
        )
        return first, second

    def finer_layer(
        self,
        layer: keras.layers.Layer,
        given: Fine,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        kind = kind_of(layer)
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            self.refuse(layer, "works on channels first", "build the network channels last")
        if any(plan.kept > 1 for plan in plans) and any(plan.dilation > 1 or plan.rate > 1 for plan in plans):
            self.refuse(layer, "would need a stride and dilation at once")
        if kind is Kind.CONVOLUTION:
            return self.convolution(layer, given, plans, args, kwargs)
        if kind is Kind.POOLING:
            return self.pool(layer, given, plans, args, kwargs)
        if kind in (Kind.PADDING, Kind.CROPPING):
            name = "padding" if kind is Kind.PADDING else "cropping"
            pairs = zip(getattr(layer, name), plans, strict=True)
            widths = [[width * plan.rate for width in pair] for pair, plan in pairs]
            return self.keep(layer, [given], args, kwargs, {name: widths})
        return self.refuse(layer, "reads neighbours behind a stride that goes, and cannot be dilated")

    def convolution(
        self,
        layer: keras.layers.Layer,
        given: Fine,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        changes: dict[str, Any] = {
            "strides": tuple(plan.kept for plan in plans),
            "dilation_rate": tuple(plan.dilation for plan in plans),
        }
        # TensorFlow pads these as the coarse map was: the same on both sides, whatever the size.
        even = all(plan.coarse.stride == 1 and plan.coarse.dilated_size % 2 for plan in plans)
        if plans[0].same and not even:
            given = dataclasses.replace(given, tensor=self.padded(layer, given.tensor, plans))
            changes["padding"] = "valid"
        return self.keep(layer, [given], args, kwargs, changes)

    def padded(self, layer: keras.layers.Layer, tensor: Any, plans: tuple[Plan, Plan]) -> Any:
        def make(name: str) -> Any:
            return as_model(name, tensor, lambda x: with_same_padding(x, plans))

        made = self.factory.new(layer, f"padding {plans}", make, {}, suffix="_padding")
        return self.factory.call(made, tensor)

    def pool(
        self,
        layer: keras.layers.Layer,
        given: Fine,
        plans: tuple[Plan, Plan],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if all(plan.rate == 1 and not plan.same for plan in plans):
            return self.keep(layer, [given], args, kwargs, {"strides": tuple(plan.kept for plan in plans)})
        made = self.factory.new(
            layer, str(plans), lambda name: as_model(name, given.tensor, lambda x: pooled(layer, x, plans)), {}
        )
        return self.factory.call(made, given.tensor)

    def of_one_size(self, layer: keras.layers.Layer, given: list[Fine]) -> list[Fine]:
        """Branches that meet, cut at the end to what all have: one may have phases that another has no cells for."""
        if len({tuple((axis.step, axis.rate) for axis in value.axes) for value in given}) > 1:
            self.refuse(layer, "puts together maps of different strides")
        least = [min(value.axes[axis].cells for value in given) for axis in (0, 1)]
        return [self.cut(layer, number, value, least) for number, value in enumerate(given)]

    def cut(self, layer: keras.layers.Layer, number: int, value: Fine, least: list[int]) -> Fine:
        surplus = [(0, axis.cells - cells) for axis, cells in zip(value.axes, least, strict=True)]
        if not any(after for _, after in surplus):
            return value
        if value.order == "chw":
            self.refuse(layer, "works on channels first", "build the network channels last")
        kind, suffix = f"cut {number} {surplus}", f"_cut{number}"
        crop = functools.partial(keras.layers.Cropping2D, surplus)
        made = self.factory.new(layer, kind, lambda name: crop(name=name), {}, suffix=suffix)
        rows, columns = (dataclasses.replace(axis, cells=cells) for axis, cells in zip(value.axes, least, strict=True))
        return dataclasses.replace(value, tensor=self.factory.call(made, value.tensor), axes=(rows, columns))


def _after(axis: Axis, plan: Plan) -> Axis:
    coarse, rate = plan.coarse, plan.rate
    if plan.same:
        cells = -(-axis.cells // plan.kept)
    else:
        widened = Kernel1D(coarse.kernel, plan.dilation, plan.kept, coarse.before * rate, coarse.after * rate)
        cells = widened.cells(axis.cells)
    return Axis(axis.step * plan.kept, rate * coarse.stride // plan.kept, cells)
