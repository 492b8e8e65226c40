"""Flattened maps held as windows: each cell has all the numbers that the original's vector has for its window.

This is exact for any layer that treats the places of a vector differently, and takes as much memory as all windows.
"""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import keras

from vggfcn.conversion.call import LayerCall, Value
from vggfcn.conversion.phases import as_model

ops = keras.ops
Stride = tuple[Fraction, Fraction]


def in_windows(call: LayerCall, value: Value, step: tuple[int, int] = (1, 1)) -> Value:
    """The value itself, unless it is a flattened map: then one cell for each window, which has the vector as channels.

    `step` is the distance between windows in cells of the map.
    """
    if not value.is_flattened:
        return value
    if call.flows_back:
        call.refuse(
            f"treats the places of a flattened {value.size[0]} x {value.size[1]} map differently, and a map is "
            "computed from its output",
            "apply it to the channels, before Flatten",
        )
    if value.order == "chw":
        call.refuse(
            "treats the places of a channels-first map differently that was flattened as it lies in memory",
            'use Flatten(data_format="channels_first") before it',
        )
    size = "{} x {}".format(*value.size)
    tensor = call.insert(
        f"windows {size}", lambda name: as_model(name, value.tensor, lambda x: _patches(x, value, step)), value.tensor,
        f"_windows{step[0]}x{step[1]}",
    )  # fmt: skip
    stride = (value.stride[0] * step[0], value.stride[1] * step[1])
    return dataclasses.replace(value, tensor=tensor, size=(1, 1), channels=value.shape[0], order="hwc", stride=stride)


def _patches(x: Any, value: Value, step: tuple[int, int]) -> Any:
    """Windows of a map, made of shifted copies: first along the columns, then along the rows.

    Keras's `extract_patches` is a convolution, whose kernel has the square of the windows' size.
    """
    options = {"dtype": x.dtype}
    for axis in (1, 0):
        last = value.size[axis] - 1
        crops = [(i, last - i) for i in range(last + 1)]
        pairs = [((0, 0), crop) if axis == 1 else (crop, (0, 0)) for crop in crops]
        if last:
            x = keras.layers.Concatenate(**options)([keras.layers.Cropping2D(pair, **options)(x) for pair in pairs])
    if max(step) > 1:
        x = keras.layers.MaxPooling2D(1, step, **options)(x)
    return x


def of_one_stride(call: LayerCall, values: Sequence[Value]) -> list[Value]:
    """Vectors whose cells stand for windows at different distances, with those cells alone that all of them have.

    The first windows of all lie at the same place, so the common ones are as far apart as the least common multiple of
    the distances.
    """
    strides = {value.stride for value in values}
    common = _multiple([stride[0] for stride in strides]), _multiple([stride[1] for stride in strides])
    thinned = [_thinned(call, number, value, common) for number, value in enumerate(values)]
    if len(strides) == 1:
        return thinned
    tensors = call.insert(
        "common cells", lambda name: _common(name, thinned), [one.tensor for one in thinned], "_cells"
    )
    return [dataclasses.replace(one, tensor=tensor) for one, tensor in zip(thinned, tensors, strict=True)]


def _multiple(strides: list[Fraction]) -> Fraction:
    denominator = math.lcm(*(stride.denominator for stride in strides))
    return Fraction(math.lcm(*(int(stride * denominator) for stride in strides)), denominator)


def _thinned(call: LayerCall, number: int, value: Value, stride: Stride) -> Value:
    """The cells at this distance."""
    step = int(stride[0] / value.stride[0]), int(stride[1] / value.stride[1])
    if value.is_flattened:
        return in_windows(call, value, step)
    if step == (1, 1):
        return value
    pool = keras.layers.MaxPooling2D
    tensor = call.insert(
        f"every {step[0]} x {step[1]}", lambda name: pool(1, step, name=name, dtype=value.tensor.dtype), value.tensor,
        f"_stride{number}",
    )  # fmt: skip
    return dataclasses.replace(value, tensor=tensor, stride=stride)


def _common(name: str, values: Sequence[Value]) -> keras.Model:
    """A model that cuts maps to the rows and columns that all of them have.

    At one stride, the numbers of cells differ by 1 at most: each is (pixels + a constant) // stride, and at native size
    all are 1.
    """
    inputs = [keras.Input(batch_shape=value.tensor.shape, dtype=value.tensor.dtype) for value in values]
    maps = inputs
    for axis in (1, 2):
        ones = [ops.ones_like(x[0, :, 0, 0] if axis == 1 else x[0, 0, :, 0], dtype="int32") for x in maps]
        shortest = ones[0]
        for other in ones[1:]:
            # Every second of n + n ones, or of n + n + 1, the first left out: these are n.
            shortest = ops.concatenate([shortest, other])[1::2, ...]
        maps = [ops.take(x, ops.cumsum(shortest) - 1, axis=axis) for x in maps]
    return keras.Model(inputs, maps, name=name)
