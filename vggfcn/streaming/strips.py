"""Very wide images, cut into strips of columns that each give some columns of the whole image's map."""

import bisect
import dataclasses
from collections.abc import Iterator

import keras

from vggfcn.errors import GeometryError
from vggfcn.streaming.flat_graph import flatten
from vggfcn.streaming.schedule import RowPlan


@dataclasses.dataclass(frozen=True)
class Strip:
    """Columns [start, stop) of the image, as an image of their own, and the cells [first, last) that they give.

    In the strip's own map those are the cells from `cut` on; the others see its border and are wrong.
    """

    start: int
    stop: int
    first: int
    last: int
    cut: int


def strips(model: keras.Model, size: tuple[int, int], strip_columns: int) -> list[Strip]:
    """Strips, from left to right, of at most so many columns, for an image of (height, width) pixels.

    Each has the columns beside its cells that these see. It begins at a multiple of the model's stride, and is as wide
    as TensorFlow must have it to pad every layer as on the whole image: SAME padding at a stride goes by the size.

    Raises `ValueError` if one cell needs more columns; `GeometryError` as `Stream` does.

    >>> strips(vggfcn.build("lenet5", weights=None), (32, 100), 64)
    [Strip(start=0, stop=64, first=0, last=9, cut=0), Strip(start=36, stop=100, first=9, last=18, cut=0)]
    """
    cutter = _Cutter(model, size)
    found = [Strip(0, 0, 0, 0, 0)]
    while (first := found[-1].last) < cutter.cells:
        last = cutter.last_that_fits(first, strip_columns)
        if last == first:
            raise ValueError(
                f"strip_columns: expected at least {cutter.columns(first, first + 1)}, as many as cell {first} needs, "
                f"got {strip_columns}"
            )
        found.append(cutter.strip(first, last))
    return found[1:]


class _Cutter:
    """Finds the narrowest strips of one image that serve."""

    def __init__(self, model: keras.Model, size: tuple[int, int]):
        self.model = model
        self.size = size
        self.network = flatten(model, size)
        self.cells = self.network.output.columns.cells
        self.plan = self.network.plan(columns=True)
        self.plans: dict[int, RowPlan | None] = {size[1]: self.plan}

    def last_that_fits(self, first: int, columns: int) -> int:
        """Where the most cells from `first` on end that a strip of so many columns gives; `first` if it gives none."""
        # More cells never need fewer columns.
        more = range(first + 1, self.cells + 1)
        return first + bisect.bisect(more, columns, key=lambda last: self.columns(first, last))

    def columns(self, first: int, last: int) -> int:
        """How wide the strip for these cells is."""
        strip = self.strip(first, last)
        return strip.stop - strip.start

    def strip(self, first: int, last: int) -> Strip:
        """The strip for the cells [first, last)."""
        needed = self.plan.needed(first, last)
        start, stop = next(span for span in self.spans(needed) if self.serves(*span, needed))
        return Strip(start, stop, first, last, first - start // self.plan.stride)

    def spans(self, needed: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Columns [start, stop) in the order in which they are tried, the whole image, which serves, last.

        They begin at multiples of the stride, at most where the first column that some map needs begins, and end no
        earlier than what is needed of the image.
        """
        stride = self.plan.stride
        left = min(start * self.pixels(number) for number, (start, _) in needed.items())
        for start in range(left // stride * stride, -1, -stride):
            for stop in range(max(needed[0][1], start + 1), self.size[1] + 1):
                yield start, stop

    def serves(self, start: int, stop: int, needed: dict[int, tuple[int, int]]) -> bool:
        """Whether on columns [start, stop) each layer slides as on the image, and each map has what is needed."""
        plan = self.of_width(stop - start)
        return (
            plan is not None
            and plan.links == self.plan.links
            and all(start // self.pixels(number) + plan.heights[number] >= last for number, (_, last) in needed.items())
        )

    def of_width(self, width: int) -> RowPlan | None:
        """How the network slides over an image so wide; None if it is too narrow."""
        if width not in self.plans:
            try:
                self.plans[width] = flatten(self.model, (self.size[0], width)).plan(columns=True)
            except GeometryError:
                self.plans[width] = None
        return self.plans[width]

    def pixels(self, number: int) -> int:
        """Columns of the image from cell to cell of a map."""
        return self.network.tensors[number].columns.field.stride
