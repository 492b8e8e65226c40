"""When to compute which rows of a network's maps if the image arrives a few rows at a time: integer arithmetic alone.

The schedule works backwards from the output. To make its first `cells` rows, each layer needs its input down to a row
that follows from its kernel, stride and padding; this row is the map's reach. A block computes the rows between two
reaches, and keeps the rows that a layer will read again. Where branches of different depth meet, the same rule keeps
the rows of the shallower branch until the deeper one has caught up.
"""

import dataclasses
import math
import operator
from collections.abc import Iterator, Sequence

from vggfcn.graph.kernels import Kernel1D


@dataclasses.dataclass(frozen=True)
class Link:
    """A layer that computes the map `target` from the maps `sources`, with the same kernel over each of them."""

    sources: tuple[int, ...]
    target: int
    kernel: Kernel1D


@dataclasses.dataclass(frozen=True)
class View:
    """The rows [start, stop) that a layer reads of those in memory, and the rows of padding above and below them."""

    start: int
    stop: int
    above: int
    below: int


@dataclasses.dataclass(frozen=True)
class Block:
    """One step, in numbers that do not depend on its place, so that all blocks in the middle of an image are equal.

    For each map: the rows `kept` from earlier blocks, the rows `made` in this one, and how many of these, from the top,
    are `dropped` afterwards. For each link: its `views`, one for each source, or none if it makes no rows.
    """

    kept: tuple[int, ...]
    made: tuple[int, ...]
    dropped: tuple[int, ...]
    views: tuple[tuple[View, ...], ...]


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A block, the rows [start, stop) of the image that it reads, and the rows of the output that it makes."""

    block: Block
    image_rows: tuple[int, int]
    output_rows: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class RowPlan:
    """The links in the order of computation, and the height of each map; the image is map 0.

    All links lead to the map `output`, whose rows are `stride` rows of the image apart.
    """

    links: tuple[Link, ...]
    heights: tuple[int, ...]
    output: int
    stride: int

    def reaches(self, cells: int) -> list[float]:
        """For each map, how many rows the first `cells` rows of the output need, as if maps had no ends."""
        reaches = [-math.inf] * len(self.heights)
        reaches[self.output] = cells
        for link in reversed(self.links):
            kernel = link.kernel
            reach = kernel.stride * (reaches[link.target] - 1) - kernel.before + kernel.dilated_size
            for source in link.sources:
                reaches[source] = max(reaches[source], reach)
        return reaches

    def ready(self, cells: int) -> list[int]:
        """For each map, how many rows have been computed once the output has `cells` rows."""
        return [_clip(reach, height) for reach, height in zip(self.reaches(cells), self.heights, strict=True)]

    def needed(self, first: int, last: int) -> dict[int, tuple[int, int]]:
        """By map number, the rows [start, stop) that rows [first, last) of the output are computed from."""
        needed = {self.output: (first, last)}
        for link in reversed(self.links):
            start, stop = needed.get(link.target, (0, 0))
            if start == stop:
                continue
            start, stop = _rows_read(link.kernel, start, stop)
            for source in link.sources:
                rows = _clip(start, self.heights[source]), _clip(stop, self.heights[source])
                known = needed.get(source, rows)
                needed[source] = min(known[0], rows[0]), max(known[1], rows[1])
        return needed

    def schedule(self, cells: int) -> Iterator[Scheduled]:
        """The blocks in order, each of `cells` rows of the output; those at the start and the end are smaller."""
        total = self.heights[self.output]
        # Rows of the image that no row of the output needs are not read.
        last = self.ready(total)
        done = self._before_first_row()
        before = self.ready(done)
        while before != last:
            done += cells
            after = self.ready(done)
            if done >= total or after[0] == last[0]:
                after = last
            if after != before:
                image_rows, output_rows = ((before[number], after[number]) for number in (0, self.output))
                yield Scheduled(self._block(before, after, last), image_rows, output_rows)
            before = after

    def _before_first_row(self) -> int:
        """The largest number of output rows, 0 or negative, for which no map has a row yet.

        A map's reach grows by the same number of rows with each row of the output.
        """
        reaches = zip(self.reaches(0), self.reaches(1), strict=True)
        return min(int(-at_0 // (at_1 - at_0)) for at_0, at_1 in reaches if at_0 > -math.inf)

    def _block(self, before: list[int], after: list[int], last: list[int]) -> Block:
        first, next_first = self._first_kept(before, last), self._first_kept(after, last)
        return Block(
            kept=tuple(map(operator.sub, before, first)),
            made=tuple(map(operator.sub, after, before)),
            dropped=tuple(map(operator.sub, next_first, first)),
            views=tuple(self._views(link, first, before, after) for link in self.links),
        )

    def _first_kept(self, ready: Sequence[int], last: Sequence[int]) -> list[int]:
        """For each map, the first row that a layer will read again."""
        kept = list(ready)
        for link in self.links:
            done = ready[link.target]
            if done < last[link.target]:
                first = link.kernel.stride * done - link.kernel.before
                for source in link.sources:
                    kept[source] = min(kept[source], max(0, first))
        return kept

    def _views(self, link: Link, kept: list[int], before: list[int], after: list[int]) -> tuple[View, ...]:
        first, last = before[link.target], after[link.target]
        if first == last:
            return ()
        start, stop = _rows_read(link.kernel, first, last)
        return tuple(self._view(source, kept[source], start, stop) for source in link.sources)

    def _view(self, source: int, kept: int, start: int, stop: int) -> View:
        height = self.heights[source]
        first, last = _clip(start, height), _clip(stop, height)
        # A row may read padding alone, and none of the map's own rows.
        above, below = min(max(-start, 0), stop - start), min(max(stop - height, 0), stop - start)
        return View(first - kept, last - kept, above, below)


def _rows_read(kernel: Kernel1D, first: int, last: int) -> tuple[int, int]:
    """The rows [start, stop) that a layer reads for rows [first, last) of its output, padding included."""
    start = kernel.stride * first - kernel.before
    return start, start + kernel.stride * (last - first - 1) + kernel.dilated_size


def _clip(row: float, height: int) -> int:
    return int(min(max(row, 0), height))
