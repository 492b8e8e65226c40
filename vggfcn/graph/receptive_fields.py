"""What each cell of a Keras model's map sees of the image, read from its graph.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
from typing import Any, NoReturn

import keras
import numpy as np

from vggfcn.errors import GeometryError
from vggfcn.graph.kernels import KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import ALONG_CHANNELS, POINTWISE, Kind, axes_of, kind_of, reordering_of
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs
from vggfcn.maps.geometry import PIXEL, Geometry, ReceptiveField, union

# A size that every usual stride divides. Padding does not depend on which multiple it is.
MULTIPLE = 2**12 * 3**3 * 5
# Each cell is computed from the same cell alone.
CELL_BY_CELL = POINTWISE | {Kind.POWER, Kind.ONES_LIKE, Kind.PRELU, Kind.AXES_OF_LENGTH_1}


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a map: what its cells see, and how many there are."""

    field: ReceptiveField
    cells: int

    def then(self, kernel: Kernel1D) -> "Axis":
        """The axis after a layer that slides so."""
        field = self.field.then(kernel.dilated_size, kernel.stride, kernel.before, kernel.after)
        return Axis(field, kernel.cells(self.cells))


@dataclasses.dataclass(frozen=True)
class Map:
    """A tensor of the network: its rows and columns, and whether they come before the channels ("hwc") or after."""

    rows: Axis
    columns: Axis
    order: str

    def then(self, rows: Kernel1D, columns: Kernel1D) -> "Map":
        """The map after a layer that slides so."""
        return Map(self.rows.then(rows), self.columns.then(columns), self.order)


@dataclasses.dataclass(frozen=True)
class LengthOnly:
    """Cells of one row or column whose number may be used, but not their values."""

    cells: int


def receptive_field(model: keras.Model, *, size: tuple[int, int] | None = None) -> Geometry:
    """What each cell of a fully convolutional model's map sees: size, stride and padding in pixels, by axis.

    The cell in row r and column c reads rows [stride * r - padding, stride * r - padding + size) of the image, with
    the figures of `rows`, and columns likewise. No other pixel changes it. At a border it may see less, where padding
    stands for cells that it would read. Branches that meet see the union of what they see. `model` is what
    `vggfcn.convert`, `build` or `with_output_stride` give, or any Keras model of one input and one output map; nested
    models are looked into.

    SAME padding at a stride depends on the image's size. `size` is that size, (height, width) in pixels; without
    it the model's own input size is taken, and where that is open, sizes that are multiples of the stride.

    Raises `GeometryError`, with the layer's name, if a layer takes the whole image into account or is not known, and
    where maps of different strides meet; `TypeError` if `model` is no Keras model.

    >>> receptive_field(keras.applications.VGG16(include_top=False, weights=None)).size
    (212, 212)
    """
    seen = analyse_graph(model, GraphAnalysis(""), size)
    return Geometry(seen.rows.field, seen.columns.field)


