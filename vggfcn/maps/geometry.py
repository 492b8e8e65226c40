"""Where the cells of a score map lie on the image, in integers.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a map's cells along one axis, in pixels; used alone, it applies to both axes.

    Cell u reads the pixels [stride * u - padding, stride * u - padding + size). Without the padding on both sides, that
    is the cell's window, the native-size square that the cell stands for: [stride * u, stride * u + window).

    - `size`: how many pixels a cell reads.
    - `stride`: how many pixels neighbouring cells are apart.
    - `padding`: how many pixels the first cell reads before the beginning of the image.
    - `extra_padding_after`: by how many pixels the padding at the end exceeds the padding at the beginning.
    """

    size: int
    stride: int
    padding: int
    extra_padding_after: int = 0

    @property
    def rows(self) -> "ReceptiveField":
        """The receptive field along the rows' axis, from top to bottom."""
        return self

    @property
    def columns(self) -> "ReceptiveField":
        """The receptive field along the columns' axis, from left to right."""
        return self

    @property
    def window(self) -> int:
        """The side of the window that a cell stands for, in pixels, which is also the smallest image with a cell.

        For networks without padding, and for VGG, it is the native size.
        """
        return self.size - 2 * self.padding - self.extra_padding_after

    def cells(self, pixels: int) -> int:
        """The number of cells of an image: how many windows fit along its side of `pixels` pixels."""
        return max(0, (pixels - self.window) // self.stride + 1)

    def span(self, cell: int) -> tuple[int, int]:
        """The pixels [start, stop) that a cell reads; they may extend beyond the image."""
        start = self.stride * cell - self.padding
        return start, start + self.size

    def window_span(self, cell: int) -> tuple[int, int]:
        """The pixels [start, stop) of a cell's window."""
        start = self.stride * cell
        return start, start + self.window

    def centers(self, cells: int) -> np.ndarray:
        """The centres of the receptive fields of cells 0, 1, ..., in pixels: float64 (cells,).

        The centre of pixel i is at i. If both paddings are equal, these are also the centres of the windows.
        """
        return self.stride * np.arange(cells) - self.padding + (self.size - 1) / 2

    def cell_at(self, pixel: float, cells: int) -> int:
        """The cell of 0 to `cells` - 1 whose centre is nearest to a pixel; of two equally near, the second."""
        nearest = math.floor((pixel - self.centers(1)[0]) / self.stride + 0.5)
        return min(max(nearest, 0), cells - 1)

    def then(self, dilated_size: int, stride: int, before: int, after: int) -> "ReceptiveField":
        """The receptive field after another layer.

        Cell u of the layer reads the cells [start, start + dilated_size) of this field, where start = stride * u -
        before.

        - `dilated_size`: the size of the layer's kernel, gaps of its dilation included.
        - `stride`: the layer's stride.
        - `before`, `after`: the layer's padding at the beginning and the end, in cells; negative values crop.
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
    """The receptive fields of a map's cells along both axes: rows from top to bottom, columns from left to right."""

    rows: ReceptiveField
    columns: ReceptiveField

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the box of pixels that a cell reads."""
        return self.rows.size, self.columns.size

    @property
    def stride(self) -> tuple[int, int]:
        """The distances in pixels from a cell to the one below it and to the one on its right."""
        return self.rows.stride, self.columns.stride

    @property
    def padding(self) -> tuple[int, int]:
        """By how many pixels the box of the first cell extends beyond the image's (top, left) border."""
        return self.rows.padding, self.columns.padding


@dataclasses.dataclass(frozen=True)
class ScaledField:
    """The receptive field of a map's cells along one axis, if the image was scaled for the network.

    `length` pixels of the original image became `scaled` pixels, to which `field` applies. In both images pixel i
    extends from i - 0.5 to i + 0.5, so position p of the scaled image is (p + 0.5) * length / scaled - 0.5 of the
    original. Spans are in pixels of the original image, counted from its edge, and may be fractions.
    """

    field: ReceptiveField
    length: int
    scaled: int

    @property
    def scale(self) -> float:
        """The size of a pixel of the scaled image, in pixels of the original image."""
        return self.length / self.scaled

    def span(self, cell: int) -> tuple[float, float]:
        """The part [start, stop) of the original image that a cell reads."""
        start, stop = self.field.span(cell)
        return start * self.scale, stop * self.scale

    def window_span(self, cell: int) -> tuple[float, float]:
        """The part [start, stop) of the original image that is a cell's window."""
        start, stop = self.field.window_span(cell)
        return start * self.scale, stop * self.scale

    def centers(self, cells: int) -> np.ndarray:
        """The centres of the receptive fields of cells 0, 1, ..., float64 (cells,); the centre of pixel i is at i."""
        return (self.field.centers(cells) + 0.5) * self.scale - 0.5

    def cell_at(self, pixel: float, cells: int) -> int:
        """The cell of 0 to `cells` - 1 whose centre is nearest to a pixel; of two equally near, the second."""
        return self.field.cell_at((pixel + 0.5) / self.scale - 0.5, cells)


@dataclasses.dataclass(frozen=True)
class ScaledGeometry:
    """The receptive fields of a map's cells along both axes, if the image was scaled for the network."""

    rows: ScaledField
    columns: ScaledField


def scaled(field: ReceptiveField | Geometry, image: tuple[int, int], size: tuple[int, int]) -> "Field":
    """Express a geometry in pixels of an image (height, width) that was resized to `size` for the network."""
    if image == size:
        return field
    rows, columns = (ScaledField(*axis) for axis in zip((field.rows, field.columns), image, size, strict=True))
    return ScaledGeometry(rows, columns)


# Any description of where the cells of a map lie on an image.
Field = ReceptiveField | Geometry | ScaledGeometry


def union(fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """The receptive field of a cell that combines cells at the same position of maps with the same stride."""
    padding = max(field.padding for field in fields)
    size = padding + max(field.size - field.padding for field in fields)
    window = max(field.window for field in fields)
    return ReceptiveField(size, fields[0].stride, padding, extra_padding_after=size - 2 * padding - window)


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> ReceptiveField:
    """The receptive field of a chain of layers, each given as (kernel size, stride, padding), from input to output."""
    field = PIXEL
    for kernel, stride, padding in layers:
        field = field.then(kernel, stride, padding, padding)
    return field
