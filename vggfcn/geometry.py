"""Where the cells of a score map lie on the image: integers only, no Keras.

The recurrences are those of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What one cell sees, the same along both axes, in input pixels.

    Cell u reads pixels [stride * u - padding, stride * u - padding + size). The part of it that is not there for the
    padding's sake is the cell's window, the native-size square it stands for: [stride * u, stride * u + window).
    `skew` is how much further the padding reaches at the end than at the start, in networks that pad unevenly.
    """

    size: int
    stride: int
    padding: int
    skew: int = 0

    @property
    def window(self) -> int:
        """Side of the square that a cell stands for, in pixels: the network's native size."""
        return self.size - 2 * self.padding - self.skew

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
        """Window centres of the cells 0, 1, ..., in pixels, float64 (cells,); pixel i's own centre is at i."""
        return self.stride * np.arange(cells) + (self.window - 1) / 2


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> ReceptiveField:
    """The receptive field of a chain of layers, each (kernel size, stride, left padding), from input to output."""
    size, stride, padding = 1, 1, 0
    for kernel, step, left in layers:
        size += (kernel - 1) * stride
        padding += left * stride
        stride *= step
    return ReceptiveField(size, stride, padding)
