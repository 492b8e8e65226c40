"""The receptive field of a Keras model, computed from its graph.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
from typing import Any, NoReturn

import keras
import numpy as np

from vggfcn.errors import GeometryError
from vggfcn.graph.kernels import KERNEL_KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import (
    ALONG_CHANNELS,
    POINTWISE,
    Kind,
    axes_of,
    indexed_axes,
    kind_of,
    rearranged_axes,
    reordering_of,
    runs_along_last_axis,
)
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs
from vggfcn.maps.geometry import PIXEL, Geometry, ReceptiveField, union

# A multiple of every usual stride. SAME padding is the same for all multiples of the stride.
MULTIPLE = 2**12 * 3**3 * 5
# Each cell of the output depends on the same cell of the input alone.
CELL_BY_CELL = POINTWISE | {Kind.ONES_LIKE, Kind.PRELU}
# Each cell depends on the channels of the same cell alone, provided that the layer works along no other axis.
REDUCING = {Kind.REDUCTION, Kind.SUM, Kind.GLOBAL_POOLING}
WITHIN_A_CELL = ALONG_CHANNELS | {Kind.DENSE, Kind.REARRANGING} | REDUCING
# Layers that depend on the whole image; the first of them have no cells any more.
POOLING_ALL = REDUCING | {Kind.FIXED_SIZE, Kind.ADAPTIVE_POOLING}
WHOLE_IMAGE = POOLING_ALL | {Kind.WHOLE_IMAGE, Kind.ATTENTION} | ALONG_CHANNELS
PART_HINT = "cut the model before this layer"


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a map: the receptive field of its cells, and their number."""

    field: ReceptiveField
    cells: int

    def then(self, kernel: Kernel1D) -> "Axis":
        """The axis after a layer with this kernel."""
        field = self.field.then(kernel.dilated_size, kernel.stride, kernel.before, kernel.after)
        return Axis(field, kernel.cells(self.cells))


@dataclasses.dataclass(frozen=True)
class Map:
    """A map in the network: its rows, its columns, and the order of its axes without the batch.

    The order is "hwc" or "chw" (channels first), without "c" if there are no channels, and with a "1" for each further
    axis; these are of length 1, or keep cells apart.
    """

    rows: Axis
    columns: Axis
    order: str

    def then(self, rows: Kernel1D, columns: Kernel1D) -> "Map":
        """The map after a layer with these kernels."""
        return Map(self.rows.then(rows), self.columns.then(columns), self.order)

    @property
    def rank(self) -> int:
        """The number of axes, with the batch."""
        return 1 + len(self.order)

    @property
    def channel_axis(self) -> int | None:
        """The axis of the channels; None if there are none."""
        return 1 + self.order.index("c") if "c" in self.order else None


@dataclasses.dataclass(frozen=True)
class LengthOnly:
    """The cells of one row or column: their number may be used, their values may not."""

    cells: int


@dataclasses.dataclass(frozen=True)
class WholeImage:
    """A value that is the same for all cells, since it depends on the whole image."""


def receptive_field(model: keras.Model, *, size: tuple[int, int] | None = None, keep_global: bool = False) -> Geometry:
    """Compute the receptive field of a fully convolutional model: size, stride and padding in pixels, by axis.

    `model` is a result of `vggfcn.convert`, `build` or `with_output_stride`, or any Keras model with one input and one
    output map; it may contain nested models. The cell in row r and column c of its map reads rows
    [stride * r - padding, stride * r - padding + size) of the image, with the values in `rows`, and columns likewise.
    No other pixel affects it. Near a border it may see less, where padding replaces cells that it would read. Merged
    branches have the union of their receptive fields.

    SAME padding with a stride depends on the image's size. `size` is that size, (height, width) in pixels. By default
    it is the model's own input size; if that is open, the result holds for sizes that are multiples of the stride.

    With `keep_global`, what depends on the whole image, such as squeeze-and-excitation, is left out of account: the
    result says where cells lie and what each sees on its own.

    Raises `GeometryError`, with the layer's name, if a layer depends on the whole image or is unknown, and if maps of
    different strides are merged; `TypeError` if `model` is not a Keras model.

    >>> receptive_field(keras.applications.VGG16(include_top=False, weights=None)).size
    (212, 212)
    """
    seen = analyse_graph(model, GraphAnalysis("", keep_global), size)
    return Geometry(seen.rows.field, seen.columns.field)


