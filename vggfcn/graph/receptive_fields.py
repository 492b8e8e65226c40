"""The receptive field of a Keras model, computed from its graph.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
from typing import Any, NoReturn

import keras
import numpy as np

from vggfcn.errors import GeometryError
from vggfcn.graph.kernels import KERNEL_KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import ALONG_CHANNELS, POINTWISE, Kind, axes_of, kind_of, reordering_of
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs
from vggfcn.maps.geometry import PIXEL, Geometry, ReceptiveField, union

# A multiple of every usual stride. SAME padding is the same for all multiples of the stride.
MULTIPLE = 2**12 * 3**3 * 5
# Each cell of the output depends on the same cell of the input alone.
CELL_BY_CELL = POINTWISE | {Kind.POWER, Kind.ONES_LIKE, Kind.PRELU, Kind.AXES_OF_LENGTH_1}


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
    """A map in the network: its rows, its columns, and their order, "hwc" or "chw" (channels first)."""

    rows: Axis
    columns: Axis
    order: str

    def then(self, rows: Kernel1D, columns: Kernel1D) -> "Map":
        """The map after a layer with these kernels."""
        return Map(self.rows.then(rows), self.columns.then(columns), self.order)


@dataclasses.dataclass(frozen=True)
class LengthOnly:
    """The cells of one row or column: their number may be used, their values may not."""

    cells: int


def receptive_field(model: keras.Model, *, size: tuple[int, int] | None = None) -> Geometry:
    """Compute the receptive field of a fully convolutional model: size, stride and padding in pixels, by axis.

    `model` is a result of `vggfcn.convert`, `build` or `with_output_stride`, or any Keras model with one input and one
    output map; it may contain nested models. The cell in row r and column c of its map reads rows
    [stride * r - padding, stride * r - padding + size) of the image, with the values in `rows`, and columns likewise.
    No other pixel affects it. Near a border it may see less, where padding replaces cells that it would read. Merged
    branches have the union of their receptive fields.

    SAME padding with a stride depends on the image's size. `size` is that size, (height, width) in pixels. By default
    it is the model's own input size; if that is open, the result holds for sizes that are multiples of the stride.

    Raises `GeometryError`, with the layer's name, if a layer depends on the whole image or is unknown, and if maps of
    different strides are merged; `TypeError` if `model` is not a Keras model.

    >>> receptive_field(keras.applications.VGG16(include_top=False, weights=None)).size
    (212, 212)
    """
    seen = analyse_graph(model, GraphAnalysis(""), size)
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
    return analysis.outputs(graph, [analysis.noted(Map(rows, columns, order), graph.inputs[0])])[0]


def _cells(tensor: Any, order: str, size: tuple[int, int] | None) -> tuple[int, int]:
    if len(tensor.shape) != 4:
        raise GeometryError(f"{tensor.name}: expected images, got an input of shape {tuple(tensor.shape)}")
    first = 1 + order.index("h")
    rows, columns = size or (side or MULTIPLE for side in tensor.shape[first : first + 2])
    return rows, columns


class GraphAnalysis:
    """The receptive fields of the tensors of one graph; `path` is the prefix of its layers' names."""

    def __init__(self, path: str):
        self.path = path

    def noted(self, given: Map, tensor: Any) -> Map:
        """The map to use for a Keras tensor; subclasses may record it. The first is the image."""
        return given

    def inside(self, path: str) -> "GraphAnalysis":
        """The analysis of a nested model."""
        return GraphAnalysis(path)

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
        if not maps:  # Depends on sizes alone, such as the width of padding: compute the value.
            return keras.tree.flatten(layer(*args, **kwargs))
        return [self.seen(layer, maps, args)]

    def seen(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Any:
        """The map of the layer's output."""
        kind = kind_of(layer)
        if kind in KERNEL_KINDS:
            return self.slid(layer, maps[0])
        if kind in PARTS:
            return PARTS[kind](self, layer, maps[0], args)
        if kind is Kind.MERGING:
            return self.merged(layer, maps)
        if kind is Kind.PERMUTE:
            return self.permuted(layer, maps[0])
        if kind in CELL_BY_CELL:
            return maps[0]
        if kind in ALONG_CHANNELS | {Kind.DENSE} and axes_of(layer, 4) == {1 + maps[0].order.index("c")}:
            return maps[0]
        return self.refuse(
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
        try:
            rows, columns = kernels_of(layer, (given.rows.cells, given.columns.cells))
        except ValueError:
            self.refuse(layer, "neighbouring cells see areas of different shape", "cut the model before this layer")
        return self.moved(given, rows, columns)

    def merged(self, layer: keras.layers.Layer, maps: list[Map]) -> Map:
        strides = {(one.rows.field.stride, one.columns.field.stride) for one in maps}
        if len(strides) > 1:
            listed = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(strides))
            self.refuse(
                layer,
                f"merges maps of different strides, {listed} pixels",
                "merge maps of one stride only, or analyse each branch separately",
            )
        rows, columns = (
            Axis(union([axis.field for axis in axes]), min(axis.cells for axis in axes))
            for axes in zip(*((one.rows, one.columns) for one in maps), strict=True)
        )
        return Map(rows, columns, maps[0].order)

    def permuted(self, layer: keras.layers.Layer, given: Map) -> Map:
        order = reordering_of(layer)
        if order is None or order[0] != given.order:
            self.refuse(layer, "moves rows or columns to other axes", "cut the model before this layer")
        return dataclasses.replace(given, order=order[1])

    def pad(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        widths = layer.pad_width if len(layer.pad_width) == 4 else layer.pad_width * 4
        first = 1 + given.order.index("h")
        rows, columns = (Kernel1D(before=before, after=after) for before, after in widths[first : first + 2])
        return self.moved(given, rows, columns)

    def take(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        """Some consecutive rows or columns; how many may depend on the size."""
        axis = layer.axis - 1 - given.order.index("h")
        indices = np.asarray(args[1])
        if axis not in (0, 1) or indices.ndim != 1 or np.any(np.diff(indices) != 1):
            self.refuse(layer, "selects rows or columns", "cut the model before this layer")
        cells = (given.rows, given.columns)[axis].cells
        part = Kernel1D(before=-int(indices[0]), after=int(indices[-1]) + 1 - cells)
        return self.moved(given, *((part, Kernel1D()) if axis == 0 else (Kernel1D(), part)))

    def get_item(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map | LengthOnly:
        """Some channels, or part of one row or column."""
        key = args[1]
        if key[0] is Ellipsis and len(key) == 2 and given.order == "hwc":
            return given
        sliced = [axis for axis, part in enumerate(key) if isinstance(part, slice)]
        if given.order != "hwc" or len(key) != 4 or sliced not in ([1], [2]):
            self.refuse(layer, "selects rows or columns", "cut the model before this layer")
        (axis,) = sliced
        cells = (given.rows, given.columns)[axis - 1].cells
        return LengthOnly(len(range(cells)[key[axis]]))

    def measured(self, layer: keras.layers.Layer, lengths: list[LengthOnly]) -> Any:
        """As many ones as there are cells: the only operation allowed on `LengthOnly`."""
        if kind_of(layer) is not Kind.ONES_LIKE:
            self.refuse(layer, "selects rows or columns", "cut the model before this layer")
        return layer(np.zeros(lengths[0].cells, np.float32))


def _values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The maps, lengths and arrays among the arguments; plain numbers and options are left out."""
    values = keras.tree.flatten((args, kwargs))
    return [value for value in values if isinstance(value, Map | LengthOnly) or hasattr(value, "shape")]


PARTS = {Kind.PAD: GraphAnalysis.pad, Kind.TAKE: GraphAnalysis.take, Kind.GET_ITEM: GraphAnalysis.get_item}