def analyse_graph(model: keras.Model, analysis: "GraphAnalysis", size: tuple[int, int] | None) -> Map:
    """What the model's output sees, as the analysis has it; raises as `receptive_field` does."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    graph = graph_or_refuse(model, model.name)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GeometryError(
            f"{model.name}: expected one input and one output, got {len(graph.inputs)} and {len(graph.outputs)}; "
            "choose one of each: keras.Model(inputs, output)"
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
    """What the tensors of one graph see; `path` is what the names of its layers begin with."""

    def __init__(self, path: str):
        self.path = path

    def noted(self, given: Map, tensor: Any) -> Map:
        """The map that a Keras tensor stands for, as it is told apart from others, if it is: the image is first."""
        return given

    def inside(self, path: str) -> "GraphAnalysis":
        """The analysis of a nested model."""
        return GraphAnalysis(path)

    def outputs(self, graph: Any, given: list[Any]) -> list[Any]:
        """What the graph's outputs see when its inputs see `given`."""
        return evaluate(graph, given, self.visit)

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """What the outputs of one call see; for what is no map, its value."""
        layer = node.operation
        if isinstance(layer, keras.Model):
            path = f"{self.path}{layer.name}"
            return self.inside(f"{path}/").outputs(graph_or_refuse(layer, path), _values(args, kwargs))
        values = _values(args, kwargs)
        if lengths := [value for value in values if isinstance(value, LengthOnly)]:
            return [self.measured(layer, lengths)]
        maps = [value for value in values if isinstance(value, Map)]
        if not maps:  # Numbers that follow from sizes alone, such as how wide to pad.
            return keras.tree.flatten(layer(*args, **kwargs))
        return [self.seen(layer, maps, args)]

    def seen(self, layer: keras.layers.Layer, maps: list[Map], args: tuple[Any, ...]) -> Any:
        """What the layer's output sees."""
        kind = kind_of(layer)
        if kind in KINDS:
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
            "what its cells see cannot be known; it takes the whole image into account, rearranges it, or is unknown",
            "make a classifier fully convolutional with vggfcn.convert, or take the model up to this layer",
        )

    def refuse(self, layer: keras.layers.Layer, reason: str, hint: str) -> NoReturn:
        """Raise a `GeometryError` that names the layer."""
        raise GeometryError(f"{self.path}{layer.name} ({type(layer).__name__}): {reason}; {hint}")

    def moved(self, given: Map, rows: Kernel1D, columns: Kernel1D) -> Map:
        """The map after a layer that slides so: all that slides comes by here."""
        return given.then(rows, columns)

    def slid(self, layer: keras.layers.Layer, given: Map) -> Map:
        try:
            rows, columns = kernels_of(layer, (given.rows.cells, given.columns.cells))
        except ValueError:
            self.refuse(layer, "its neighbouring cells see different shapes", "take the model up to this layer")
        return self.moved(given, rows, columns)

    def merged(self, layer: keras.layers.Layer, maps: list[Map]) -> Map:
        strides = {(one.rows.field.stride, one.columns.field.stride) for one in maps}
        if len(strides) > 1:
            listed = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(strides))
            self.refuse(
                layer,
                f"puts together maps of different strides, {listed} pixels",
                "take the features of one stride, or look at the branches one by one",
            )
        rows, columns = (
            Axis(union([axis.field for axis in axes]), min(axis.cells for axis in axes))
            for axes in zip(*((one.rows, one.columns) for one in maps), strict=True)
        )
        return Map(rows, columns, maps[0].order)

    def permuted(self, layer: keras.layers.Layer, given: Map) -> Map:
        order = reordering_of(layer)
        if order is None or order[0] != given.order:
            self.refuse(layer, "turns the map round", "take the model up to this layer")
        return dataclasses.replace(given, order=order[1])

    def pad(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        widths = layer.pad_width if len(layer.pad_width) == 4 else layer.pad_width * 4
        first = 1 + given.order.index("h")
        rows, columns = (Kernel1D(before=before, after=after) for before, after in widths[first : first + 2])
        return self.moved(given, rows, columns)

    def take(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map:
        """Part of the rows or columns, as many as follow from the size."""
        axis = layer.axis - 1 - given.order.index("h")
        indices = np.asarray(args[1])
        if axis not in (0, 1) or indices.ndim != 1 or np.any(np.diff(indices) != 1):
            self.refuse(layer, "picks rows or columns", "take the model up to this layer")
        cells = (given.rows, given.columns)[axis].cells
        part = Kernel1D(before=-int(indices[0]), after=int(indices[-1]) + 1 - cells)
        return self.moved(given, *((part, Kernel1D()) if axis == 0 else (Kernel1D(), part)))

    def get_item(self, layer: keras.layers.Layer, given: Map, args: tuple[Any, ...]) -> Map | LengthOnly:
        """Some channels, or a part of one row or column."""
        key = args[1]
        if key[0] is Ellipsis and len(key) == 2 and given.order == "hwc":
            return given
        sliced = [axis for axis, part in enumerate(key) if isinstance(part, slice)]
        if given.order != "hwc" or len(key) != 4 or sliced not in ([1], [2]):
            self.refuse(layer, "picks rows or columns", "take the model up to this layer")
        (axis,) = sliced
        cells = (given.rows, given.columns)[axis - 1].cells
        return LengthOnly(len(range(cells)[key[axis]]))

    def measured(self, layer: keras.layers.Layer, lengths: list[LengthOnly]) -> Any:
        """As many ones as there are cells; that is all that may be made of them."""
        if kind_of(layer) is not Kind.ONES_LIKE:
            self.refuse(layer, "picks rows or columns", "take the model up to this layer")
        return layer(np.zeros(lengths[0].cells, np.float32))


def _values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What flows in, constants of the call left out."""
    values = keras.tree.flatten((args, kwargs))
    return [value for value in values if isinstance(value, Map | LengthOnly) or hasattr(value, "shape")]


PARTS = {Kind.PAD: GraphAnalysis.pad, Kind.TAKE: GraphAnalysis.take, Kind.GET_ITEM: GraphAnalysis.get_item}