def analyse_graph(model: keras.Model, analysis: "GraphAnalysis", size: tuple[int, int] | None) -> Map:
    """Run an analysis over a model, and return the map that it gives for the output.

    Raises what `receptive_field` raises.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    graph = graph_or_refuse(model, model.name)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GeometryError(
            f"{model.name}: expected one input and one output, got {len(graph.inputs)} and {len(graph.outputs)}; "
            "select one of each with keras.Model(input, output)"
        )
    order = order_of_inputs(graph)
    rows, columns = (Axis(PIXEL, cells) for cells in _cells(graph.inputs[0], order, size))
    seen = analysis.outputs(graph, [analysis.noted(Map(rows, columns, order), graph.inputs[0])])[0]
    if not isinstance(seen, Map):
        raise GeometryError(
            f"{model.name}: returns no map, but values of the whole image; pass it to vggfcn.convert first"
        )
    return seen


def _cells(tensor: Any, order: str, size: tuple[int, int] | None) -> tuple[int, int]:
    if len(tensor.shape) != 4:
        raise GeometryError(f"{tensor.name}: expected images, got an input of shape {tuple(tensor.shape)}")
    first = 1 + order.index("h")
    rows, columns = size or (side or MULTIPLE for side in tensor.shape[first : first + 2])
    return rows, columns


class GraphAnalysis:
    """The receptive fields of the tensors of one graph; `path` is the prefix of its layers' names.

    `keep_global` is that of `receptive_field`.
    """

    def __init__(self, path: str, keep_global: bool = False):
        self.path = path
        self.keep_global = keep_global

    def noted(self, given: Map, tensor: Any) -> Map:
        """The map to use for a Keras tensor; subclasses may record it. The first is the image."""
        return given

    def inside(self, path: str) -> "GraphAnalysis":
        """The analysis of a nested model."""
        return GraphAnalysis(path, self.keep_global)

    def outputs(self, graph: Any, given: list[Any]) -> list[Any]:
        """The maps of the graph's outputs when its inputs are `given`."""
        return evaluate(graph, given, self.visit)

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The maps of one call's outputs; for an output that is not a map, its value."""
        layer = node.operation
        if isinstance(layer, keras.Model):
            path = f"{self.path}{layer.name}"
            return self.inside(f"{path}/").outputs(graph_or_refuse(layer, path), _values(args, kwargs))
        values = _values(args, kwargs)
        if lengths := [value for value in values if isinstance(value, LengthOnly)]:
            return [self.measured(layer, lengths)]
        maps = [value for value in values if isinstance(value, Map)]
        if not maps and any(isinstance(value, WholeImage) for value in values):
            return [WholeImage()] * len(node.outputs)
        if not maps:  # Depends on sizes alone, such as the width of padding: compute the value.
            return keras.tree.flatten(layer(*args, **kwargs))
        if len(node.outputs) != 1:
            self.refuse(layer, f"has {len(node.outputs)} outputs", "convert the classifier with vggfcn.convert")
        seen = self.seen(layer, maps, (*args, *kwargs.values()))
        if isinstance(seen, Map) and seen.rank != len(node.outputs[0].shape):
            self.unknown(layer)
        return [seen]

    def seen(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Any:
        """The map of the layer's output."""
        kind, given = kind_of(layer), maps[0]
        if runs_along_last_axis(layer) and kind is not Kind.DENSE and given.channel_axis != given.rank - 1:
            self.refuse(layer, "has an activation along the columns, not the channels", "use a Softmax layer, axis=1")
        if kind in KERNEL_KINDS:
            return self.slid(layer, given)
        if kind in PARTS:
            return PARTS[kind](self, layer, given, args)
        if kind is Kind.MERGING:
            return self.merged(layer, maps, args)
        if kind is Kind.STACK:
            return self.stacked(layer, maps, args)
        if kind in CELL_BY_CELL:
            return given
        if kind in WITHIN_A_CELL and _axes_within(layer, given.rank) <= {given.channel_axis}:
            keeps = kind not in REDUCING or getattr(layer, "keepdims", False)
            return given if keeps else dataclasses.replace(given, order=given.order.replace("c", ""))
        if self.keep_global and kind in WHOLE_IMAGE:
            return WholeImage() if kind in POOLING_ALL else given
        return self.unknown(layer)

    def unknown(self, layer: keras.layers.Layer) -> NoReturn:
        self.refuse(
            layer,
            "its receptive field cannot be computed: it depends on the whole image, rearranges it, or is unknown",
            "make the classifier fully convolutional with vggfcn.convert, or cut the model before this layer",
        )

    def refuse(self, layer: keras.layers.Layer, reason: str, hint: str) -> NoReturn:
        """Raise a `GeometryError` that names the layer."""
        raise GeometryError(f"{self.path}{layer.name} ({type(layer).__name__}): {reason}; {hint}")

    def moved(self, given: Map, rows: Kernel1D, columns: Kernel1D) -> Map:
        """The map after a layer with these kernels; every layer that slides goes through this method."""
        return given.then(rows, columns)

    def slid(self, layer: keras.layers.Layer, given: Map) -> Map:
        order = "chw" if getattr(layer, "data_format", "channels_last") == "channels_first" else "hwc"
        if given.order != order + "1" * (kind_of(layer) in VOLUMETRIC):
            self.refuse(layer, "slides along other axes than rows and columns", PART_HINT)
        try:
            rows, columns = kernels_of(layer, (given.rows.cells, given.columns.cells))
        except ValueError:
            self.refuse(layer, "neighbouring cells see areas of different shape", PART_HINT)
        return self.moved(given, rows, columns)

    def merged(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Map:
        if hasattr(layer, "axis") and axes_of(layer, maps[0].rank) != {maps[0].channel_axis}:
            self.refuse(layer, "joins maps along rows or columns", PART_HINT)
        return self.union(layer, maps, args)

    def stacked(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Map:
        """Maps without channels, as the channels of one."""
        merged = self.union(layer, maps, args)
        return self.with_axis(layer, merged, layer.axis, "c" if merged.channel_axis is None else "1")

    def union(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Map:
        """The map whose cells see what the cells of all maps see."""
        strides = {(one.rows.field.stride, one.columns.field.stride) for one in maps}
        if len(strides) > 1:
            listed = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(strides))
            self.refuse(
                layer,
                f"merges maps of different strides, {listed} pixels",
                "merge maps of one stride only, or analyse each branch separately",
            )
        if len({one.order for one in maps}) > 1:
            self.refuse(layer, "merges maps whose axes are in different orders", PART_HINT)
        both = [[one.rows.cells for one in maps], [one.columns.cells for one in maps]]
        repeats = any(min(cells) == 1 < max(cells) for cells in both)
        if repeats or not all(_fits(item, maps[0]) for item in keras.tree.flatten(args)):
            self.refuse(layer, "repeats a single row or column", PART_HINT)
        rows, columns = (
            Axis(union([axis.field for axis in axes]), min(axis.cells for axis in axes))
            for axes in zip(*((one.rows, one.columns) for one in maps), strict=True)
        )
        return Map(rows, columns, maps[0].order)

    def with_axis(self, layer: keras.layers.Layer, given: Map, axis: int, name: str) -> Map:
        """The map with one more axis."""
        place = axis % (given.rank + 1) - 1
        if place < 0:
            self.unknown(layer)
        return dataclasses.replace(given, order=given.order[:place] + name + given.order[place:])

    def expanded(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        """An axis of length 1 more, or fewer such axes."""
        if hasattr(layer, "axis") and type(layer).__name__ == "ExpandDims" and isinstance(layer.axis, int):
            return self.with_axis(layer, given, layer.axis, "c" if given.channel_axis is None else "1")
        axes = axes_of(layer, given.rank) if type(layer).__name__ == "Squeeze" and layer.axis is not None else {0}
        if any(axis == 0 or given.order[axis - 1] in "hw" for axis in axes):
            self.unknown(layer)
        order = "".join(name for axis, name in enumerate(given.order, 1) if axis not in axes)
        return dataclasses.replace(given, order=order)

    def permuted(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        order = reordering_of(layer)
        if order is None or order[0] != given.order:
            self.refuse(layer, "moves rows or columns to other axes", PART_HINT)
        return dataclasses.replace(given, order=order[1])

    def pad(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        widths = layer.pad_width if len(layer.pad_width) > 1 else layer.pad_width * given.rank
        if len(widths) != given.rank or any(widths[0]):
            self.unknown(layer)
        if layer.mode != "constant":
            self.refuse(layer, f"pads with pixels from inside the image (mode {layer.mode})", "pad with a constant")
        first = 1 + given.order.index("h")
        rows, columns = (Kernel1D(before=before, after=after) for before, after in widths[first : first + 2])
        return self.moved(given, rows, columns)

    def take(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        """Some channels, or some consecutive rows or columns; how many may depend on the size."""
        axis = None if layer.axis is None else layer.axis % given.rank
        if isinstance(args[1], Map):
            self.unknown(layer)
        indices = np.asarray(args[1])
        if axis is not None and axis == given.channel_axis and indices.ndim < 2:
            order = given.order if indices.ndim else given.order.replace("c", "")
            return dataclasses.replace(given, order=order)
        name = given.order[axis - 1] if axis else ""
        if name not in ("h", "w") or indices.ndim != 1 or not indices.size or np.any(np.diff(indices) != 1):
            self.refuse(layer, "selects rows or columns", PART_HINT)
        cells = (given.rows if name == "h" else given.columns).cells
        part = Kernel1D(before=-int(indices[0]), after=int(indices[-1]) + 1 - cells)
        return self.moved(given, *((part, Kernel1D()) if name == "h" else (Kernel1D(), part)))

    def get_item(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map | LengthOnly:
        """Some channels, or part of one row or column."""
        parts = indexed_axes(args[1], given.rank)
        if parts is not None and set(parts) <= {given.channel_axis}:
            dropped = any(isinstance(part, int) for part in parts.values())
            return dataclasses.replace(given, order=given.order.replace("c", "") if dropped else given.order)
        numbers = {axis for axis, part in (parts or {}).items() if isinstance(part, int)}
        along = [axis for axis in (1, 2) if numbers == {0, 1, 2, 3} - {axis}]
        if given.order != "hwc" or parts is None or not along:
            self.refuse(layer, "selects rows or columns", PART_HINT)
        part = parts.get(along[0], slice(None))
        cells = (given.rows if along == [1] else given.columns).cells
        return LengthOnly(len(range(*part.indices(cells))) if isinstance(part, slice) else 1)

    def measured(self, layer: keras.layers.Layer, lengths: list[LengthOnly]) -> Any:
        """As many ones as there are cells: the only operation allowed on `LengthOnly`."""
        if type(layer).__name__ not in ("OnesLike", "ZerosLike"):
            self.refuse(layer, "selects rows or columns", PART_HINT)
        return layer(np.zeros(lengths[0].cells, np.float32))


def _axes_within(layer: keras.layers.Layer, rank: int) -> set[int]:
    """The axes that a layer of `WITHIN_A_CELL` works along."""
    if kind_of(layer) is Kind.GLOBAL_POOLING and not hasattr(layer, "axis"):
        return set(range(1, rank))  # A layer, unlike keras.ops.mean and max.
    rearranges = kind_of(layer) is Kind.REARRANGING
    return rearranged_axes(layer, rank) if rearranges else axes_of(layer, rank)


def _fits(item: Any, given: Map) -> bool:
    """Whether a constant that is merged with a map has no more rows and columns than the map has."""
    constant = hasattr(item, "shape") and not isinstance(item, Map)
    shape = (1,) * given.rank + (tuple(item.shape) if constant else ())
    cells = {"h": given.rows.cells, "w": given.columns.cells}
    aligned = zip(given.order, shape[-len(given.order) :], strict=True)
    return all(length in (1, cells[name]) for name, length in aligned if name in cells)


def _values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The maps, lengths and arrays among the arguments; plain numbers and options are left out."""
    values = keras.tree.flatten((args, kwargs))
    return [value for value in values if isinstance(value, Map | LengthOnly | WholeImage) or hasattr(value, "shape")]


VOLUMETRIC = (Kind.VOLUMETRIC_PADDING, Kind.VOLUMETRIC_POOLING)
PARTS = {
    Kind.PAD: GraphAnalysis.pad,
    Kind.TAKE: GraphAnalysis.take,
    Kind.GET_ITEM: GraphAnalysis.get_item,
    Kind.PERMUTE: GraphAnalysis.permuted,
    Kind.AXES_OF_LENGTH_1: GraphAnalysis.expanded,
}
