"""Cut a very wide image into strips of columns, each of which yields some columns of the whole image's map."""

import bisect
import dataclasses
from collections.abc import Iterator

import keras

from vggfcn.errors import GeometryError
from vggfcn.streaming.flat_graph import flatten
from vggfcn.streaming.schedule import RowPlan


@dataclasses.dataclass(frozen=True)
class Strip:
    """Columns [start, stop) of the image, run as a separate image, and the columns [first, last) of the map they yield.

    In the strip's own map these are the columns from `cut` on. The other columns see the strip's border and are wrong.
    """

    start: int
    stop: int
    first: int
    last: int
    cut: int


def strips(model: keras.Model, size: tuple[int, int], strip_columns: int) -> list[Strip]:
    """Strips of at most `strip_columns` columns, from left to right, for an image of `size`, (height, width) in pixels.

    Neighbouring strips overlap, so that each holds all columns that its cells see. A strip starts at a multiple of the
    model's stride, and its width is one at which TensorFlow pads every layer as on the whole image: SAME padding at a
    stride depends on the size.

    Raises `ValueError` if a single cell needs more columns; `GeometryError` as `Stream` does.

    >>> strips(vggfcn.build("lenet5", weights=None), (32, 100), 64)
    [Strip(start=0, stop=64, first=0, last=9, cut=0), Strip(start=36, stop=100, first=9, last=18, cut=0)]
    """
    cutter = _Cutter(model, size)
    parts: list[Strip] = []
    while (first := parts[-1].last if parts else 0) < cutter.cells:
        last = cutter.last_that_fits(first, strip_columns)
        if last == first:
            raise ValueError(
                f"strip_columns: expected at least {cutter.columns(first, first + 1)}, which cell {first} needs, "
                f"got {strip_columns}"
            )
        parts.append(cutter.strip(first, last))
    return parts


class _Cutter:
    """Finds the narrowest strips of one image that yield the right cells."""

    def __init__(self, model: keras.Model, size: tuple[int, int]):
        self.model = model
        self.size = size
        self.network = flatten(model, size)
        self.cells = self.network.output.columns.cells
        self.plan = self.network.plan(columns=True)
        self.plans: dict[int, RowPlan | None] = {size[1]: self.plan}

    def last_that_fits(self, first: int, columns: int) -> int:
        """The end of the longest run of cells from `first` on that `columns` columns yield; `first` if none do."""
        # The search may bisect: more cells never need fewer columns.
        ends = range(first + 1, self.cells + 1)
        return first + bisect.bisect(ends, columns, key=lambda last: self.columns(first, last))

    def columns(self, first: int, last: int) -> int:
        """The width of the strip for the cells [first, last)."""
        strip = self.strip(first, last)
        return strip.stop - strip.start

    def strip(self, first: int, last: int) -> Strip:
        """The strip for the cells [first, last)."""
        needed = self.plan.needed(first, last)
        start, stop = next(span for span in self.spans(needed) if self.suffices(*span, needed))
        return Strip(start, stop, first, last, first - start // self.plan.stride)

    def spans(self, needed: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Candidates for [start, stop), the narrowest first for each start; the last is the whole image.

        They start at a multiple of the stride, no further right than the first column that any map needs, and end no
        further left than the last column of the image that is needed.
        """
        stride = self.plan.stride
        left = min(start * self.pixels(number) for number, (start, _) in needed.items())
        for start in range(left // stride * stride, -1, -stride):
            for stop in range(max(needed[0][1], start + 1), self.size[1] + 1):
                yield start, stop

    def suffices(self, start: int, stop: int, needed: dict[int, tuple[int, int]]) -> bool:
        """Whether on columns [start, stop) every layer pads as on the image and every map has the columns needed."""
        plan = self.of_width(stop - start)
        return (
            plan is not None
            and plan.links == self.plan.links
            and all(start // self.pixels(number) + plan.heights[number] >= last for number, (_, last) in needed.items())
        )

    def of_width(self, width: int) -> RowPlan | None:
        """The network's plan for an image of this width; None if that is too narrow."""
        if width not in self.plans:
            try:
                self.plans[width] = flatten(self.model, (self.size[0], width)).plan(columns=True)
            except GeometryError:
                self.plans[width] = None
        return self.plans[width]

    def pixels(self, number: int) -> int:
        """The stride of a map, in columns of the image."""
        return self.network.tensors[number].columns.field.stride
