"""A network as one flat list of calls, nested models opened, each with how it slides over the rows of an image."""

import dataclasses
from typing import Any, cast

import keras
import numpy as np

from vggfcn.graph.kernels import Kernel1D
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.receptive_fields import GraphAnalysis, Map, analyse_graph
from vggfcn.maps.geometry import Geometry
from vggfcn.streaming.schedule import Link, RowPlan

STILL = Kernel1D()


@dataclasses.dataclass(frozen=True)
class Tensor(Map):
    """A map of the network: what its cells see, how many there are, its number, and what it is in Keras's graph."""

    number: int
    tensor: Any

    def shape(self, rows: int) -> tuple[int, ...]:
        """Of so many of its rows, a batch of one."""
        return 1, rows, self.columns.cells, *self.tensor.shape[3:]


@dataclasses.dataclass(frozen=True)
class Call:
    """A layer called once: `args` and `kwargs` with `Tensor`s in the places of tensors, and how it slides over them.

    `path` is its name with those of the models that it is in.
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
        """The maps that flow in."""
        return [item for item in keras.tree.flatten((self.args, self.kwargs)) if isinstance(item, Tensor)]


@dataclasses.dataclass(frozen=True)
class FlatGraph:
    """The calls from the image, which is tensor 0, to the output, for images of one size."""

    calls: tuple[Call, ...]
    tensors: tuple[Tensor, ...]
    output: Tensor

    @property
    def geometry(self) -> Geometry:
        """What each cell of the output sees."""
        return Geometry(self.output.rows.field, self.output.columns.field)

    def plan(self, *, columns: bool = False) -> RowPlan:
        """How rows of the output are made from rows of the image; or columns from columns."""
        axis = "columns" if columns else "rows"
        links = tuple(
            Link(tuple(source.number for source in call.sources), call.target.number, getattr(call, axis))
            for call in self.calls
        )
        sizes = tuple(getattr(tensor, axis).cells for tensor in self.tensors)
        return RowPlan(links, sizes, self.output.number, getattr(self.geometry, axis).stride)


def flatten(model: keras.Model, size: tuple[int, int]) -> FlatGraph:
    """The model's calls for images of that size, (height, width).

    Raises `GeometryError`, with the layer's name, for what `receptive_field` refuses, for layers that treat each row in
    a way of its own or work on channels first, and for an image that is too small; `TypeError` if it is no model.
    """
    analysis = _Flattening("", [], [])
    output = cast(Tensor, analyse_graph(model, analysis, size))
    needed, leading = {output.number}, []
    for call in reversed(analysis.calls):
        if call.target.number in needed:
            needed.update(source.number for source in call.sources)
            leading.append(call)
    return FlatGraph(tuple(reversed(leading)), tuple(analysis.tensors), output)


class _Flattening(GraphAnalysis):
    """An analysis that writes down its calls and the maps that they make."""

    def __init__(self, path: str, calls: list[Call], tensors: list[Tensor]):
        super().__init__(path)
        self.calls = calls
        self.tensors = tensors
        self.slides = STILL, STILL

    def noted(self, given: Map, tensor: Any) -> Tensor:
        self.tensors.append(Tensor(given.rows, given.columns, given.order, len(self.tensors), tensor))
        return self.tensors[-1]

    def inside(self, path: str) -> "_Flattening":
        return _Flattening(path, self.calls, self.tensors)

    def moved(self, given: Map, rows: Kernel1D, columns: Kernel1D) -> Map:
        self.slides = rows, columns
        return super().moved(given, rows, columns)

    def visit(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        self.slides = STILL, STILL
        seen = super().visit(node, args, kwargs)
        layer = node.operation
        if isinstance(layer, keras.Model) or not isinstance(seen[0], Map):
            return seen
        self.check(layer, seen[0], args, kwargs)
        target = self.noted(seen[0], node.outputs[0])
        self.calls.append(Call(layer, self.path + layer.name, args, kwargs, target, *self.slides))
        return [target]

    def check(self, layer: keras.layers.Layer, seen: Map, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse what rows cannot be given to one after the other."""
        items = keras.tree.flatten((args, kwargs))
        maps = [item for item in items if isinstance(item, Tensor)]
        if seen.order != "hwc" or any(one.order != "hwc" for one in maps):
            self.refuse(layer, "works on channels first", "build the network channels last")
        if len({(one.rows.cells, one.columns.cells) for one in maps}) > 1:
            sizes = " and ".join(f"{one.rows.cells} x {one.columns.cells}" for one in maps)
            self.refuse(layer, f"puts together maps of different sizes, {sizes}", "crop them to one size")
        if seen.rows.cells < 1 or seen.columns.cells < 1:
            size = f"{maps[0].rows.cells} x {maps[0].columns.cells}"
            self.refuse(layer, f"has nothing to give of a map of {size} cells", "take a larger image")
        constants = [item for item in items if hasattr(item, "shape") and not isinstance(item, Tensor)]
        slopes = [layer.alpha] if isinstance(layer, keras.layers.PReLU) else []
        if kind_of(layer) is Kind.MERGING or slopes:
            of_rows = [np.shape(item)[-3] for item in (*constants, *slopes) if len(np.shape(item)) > 2]
            if max(of_rows, default=1) > 1:
                self.refuse(layer, "has a number of its own for each row", "give it one for each channel")
        if self.slides[0] != STILL:
            self.check_sliding(layer)

    def check_sliding(self, layer: keras.layers.Layer) -> None:
        if kind_of(layer) in (Kind.VOLUMETRIC_PADDING, Kind.VOLUMETRIC_POOLING):
            self.refuse(layer, "slides in three dimensions", "let it slide along the channels alone")
        if kind_of(layer) is Kind.PAD and (layer.mode != "constant" or any(layer.pad_width[-1])):
            self.refuse(layer, "pads with more than one number, or pads channels", "pad rows and columns by zeros")
