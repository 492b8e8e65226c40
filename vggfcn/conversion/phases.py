"""Padding and pooling of a map that holds several phases of a coarser one, out of stock layers.

Cell u of the coarse map is cell rate * u of the fine one; the cells between are the coarse map's other phases, for
images that begin some pixels later. What reads neighbours in the coarse map reads cells `rate` apart in the fine one.
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
    """What becomes of a layer along one axis: how it slid over the coarse map, and the stride that it keeps."""

    coarse: Kernel1D
    rate: int
    kept: int
    same: bool

    @property
    def dilation(self) -> int:
        """Cells of the fine map between those that the kernel reads."""
        return 1 if self.coarse.kernel == 1 else self.coarse.dilation * self.rate

    @property
    def stays(self) -> bool:
        """Whether the layer does on the fine map what it did."""
        moved = self.coarse.dilated_size > 1 or self.coarse.before or self.coarse.after
        return self.kept == self.coarse.stride and (self.rate == 1 or not moved)

    @property
    def least(self) -> int:
        """The least zeros that SAME padding puts before the map, in coarse cells; it depends on the size."""
        return max(self.coarse.dilated_size - self.coarse.stride, 0) // 2

    @property
    def most(self) -> int:
        """The most."""
        return (self.coarse.dilated_size - 1) // 2

    @property
    def widths(self) -> tuple[int, int]:
        """Fine cells to put before and after the map for SAME padding, enough for each size."""
        return self.rate * self.most, self.rate * (self.coarse.dilated_size - 1 - self.least)


def with_same_padding(x: Any, plans: tuple[Plan, Plan], fill: float = 0.0) -> Any:
    """A map (batch, rows, columns, channels) padded so that the coarse cells see the padding that they saw."""
    pairs = [plan.widths if plan.same else (0, 0) for plan in plans]
    x = ops.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=fill)
    for axis, plan in enumerate(plans, 1):
        if plan.same and plan.most > plan.least:
            x = _aligned(x, axis, plan)
    return x


def _aligned(x: Any, axis: int, plan: Plan) -> Any:
    """Without what is too much of the padding at the beginning, which depends on the number of cells.

    For a kernel of 3 cells at stride 2, `widths` puts 1 cell before the map and 2 after it. SAME padding puts none
    before 8 cells and 1 before 7. So of 8 cells, padded to 11, this gives the last 10, which begin with the map's
    first; of 7 cells, padded to 10, it gives the first 9, which begin with one of padding.
    """
    coarse, slack = plan.coarse, plan.rate * (plan.most - plan.least)
    # As many as there are cells in the result: how many that are is known only when the network runs.
    ones = ops.ones_like(x[0, :-slack, 0, 0] if axis == 1 else x[0, 0, :-slack, 0], dtype="int32")
    cells = ops.sum(ones) - plan.rate * (coarse.dilated_size - 1)
    coarse_cells = (cells + plan.rate - 1) // plan.rate
    last_step = ops.mod(coarse_cells - 1, coarse.stride) + 1
    before = ops.maximum(coarse.dilated_size - last_step, 0) // 2
    first = plan.rate * (plan.most - before)
    return ops.take(x, ops.cumsum(ones) - 1 + first, axis=axis)


def pooled(layer: keras.layers.Layer, x: Any, plans: tuple[Plan, Plan]) -> Any:
    """A max or average pool over a map: what the pooling `layer` gave on the coarse one."""
    maximum = "Max" in type(layer).__name__
    if not any(plan.same for plan in plans):
        return _pooled(layer, x, plans, maximum)
    result = _pooled(layer, with_same_padding(x, plans, -math.inf if maximum else 0.0), plans, maximum)
    if maximum:
        return result
    # An average is over the cells that are there.
    ones = with_same_padding(ops.ones_like(x[..., :1]), plans)
    return result / _pooled(layer, ones, plans, maximum)


def _pooled(layer: keras.layers.Layer, x: Any, plans: tuple[Plan, Plan], maximum: bool) -> Any:
    """Without padding; Keras's pools have no dilation, but rows and columns can be pooled one after the other."""
    arguments: dict[str, Any] = {"dtype": layer.dtype_policy}
    kernel = tuple(plan.coarse.kernel for plan in plans)
    if all(plan.rate == 1 for plan in plans):
        pool = keras.layers.MaxPooling2D if maximum else keras.layers.AveragePooling2D
        return pool(kernel, tuple(plan.kept for plan in plans), **arguments)(x)
    merge = keras.layers.Maximum if maximum else keras.layers.Average
    for axis, plan in enumerate(plans):
        if plan.coarse.kernel > 1:
            x = merge(**arguments)([_shifted(x, axis, i, plan, arguments) for i in range(plan.coarse.kernel)])
    return x


def _shifted(x: Any, axis: int, i: int, plan: Plan, arguments: dict[str, Any]) -> Any:
    """The map that begins where the kernel's i-th cell does, as long as there are whole kernels."""
    crop = i * plan.rate, (plan.coarse.kernel - 1 - i) * plan.rate
    return keras.layers.Cropping2D((crop, (0, 0)) if axis == 0 else ((0, 0), crop), **arguments)(x)


def as_model(name: str, x: Any, build: Callable[[Any], Any]) -> keras.Model:
    """A nested model of its own for such tensors: the names of the operations in it cannot clash with others."""
    inputs = keras.Input(batch_shape=x.shape, dtype=x.dtype)
    return keras.Model(inputs, build(inputs), name=name)
