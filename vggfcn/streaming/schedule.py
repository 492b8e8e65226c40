"""Which rows of each of a network's maps are made when, if the image comes in a few rows at a time: integers only.

The plan goes by demand. For the first `cells` rows of the output to be made, a layer needs its input down to a row that
its kernel, stride and padding say; so each map has a reach, from the output back to the image. A block makes what
lies between two reaches, and of what there is keeps the rows that some layer reads again. Where branches meet, the
quicker one's rows are kept until the slower one has them: no rule is needed for that.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

from vggfcn.graph.kernels import Kernel1D


@dataclasses.dataclass(frozen=True)
class Link:
    """A layer: it makes rows of the map `target` from rows of the maps `sources`, and slides over all of them so."""

    sources: tuple[int, ...]
    target: int
    sliding: Kernel1D


@dataclasses.dataclass(frozen=True)
class View:
    """The rows [start, stop) that a layer reads of those at hand, and how many of padding go above and below."""

    start: int
    stop: int
    above: int
    below: int


@dataclasses.dataclass(frozen=True)
class Block:
    """One step, told without saying where on the image: all blocks in the middle of an image are equal.

    By map: rows `kept` from before, rows `made` now, and how many of those together, at the front, are then `dropped`.
    By link: its `views`, one for each source; none where it makes nothing.
    """

    kept: tuple[int, ...]
    made: tuple[int, ...]
    dropped: tuple[int, ...]
    views: tuple[tuple[View, ...], ...]


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A block, and the rows of the image [start, stop) that it takes and of the output that it gives."""

    block: Block
    taken: tuple[int, int]
    given: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class RowPlan:
    """The links in the order in which they are computed; the height of each map, that of the image first.

    All links lead to the map `output`, whose rows are `stride` rows of the image apart.
    """

    links: tuple[Link, ...]
    heights: tuple[int, ...]
    output: int
    stride: int

    def reaches(self, cells: int) -> list[float]:
        """By map, the rows that it takes for so many rows of the output, as if maps had no ends."""
        reaches = [-math.inf] * len(self.heights)
        reaches[self.output] = cells
        for link in reversed(self.links):
            slides = link.sliding
            reach = slides.stride * (reaches[link.target] - 1) - slides.before + slides.dilated_size
            for source in link.sources:
                reaches[source] = max(reaches[source], reach)
        return reaches

    def ready(self, cells: int) -> list[int]:
        """By map, how many rows there are once there are so many of the output."""
        return [_clip(reach, height) for reach, height in zip(self.reaches(cells), self.heights, strict=True)]

    def needed(self, first: int, last: int) -> dict[int, tuple[int, int]]:
        """The rows [start, stop) of each map that rows [first, last) of the output are made of, by its number."""
        needed = {self.output: (first, last)}
        for link in reversed(self.links):
            start, stop = needed.get(link.target, (0, 0))
            if start == stop:
                continue
            start, stop = _read(link.sliding, start, stop)
            for source in link.sources:
                rows = _clip(start, self.heights[source]), _clip(stop, self.heights[source])
                known = needed.get(source, rows)
                needed[source] = min(known[0], rows[0]), max(known[1], rows[1])
        return needed

    def schedule(self, cells: int) -> Iterator[Scheduled]:
        """The blocks, each of `cells` rows of the output; at the beginning and at the end they are smaller."""
        total = self.heights[self.output]
        # The image's rows that no row of the output needs are not read.
        last = self.ready(total)
        now = self._first_block()
        before = self.ready(now)
        while before != last:
            now += cells
            after = self.ready(now)
            if now >= total or after[0] == last[0]:
                after = last
            if after != before:
                taken, given = ((before[each], after[each]) for each in (0, self.output))
                yield Scheduled(self._block(before, after, last), taken, given)
            before = after

    def _first_block(self) -> int:
        """The most rows of the output for which no map has a row yet, 0 or a negative number.

        A map's reach grows by the same number of rows with each row of the output.
        """
        reaches = zip(self.reaches(0), self.reaches(1), strict=True)
        return min(int(-none // (one - none)) for none, one in reaches if none > -math.inf)

    def _block(self, before: list[int], after: list[int], last: list[int]) -> Block:
        held, holds = self._held(before, last), self._held(after, last)
        return Block(
            tuple(ready - first for ready, first in zip(before, held, strict=True)),
            tuple(now - ready for now, ready in zip(after, before, strict=True)),
            tuple(now - first for now, first in zip(holds, held, strict=True)),
            tuple(self._views(link, held, before, after) for link in self.links),
        )

    def _held(self, ready: Sequence[int], last: Sequence[int]) -> list[int]:
        """By map, the first row that is kept: some layer reads it again."""
        held = list(ready)
        for link in self.links:
            done = ready[link.target]
            if done < last[link.target]:
                first = link.sliding.stride * done - link.sliding.before
                for source in link.sources:
                    held[source] = min(held[source], max(0, first))
        return held

    def _views(self, link: Link, held: list[int], before: list[int], after: list[int]) -> tuple[View, ...]:
        first, last = before[link.target], after[link.target]
        if first == last:
            return ()
        start, stop = _read(link.sliding, first, last)
        return tuple(self._view(source, held[source], start, stop) for source in link.sources)

    def _view(self, source: int, held: int, start: int, stop: int) -> View:
        height = self.heights[source]
        first, last = _clip(start, height), _clip(stop, height)
        # Where padding is all that a row reads, there are none of the map's own.
        above, below = min(max(-start, 0), stop - start), min(max(stop - height, 0), stop - start)
        return View(first - held, last - held, above, below)


def _read(slides: Kernel1D, first: int, last: int) -> tuple[int, int]:
    """What a layer reads for rows [first, last) of its output; it may reach beyond the map."""
    start = slides.stride * first - slides.before
    return start, start + slides.stride * (last - first - 1) + slides.dilated_size


def _clip(row: float, height: int) -> int:
    return int(min(max(row, 0), height))
