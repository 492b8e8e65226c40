"""How stock Keras layers slide: kernel, stride and padding of convolutions, pools, padding and cropping, by axis."""

import dataclasses
from typing import Any

from vggfcn.graph.layers import SLIDING, Kind, kind_of

# The layers whose kernels can be read: a conversion does not know all of them.
KINDS = SLIDING | {Kind.PATCHES, Kind.VOLUMETRIC_PADDING, Kind.VOLUMETRIC_POOLING}


@dataclasses.dataclass(frozen=True)
class Kernel1D:
    """Along one axis: cell u is made from the cells stride * u - before + dilation * i, i = 0, ..., kernel - 1.

    `before` and `after` are the cells of padding at the two ends; less than none are cells cropped.
    """

    kernel: int = 1
    dilation: int = 1
    stride: int = 1
    before: int = 0
    after: int = 0

    @property
    def dilated_size(self) -> int:
        """Cells from the first that is read to the last, both counted."""
        return (self.kernel - 1) * self.dilation + 1

    def cells(self, cells: int) -> int:
        """How many cells there are after the layer."""
        return (cells + self.before + self.after - self.dilated_size) // self.stride + 1


def kernels_of(layer: Any, cells: tuple[int, int]) -> tuple[Kernel1D, Kernel1D]:
    """How a layer of one of the `KINDS` slides over a map of so many rows and columns.

    TensorFlow's SAME padding at a stride depends on the size: it is as narrow as it can be for the last cell to be
    complete, and if it is odd, the surplus is at the end (tf.nn, "Notes on padding"). So of a 3 x 3 layer at stride 2,
    even sizes are padded with 0 before and 1 after, odd sizes with 1 and 1.

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
    """Rows and columns of what slides."""
    names = ("kernel_size", "pool_size", "size")
    return next(getattr(layer, name) for name in names if hasattr(layer, name))


def _of_axis(value: Any, axis: int) -> int:
    return value if isinstance(value, int) else value[axis]


def _same(kernel: int, dilation: int, stride: int, cells: int) -> Kernel1D:
    """SAME padding of so many cells."""
    narrow = Kernel1D(kernel, dilation, stride)
    total = max((-(-cells // stride) - 1) * stride + narrow.dilated_size - cells, 0)
    return dataclasses.replace(narrow, before=total // 2, after=total - total // 2)


def _transposed(kernel: int, dilation: int, stride: int, padding: str) -> Kernel1D:
    """At stride 1 it is a convolution, turned round, that is padded with all but one cell of its size."""
    if stride != 1:
        raise ValueError("transposed, with a stride")
    most = (kernel - 1) * dilation
    if padding == "valid":
        return Kernel1D(kernel, dilation, 1, most, most)
    return Kernel1D(kernel, dilation, 1, most - most // 2, most // 2)
