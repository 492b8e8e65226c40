"""Very wide pictures, cut into strips of columns that each give some columns of the whole picture's map."""

import bisect
import dataclasses

import keras

from vggfcn.errors import GeometryError
from vggfcn.flat_graph import flatten
from vggfcn.row_plans import RowPlan


@dataclasses.dataclass(frozen=True)
class Strip:
    """Columns [start, stop) of the picture, as a picture of their own, and the cells [first, last) that they give.

    In the strip's own map those are the cells from `cut` on; the others see its border and are wrong.
    """

    start: int
    stop: int
    first: int
    last: int
    cut: int


def strips(model: keras.Model, size: tuple[int, int], strip_columns: int) -> list[Strip]:
    """Strips, from left to right, of at most so many columns, for a picture of (height, width) pixels.

    Each has the columns beside its cells that these see. It begins at a multiple of the model's stride, and is as wide
    as TensorFlow must have it to pad every layer as on the whole picture: SAME padding at a stride goes by the size.

    Raises `ValueError` if one cell needs more columns; `GeometryError` as `Stream` does.

    >>> strips(vggfcn.build("lenet5", weights=None), (32, 100), 64)
    [Strip(start=0, stop=64, first=0, last=9, cut=0), Strip(start=36, stop=100, first=9, last=18, cut=0)]
    """
    cutter = _Cutter(model, size)
    cells, found = cutter.network.output.columns.cells, [Strip(0, 0, 0, 0, 0)]
    while (first := found[-1].last) < cells:
        wider = bisect.bisect(range(first + 1, cells + 1), strip_columns, key=lambda last: cutter.columns(first, last))
        if not wider:
            raise ValueError(
                f"strip_columns: expected at least {cutter.columns(first, first + 1)}, as many as cell {first} needs, "
                f"got {strip_columns}"
            )
        found.append(cutter.strip(first, first + wider))
    return found[1:]


class _Cutter:
    """Finds the narrowest strips of one picture that serve."""

    def __init__(self, model: keras.Model, size: tuple[int, int]):
        self.model = model
        self.size = size
        self.network = flatten(model, size)
        self.plan = self.network.plan(columns=True)
        self.plans: dict[int, RowPlan | None] = {size[1]: self.plan}

    def columns(self, first: int, last: int) -> int:
        """How wide the strip for these cells is."""
        strip = self.strip(first, last)
        return strip.stop - strip.start

    def strip(self, first: int, last: int) -> Strip:
        """The strip for the cells [first, last)."""
        needed, stride = self.plan.needed(first, last), self.plan.stride
        left = min(start * self.pixels(number) for number, (start, _) in needed.items())
        for start in range(left // stride * stride, -1, -stride):
            for stop in range(max(needed[0][1], start + 1), self.size[1] + 1):
                if self.serves(start, stop, needed):
                    return Strip(start, stop, first, last, first - start // stride)
        raise AssertionError("the whole picture serves")

    def serves(self, start: int, stop: int, needed: dict[int, tuple[int, int]]) -> bool:
        """Whether on columns [start, stop) each layer slides as on the picture, and each map has what is needed."""
        plan = self.of_width(stop - start)
        return (
            plan is not None
            and plan.links == self.plan.links
            and all(start // self.pixels(number) + plan.heights[number] >= last for number, (_, last) in needed.items())
        )

    def of_width(self, width: int) -> RowPlan | None:
        """How the network slides over a picture so wide; None if it is too narrow."""
        if width not in self.plans:
            try:
                self.plans[width] = flatten(self.model, (self.size[0], width)).plan(columns=True)
            except GeometryError:
                self.plans[width] = None
        return self.plans[width]

    def pixels(self, number: int) -> int:
        """Columns of the picture from cell to cell of a map."""
        return self.network.tensors[number].columns.field.stride
