"""Kernel, stride, dilation and padding of stock Keras layers along each axis of a map."""

import dataclasses
from typing import Any

from vggfcn.graph.layers import SLIDING, Kind, kind_of

# Layers with a kernel that `kernels_of` can read. `convert` has no rules for the last three.
KERNEL_KINDS = SLIDING | {Kind.PATCHES, Kind.VOLUMETRIC_PADDING, Kind.VOLUMETRIC_POOLING}


@dataclasses.dataclass(frozen=True)
class Kernel1D:
    """A kernel along one axis: cell u of the output reads cells stride * u - before + dilation * i, 0 <= i < kernel.

    `before` and `after` count the cells of padding at the two ends; a negative number crops as many cells.
    """

    kernel: int = 1
    dilation: int = 1
    stride: int = 1
    before: int = 0
    after: int = 0

    @property
    def dilated_size(self) -> int:
        """Number of cells from the first that the kernel reads to the last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    def cells(self, cells: int) -> int:
        """Number of cells in the output for an input of `cells` cells."""
        return (cells + self.before + self.after - self.dilated_size) // self.stride + 1


def kernels_of(layer: Any, cells: tuple[int, int]) -> tuple[Kernel1D, Kernel1D]:
    """The kernels along rows and columns of a layer of `KERNEL_KINDS`, on a map of `cells` (rows, columns).

    TensorFlow's SAME padding with a stride depends on the size. It is as narrow as possible while the last cell is
    complete, and an odd number of cells has the extra one at the end (tf.nn, "Notes on padding"). So a 3 x 3 layer
    with stride 2 pads even sizes with 0 before and 1 after, odd sizes with 1 and 1.

    Raises `ValueError` for a transposed convolution with a stride.
    """
    rows, columns = (_kernel_along(layer, axis, cells[axis]) for axis in (0, 1))
    return rows, columns


def _kernel_along(layer: Any, axis: int, cells: int) -> Kernel1D:
    kind = kind_of(layer)
    if kind in (Kind.PADDING, Kind.VOLUMETRIC_PADDING):
        return Kernel1D(before=layer.padding[axis][0], after=layer.padding[axis][1])
    if kind is Kind.CROPPING:
        return Kernel1D(before=-layer.cropping[axis][0], after=-layer.cropping[axis][1])
    kernel, stride = _of_axis(_size(layer), axis), _of_axis(layer.strides, axis)
    dilation = _of_axis(getattr(layer, "dilation_rate", 1), axis)
    if kind is Kind.TRANSPOSED_CONVOLUTION:
        return _transposed(kernel, dilation, stride, layer.padding)
    if layer.padding == "valid":
        return Kernel1D(kernel, dilation, stride)
    return _same(kernel, dilation, stride, cells)


def _size(layer: Any) -> Any:
    """The size of the kernel, pool or patch: one number, or (rows, columns)."""
    names = ("kernel_size", "pool_size", "size")
    return next(getattr(layer, name) for name in names if hasattr(layer, name))


def _of_axis(value: Any, axis: int) -> int:
    return value if isinstance(value, int) else value[axis]


def _same(kernel: int, dilation: int, stride: int, cells: int) -> Kernel1D:
    """A kernel with SAME padding on `cells` cells."""
    unpadded = Kernel1D(kernel, dilation, stride)
    total = max((-(-cells // stride) - 1) * stride + unpadded.dilated_size - cells, 0)
    return dataclasses.replace(unpadded, before=total // 2, after=total - total // 2)


def _transposed(kernel: int, dilation: int, stride: int, padding: str) -> Kernel1D:
    """With stride 1 it is a convolution with the kernel flipped, and with dilated_size - 1 cells of padding."""
    if stride != 1:
        raise ValueError(f"expected a transposed convolution with stride 1, got {stride}")
    full = (kernel - 1) * dilation
    if padding == "valid":
        return Kernel1D(kernel, dilation, 1, full, full)
    return Kernel1D(kernel, dilation, 1, full - full // 2, full // 2)
