"""Where the cells of a score map lie on the image: integers only, no Keras.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What one cell sees along one axis, in input pixels; by itself it is the same along both.

    Cell u reads pixels [stride * u - padding, stride * u - padding + size). The part of it that is not there for the
    padding's sake is the cell's window, the native-size square it stands for: [stride * u, stride * u + window).
    `extra_padding_after` is by how many pixels the padding at the end is wider than the one at the beginning.
    """

    size: int
    stride: int
    padding: int
    extra_padding_after: int = 0

    @property
    def rows(self) -> "ReceptiveField":
        """The field along the rows' axis, from top to bottom."""
        return self

    @property
    def columns(self) -> "ReceptiveField":
        """The field along the columns' axis, from left to right."""
        return self

    @property
    def window(self) -> int:
        """Side of the square that a cell stands for, in pixels: the least image that has a cell.

        For a network without padding, and for VGG, it is the native size.
        """
        return self.size - 2 * self.padding - self.extra_padding_after

    def cells(self, pixels: int) -> int:
        """How many windows fit in so many pixels."""
        return max(0, (pixels - self.window) // self.stride + 1)

    def span(self, cell: int) -> tuple[int, int]:
        """The pixels [start, stop) that the cell reads; they may reach beyond the image."""
        start = self.stride * cell - self.padding
        return start, start + self.size

    def window_span(self, cell: int) -> tuple[int, int]:
        """The pixels [start, stop) of the cell's window."""
        start = self.stride * cell
        return start, start + self.window

    def centers(self, cells: int) -> np.ndarray:
        """Middles of what the cells 0, 1, ... read, in pixels, float64 (cells,); pixel i's own middle is at i.

        They are the windows' middles too where the padding is as wide at both ends.
        """
        return self.stride * np.arange(cells) - self.padding + (self.size - 1) / 2

    def cell_at(self, pixel: float, cells: int) -> int:
        """Which of so many cells has its middle nearest to the pixel; of two as near, the later one."""
        nearest = math.floor((pixel - self.centers(1)[0]) / self.stride + 0.5)
        return min(max(nearest, 0), cells - 1)

    def then(self, dilated_size: int, stride: int, before: int, after: int) -> "ReceptiveField":
        """The field of a layer on this one's cells: its cell u reads cells [start, start + dilated_size) of them.

        There start = stride * u - before. `before` and `after` are the cells of padding; negative ones are cropped.
        """
        return ReceptiveField(
            size=self.size + (dilated_size - 1) * self.stride,
            stride=self.stride * stride,
            padding=self.padding + before * self.stride,
            extra_padding_after=self.extra_padding_after + (after - before) * self.stride,
        )


PIXEL = ReceptiveField(size=1, stride=1, padding=0)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What one cell sees along each axis: the rows' from top to bottom, the columns' from left to right."""

    rows: ReceptiveField
    columns: ReceptiveField

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box of pixels that a cell reads."""
        return self.rows.size, self.columns.size

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from a cell to the one below it, and to the one on its right."""
        return self.rows.stride, self.columns.stride

    @property
    def padding(self) -> tuple[int, int]:
        """By how many pixels the first cell's box reaches beyond the image's (top, left) border."""
        return self.rows.padding, self.columns.padding


@dataclasses.dataclass(frozen=True)
class ScaledField:
    """What one cell sees along one axis of an image that was enlarged or shrunk for the network.

    `length` pixels of the image became `scaled` pixels, where `field` holds. Pixel i reaches from i - 0.5 to i + 0.5
    on both, so position p of the scaled image is (p + 0.5) * length / scaled - 0.5 of the image. Spans are in
    the image's pixels, whole and broken, counted from its edge.
    """

    field: ReceptiveField
    length: int
    scaled: int

    @property
    def scale(self) -> float:
        """Pixels of the image to one of the scaled image."""
        return self.length / self.scaled

    def span(self, cell: int) -> tuple[float, float]:
        """Where what the cell reads begins and ends."""
        start, stop = self.field.span(cell)
        return start * self.scale, stop * self.scale

    def window_span(self, cell: int) -> tuple[float, float]:
        """Where the cell's window begins and ends."""
        start, stop = self.field.window_span(cell)
        return start * self.scale, stop * self.scale

    def centers(self, cells: int) -> np.ndarray:
        """Middles of what the cells 0, 1, ... read, in pixels, float64 (cells,); pixel i's own middle is at i."""
        return (self.field.centers(cells) + 0.5) * self.scale - 0.5

    def cell_at(self, pixel: float, cells: int) -> int:
        """Which of so many cells has its middle nearest to the pixel; of two as near, the later one."""
        return self.field.cell_at((pixel + 0.5) / self.scale - 0.5, cells)


@dataclasses.dataclass(frozen=True)
class ScaledGeometry:
    """What one cell sees along each axis of an image that was enlarged or shrunk for the network."""

    rows: ScaledField
    columns: ScaledField


def scaled(field: ReceptiveField | Geometry, image: tuple[int, int], size: tuple[int, int]) -> "Field":
    """The same cells in pixels of an image, (height, width), that was brought to `size` for the network."""
    if image == size:
        return field
    rows, columns = (ScaledField(*axis) for axis in zip((field.rows, field.columns), image, size, strict=True))
    return ScaledGeometry(rows, columns)


# What says where the cells of a map lie on an image.
Field = ReceptiveField | Geometry | ScaledGeometry


def union(fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """What a cell sees that is computed from cells of these fields, all of one stride, at its own place."""
    padding = max(field.padding for field in fields)
    size = padding + max(field.size - field.padding for field in fields)
    window = max(field.window for field in fields)
    return ReceptiveField(size, fields[0].stride, padding, extra_padding_after=size - 2 * padding - window)


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> ReceptiveField:
    """The receptive field of a chain of layers, each (kernel size, stride, padding), from input to output."""
    field = PIXEL
    for kernel, stride, padding in layers:
        field = field.then(kernel, stride, padding, padding)
    return field
