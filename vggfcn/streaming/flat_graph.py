"""A Keras model as a flat list of layer calls, nested models expanded, each with its kernels along rows and columns."""

import dataclasses
from typing import Any, cast

import keras
import numpy as np

from vggfcn.graph.kernels import Kernel1D
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.receptive_fields import GraphAnalysis, Map, analyse_graph
from vggfcn.maps.geometry import Geometry
from vggfcn.streaming.schedule import Link, RowPlan

# Each cell is made from the same cell alone.
POINTWISE = Kernel1D()


@dataclasses.dataclass(frozen=True)
class Tensor(Map):
    """A map of the network: its cells and what they see, its number in the flat graph, and its Keras tensor."""

    number: int
    tensor: Any

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape of `rows` rows of it in a batch of one: (1, rows, columns, channels)."""
        return 1, rows, self.columns.cells, *self.tensor.shape[3:]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer: its arguments, with `Tensor`s in place of Keras's tensors, and its kernels.

    `path` is the layer's name, after the names of the models that contain it. `rows` and `columns` say how the layer
    slides along each axis.
    """

    layer: Any
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Tensor
    rows: Kernel1D
    columns: Kernel1D

    @property
    def sources(self) -> list[Tensor]:
        """The maps that the layer reads."""
        return [item for item in keras.tree.flatten((self.args, self.kwargs)) if isinstance(item, Tensor)]


@dataclasses.dataclass(frozen=True)
class FlatGraph:
    """The calls that lead from the image, tensor 0, to the output, for images of one size."""

    calls: tuple[Call, ...]
    tensors: tuple[Tensor, ...]
    output: Tensor

    @property
    def geometry(self) -> Geometry:
        """The pixels that each cell of the output sees."""
        return Geometry(self.output.rows.field, self.output.columns.field)

    def plan(self, *, columns: bool = False) -> RowPlan:
        """Which rows of each map the output's rows need; with `columns`, the same for columns."""
        axis = "columns" if columns else "rows"
        links = tuple(
            Link(tuple(source.number for source in call.sources), call.target.number, getattr(call, axis))
            for call in self.calls
        )
        sizes = tuple(getattr(tensor, axis).cells for tensor in self.tensors)
        return RowPlan(links, sizes, self.output.number, getattr(self.geometry, axis).stride)


def flatten(model: keras.Model, size: tuple[int, int]) -> FlatGraph:
    """List a model's calls for images of `size`, (height, width) in pixels.

    Raises `GeometryError`, which names the layer, for whatever `receptive_field` refuses, for a layer that treats rows
    differently from each other or works channels first, and for an image that is too small; `TypeError` if `model` is
    not a Keras model.
    """
    analysis = _Flattening("", [], [])
    output = cast(Tensor, analyse_graph(model, analysis, size))
    needed, calls = {output.number}, []
    for call in reversed(analysis.calls):
        if call.target.number in needed:
            needed.update(source.number for source in call.sources)
            calls.append(call)
    return FlatGraph(tuple(reversed(calls)), tuple(analysis.tensors), output)


class _Flattening(GraphAnalysis):
    """An analysis that records each call and the map that it makes."""

    def __init__(self, path: str, calls: list[Call], tensors: list[Tensor]):
        super().__init__(path)
        self.calls = calls
        self.tensors = tensors
        self.slides = POINTWISE, POINTWISE

    def noted(self, given: Map, tensor: Any) -> Tensor:
        self.tensors.append(Tensor(given.rows, given.columns, given.order, len(self.tensors), tensor))
        return self.tensors[-1]

    def inside(self, path: str) -> "_Flattening":
        return _Flattening(path, self.calls, self.tensors)

    def moved(self, given: Map, rows: Kernel1D, columns: Kernel1D) -> Map:
        self.slides = rows, columns
        return super().moved(given, rows, columns)

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        self.slides = POINTWISE, POINTWISE
        seen = super().visit(node, args, kwargs)
        layer = node.operation
        if isinstance(layer, keras.Model) or not isinstance(seen[0], Map):
            return seen
        self.check(layer, seen[0], args, kwargs)
        target = self.noted(seen[0], node.outputs[0])
        self.calls.append(Call(layer, self.path + layer.name, args, kwargs, target, *self.slides))
        return [target]

    def check(self, layer: keras.layers.Layer, seen: Map, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse a layer that cannot be run on a few rows at a time."""
        items = keras.tree.flatten((args, kwargs))
        maps = [item for item in items if isinstance(item, Tensor)]
        if not all(one.order.startswith("hw") for one in (seen, *maps)):
            self.refuse(layer, "works channels first", "build the network channels last")
        if len({(source.rows.cells, source.columns.cells) for source in maps}) > 1:
            sizes = " and ".join(f"{source.rows.cells} x {source.columns.cells}" for source in maps)
            self.refuse(layer, f"combines maps of different sizes, {sizes}", "crop them to one size")
        if seen.rows.cells < 1 or seen.columns.cells < 1:
            size = f"{maps[0].rows.cells} x {maps[0].columns.cells}"
            self.refuse(layer, f"has no output for a map of {size} cells", "use a larger image")
        constants = [item for item in items if hasattr(item, "shape") and not isinstance(item, Tensor)]
        slopes = [layer.alpha] if isinstance(layer, keras.layers.PReLU) else []
        if kind_of(layer) is Kind.MERGING or slopes:
            row_counts = [np.shape(item)[-3] for item in (*constants, *slopes) if len(np.shape(item)) > 2]
            if max(row_counts, default=1) > 1:
                self.refuse(layer, "has a separate number for each row", "give it one for each channel")
        if self.slides[0] != POINTWISE:
            self.check_sliding(layer)

    def check_sliding(self, layer: keras.layers.Layer) -> None:
        if kind_of(layer) in (Kind.VOLUMETRIC_PADDING, Kind.VOLUMETRIC_POOLING):
            self.refuse(layer, "slides along rows, columns and channels", "let it slide along the channels alone")
        if kind_of(layer) is Kind.PAD and any(layer.pad_width[-1]):
            self.refuse(layer, "pads channels together with rows or columns", "pad the channels in a step of its own")
