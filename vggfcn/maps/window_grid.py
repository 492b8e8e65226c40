"""A grid of windows on an image, in integers: how many fit, and how large an image they take."""

import dataclasses
import math
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """Windows of one size, `window` (height, width), that are `stride` (down, right) pixels apart."""

    window: tuple[int, int]
    stride: tuple[int, int]

    def cells(self, most: int, size: tuple[int, ...] | None = None) -> tuple[int, int]:
        """At most so many (rows, columns), as square a grid as fits on an image of `size`, (height, width)."""
        fitting = [most, most]
        if size is not None:
            sides = zip(size, self.window, self.stride, strict=True)
            fitting = [(side - window) // stride + 1 for side, window, stride in sides]
        columns = min(fitting[1], max(math.isqrt(most), most // fitting[0]))
        return min(fitting[0], most // columns), columns

    def size(self, cells: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) of the image that so many (rows, columns) of windows take.

        It differs from a window by whole strides, so SAME padding inside a network is the same for both.
        """
        sides = zip(cells, self.window, self.stride, strict=True)
        height, width = (window + (count - 1) * stride for count, window, stride in sides)
        return height, width

    def parts(self, cells: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
        """The (rows, columns) of pixels of each window, row by row."""
        (height, width), (down, right) = self.window, self.stride
        for row in range(cells[0]):
            for column in range(cells[1]):
                top, left = row * down, column * right
                yield slice(top, top + height), slice(left, left + width)
