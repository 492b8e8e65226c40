"""Padding and pooling of a fine map that interleaves several phases of a coarse map, made of stock layers.

Cell u of the coarse map is cell rate * u of the fine map. The cells in between are the other phases: the coarse maps of
images that start some pixels later. A layer that reads neighbours in the coarse map reads cells `rate` apart in the
fine one.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras

from vggfcn.graph.kernels import Kernel1D

ops = keras.ops


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a layer changes along one axis.

    `coarse` is its kernel on the coarse map, `rate` the number of phases of the fine map, `stride` the stride that it
    has there, and `same` whether it has SAME padding.
    """

    coarse: Kernel1D
    rate: int
    stride: int
    same: bool

    @property
    def dilation(self) -> int:
        """Distance in cells of the fine map between those that the kernel reads."""
        return 1 if self.coarse.kernel == 1 else self.coarse.dilation * self.rate

    @property
    def unchanged(self) -> bool:
        """Whether the original layer does the right thing on the fine map."""
        reads_neighbours = self.coarse.dilated_size > 1 or self.coarse.before or self.coarse.after
        return self.stride == self.coarse.stride and (self.rate == 1 or not reads_neighbours)

    @property
    def min_before(self) -> int:
        """The fewest coarse cells that SAME padding puts before the map; the number depends on the size."""
        return max(self.coarse.dilated_size - self.coarse.stride, 0) // 2

    @property
    def max_before(self) -> int:
        """The most coarse cells that SAME padding puts before the map."""
        return (self.coarse.dilated_size - 1) // 2

    @property
    def widths(self) -> tuple[int, int]:
        """Fine cells of SAME padding before and after the map, enough for every size."""
        return self.rate * self.max_before, self.rate * (self.coarse.dilated_size - 1 - self.min_before)


def with_same_padding(x: Any, plans: tuple[Plan, Plan], fill: float = 0.0) -> Any:
    """Pad a map (batch, rows, columns, channels) so that each coarse cell reads the same padding as before."""
    pairs = [plan.widths if plan.same else (0, 0) for plan in plans]
    x = ops.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=fill)
    for axis, plan in enumerate(plans, 1):
        if plan.same and plan.max_before > plan.min_before:
            x = _trimmed(x, axis, plan)
    return x


def _trimmed(x: Any, axis: int, plan: Plan) -> Any:
    """Remove surplus padding, so that as much is left at the start as SAME padding has for this number of cells.

    Example: for a kernel of 3 cells with stride 2, `widths` puts 1 cell before the map and 2 after it. SAME padding
    puts 0 before 8 cells and 1 before 7. So 8 cells are padded to 11, and the last 10 remain: they start with the map's
    first cell. 7 cells are padded to 10, and the first 9 remain: they start with one cell of padding.
    """
    coarse, slack = plan.coarse, plan.rate * (plan.max_before - plan.min_before)
    # One for each cell of the result. Their number is only known when the network runs.
    ones = ops.ones_like(x[0, :-slack, 0, 0] if axis == 1 else x[0, 0, :-slack, 0], dtype="int32")
    cells = ops.sum(ones) - plan.rate * (coarse.dilated_size - 1)
    coarse_cells = (cells + plan.rate - 1) // plan.rate
    last_step = ops.mod(coarse_cells - 1, coarse.stride) + 1
    before = ops.maximum(coarse.dilated_size - last_step, 0) // 2
    first = plan.rate * (plan.max_before - before)
    return ops.take(x, ops.cumsum(ones) - 1 + first, axis=axis)


def pooled(layer: keras.layers.Layer, x: Any, plans: tuple[Plan, Plan]) -> Any:
    """Pool a fine map as the max or average pooling `layer` pooled the coarse one."""
    maximum = "Max" in type(layer).__name__
    if not any(plan.same for plan in plans):
        return _pooled(layer, x, plans, maximum)
    result = _pooled(layer, with_same_padding(x, plans, -math.inf if maximum else 0.0), plans, maximum)
    if maximum:
        return result
    # Padding does not count in an average.
    ones = with_same_padding(ops.ones_like(x[..., :1]), plans)
    return result / _pooled(layer, ones, plans, maximum)


def _pooled(layer: keras.layers.Layer, x: Any, plans: tuple[Plan, Plan], maximum: bool) -> Any:
    """Pool without padding. Keras's pools have no dilation, so shifted maps are merged, first rows, then columns."""
    arguments: dict[str, Any] = {"dtype": layer.dtype_policy}
    kernel = tuple(plan.coarse.kernel for plan in plans)
    if all(plan.rate == 1 for plan in plans):
        pool = keras.layers.MaxPooling2D if maximum else keras.layers.AveragePooling2D
        return pool(kernel, tuple(plan.stride for plan in plans), **arguments)(x)
    merge = keras.layers.Maximum if maximum else keras.layers.Average
    for axis, plan in enumerate(plans):
        if plan.coarse.kernel > 1:
            x = merge(**arguments)([_shifted(x, axis, i, plan, arguments) for i in range(plan.coarse.kernel)])
    return x


def _shifted(x: Any, axis: int, i: int, plan: Plan, arguments: dict[str, Any]) -> Any:
    """The map that starts at the kernel's i-th cell, cropped to the positions where the whole kernel fits."""
    crop = i * plan.rate, (plan.coarse.kernel - 1 - i) * plan.rate
    return keras.layers.Cropping2D((crop, (0, 0)) if axis == 0 else ((0, 0), crop), **arguments)(x)


def as_model(name: str, x: Any, build: Callable[[Any], Any]) -> keras.Model:
    """Wrap operations in a nested model, so that their names cannot clash with others."""
    inputs = keras.Input(batch_shape=x.shape, dtype=x.dtype)
    return keras.Model(inputs, build(inputs), name=name)
