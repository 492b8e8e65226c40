"""Conversion rules for operations of keras.ops that select, move, repeat, mix or reduce channels, crop or pad.

Along the channels they work at each position separately and are kept. Along rows and columns, slices become stock
layers that crop and subsample, padding with zeros becomes `ZeroPadding2D`, and everything else is refused.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from vggfcn.conversion.call import LayerCall, Value, split_shape
from vggfcn.conversion.rules.windows import in_windows
from vggfcn.graph.layers import Kind, axes_of, indexed_axes, kind_of, rearranged_axes
from vggfcn.graph.walking import slicing

POSITION_HINT = "take part of the channels, or crop with Cropping2D"
MOVES = "moves or mixes rows and columns, so its output depends on where the window ends"
Taken = dict[int, int | slice]


def get_item(call: LayerCall) -> Value:
    """x[key]: some channels are taken by the same operation, and rows and columns are cropped by stock layers."""
    value = in_windows(call, call.value)
    parts = indexed_axes(_second(call), len(value.shape) + 1)
    if parts is None:
        call.refuse("indexes with something other than numbers and slices", "use slices, or keras.ops.take")
    return _taken(call, value, parts)


def take(call: LayerCall) -> Value:
    """keras.ops.take along the channels becomes slices; rows and columns at equal distances are cropped and subsampled.

    Slices, since OpenVINO 2026.4 puts some orders of channels wrongly into the next convolution.
    """
    value, rank = in_windows(call, call.value), len(call.value.shape) + 1
    indices = _second(call)
    if call.layer.axis is None or isinstance(indices, Value):
        call.refuse("takes values from anywhere in the map", POSITION_HINT)
    axis, indices = call.layer.axis % rank, np.asarray(indices)
    if axis == value.channel_axis and indices.ndim == 1:
        return _same_axes(call, value, _channels_in_order(call, value, indices % value.channels))
    if indices.ndim > 1 or axis == 0:
        call.refuse("takes values from anywhere in the map", POSITION_HINT)
    return _taken(call, value, {axis: _as_part(call, indices)})


def _channels_in_order(call: LayerCall, value: Value, indices: np.ndarray) -> Any:
    """The channels with these numbers: each run of neighbours is a slice, and the slices are joined."""
    first = value.is_map and value.order == "chw"
    runs = np.split(indices, 1 + np.flatnonzero(np.diff(indices) != 1))
    parts = [slice(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
    keys = [(slice(None), part) if first else (Ellipsis, part) for part in parts]
    tensors = [call.insert("slice", slicing, value.tensor, "_slice", key) for key in keys]
    if len(tensors) == 1:
        return tensors[0]
    axis = 1 if first else -1
    return call.replace("Concatenate", lambda name: keras.layers.Concatenate(axis=axis, name=name), tensors)


def _as_part(call: LayerCall, indices: np.ndarray) -> int | slice:
    if indices.ndim == 0:
        return int(indices)
    steps = set(np.diff(indices).tolist()) or {1}
    if len(steps) != 1 or min(steps) < 1 or indices[0] < 0:
        call.refuse("takes rows or columns that are not at equal distances from each other", POSITION_HINT)
    return slice(int(indices[0]), int(indices[-1]) + 1, steps.pop())


def split(call: LayerCall) -> list[Value]:
    """keras.ops.split and unstack along the channels: each output becomes a slice."""
    value = in_windows(call, call.value)
    axis = call.layer.axis % (len(value.shape) + 1)
    call.changed = True
    unstacks = type(call.layer).__name__ == "Unstack"
    parts: list[int | slice] = []
    start = 0
    for number, shape in enumerate(call.shapes):
        if axis == 0 or axis != value.channel_axis:
            call.refuse("splits rows or columns", "split the channels")
        length = 1 if unstacks else shape[axis - 1]
        parts.append(number if unstacks else slice(start, start + length))
        start += length
    pairs = zip(parts, call.shapes, strict=True)
    return [_taken(dataclasses.replace(call, shape=shape), value, {axis: part}) for part, shape in pairs]


def _taken(call: LayerCall, value: Value, parts: Taken) -> Value:
    """Part of the channels, rows and columns."""
    if 0 in parts:
        call.refuse("takes some images of the batch", "take part of the channels, rows or columns")
    axis = value.channel_axis
    places = {place: part for place, part in parts.items() if place != axis}
    if places and not value.is_map:
        call.refuse("takes part of an axis that is neither rows, columns nor channels", POSITION_HINT)
    if places:
        value = _cropped(call, value, places)
    if axis is None or axis not in parts:
        return dataclasses.replace(value, shape=call.shape)
    return _some_channels(call, value, parts[axis])


def _some_channels(call: LayerCall, value: Value, part: int | slice) -> Value:
    first = value.is_map and value.order == "chw"
    number = range(value.channels)[part]  # A number, or the range of them.
    call.changed |= isinstance(part, int) or not value.is_map or kind_of(call.layer) is not Kind.GET_ITEM
    if isinstance(part, int):
        part = slice(number, number + 1)  # type: ignore[operator]
    key = (slice(None), part) if first else (Ellipsis, part)
    made = call.factory.new(call.layer, f"slice {value.tensor.shape}", slicing, {})
    call.actions.append("kept" if kind_of(call.layer) is Kind.GET_ITEM else "slice")
    tensor = call.factory.call(made, value.tensor, key)
    value = dataclasses.replace(value, tensor=tensor, channels=tensor.shape[1 if first else -1])
    return _reshaped(call, _with_channels(value))


def _with_channels(value: Value) -> Value:
    """The value with the shape that its number of channels gives it."""
    shape = list(value.shape)
    shape[value.order.index("c") if len(shape) == 3 else -1] = value.channels
    return dataclasses.replace(value, shape=tuple(shape))


def _reshaped(call: LayerCall, value: Value) -> Value:
    """The value in the call's shape, which may lack the axis of its channels."""
    if call.shape == value.shape:
        return value
    if dataclasses.replace(value, shape=call.shape).is_map:
        return dataclasses.replace(value, shape=call.shape)
    if value.is_map and value.order == "chw":  # A channels-last map is what stands for anything else.
        moved = call.insert("Permute", lambda name: keras.layers.Permute((2, 3, 1), name=name), value.tensor, "_last")
        value = dataclasses.replace(value, tensor=moved, order="hwc")
    return dataclasses.replace(value, shape=call.shape)


def _cropped(call: LayerCall, value: Value, places: Taken) -> Value:
    """Rows and columns taken at equal distances: cropped, then subsampled by a pool of one cell."""
    crops, steps, sizes = [], [], []
    for axis, length in zip("hw", value.size, strict=True):
        part = places.get(1 + value.order.index(axis), slice(None))
        part = slice(part % length, part % length + 1) if isinstance(part, int) else part
        taken = range(length)[part]
        if taken.step < 0 or not len(taken):
            call.refuse("reverses rows or columns, or takes none of them", "take them in order")
        crops.append((taken[0], length - 1 - taken[-1]))
        steps.append(taken.step if len(taken) > 1 else 1)
        sizes.append(len(taken))
    tensor = _crop(call, value, crops, steps)
    size, stride = (sizes[0], sizes[1]), (value.stride[0] * steps[0], value.stride[1] * steps[1])
    return _with_size(dataclasses.replace(value, tensor=tensor, stride=stride), size)


def _with_size(value: Value, size: tuple[int, int]) -> Value:
    shape = list(value.shape)
    shape[value.order.index("h")], shape[value.order.index("w")] = size
    return dataclasses.replace(value, size=size, shape=tuple(shape))


def _crop(call: LayerCall, value: Value, crops: list[Any], steps: list[int]) -> Any:
    options = {"data_format": _data_format(value), "dtype": value.tensor.dtype}
    tensor = value.tensor
    if any(any(pair) for pair in crops):
        crop = tuple(crops)
        tensor = call.replace(
            f"Cropping2D {crop}", lambda name: keras.layers.Cropping2D(crop, name=name, **options), tensor
        )
    if max(steps) > 1:
        every = tuple(steps)
        kind = f"every {' x '.join(map(str, every))}"
        tensor = call.insert(
            kind, lambda name: keras.layers.MaxPooling2D(1, every, name=name, **options), tensor, "_stride"
        )
    return tensor


def _data_format(value: Value) -> str:
    return "channels_first" if value.is_map and value.order == "chw" else "channels_last"


def stack(call: LayerCall) -> Value:
    """keras.ops.stack of maps without channels: they become the channels of one map."""
    first, axis = call.values[0], call.layer.axis % (len(call.shape) + 1)
    same = len({(one.size, one.stride, one.shape, one.is_context) for one in call.values}) == 1
    if not same or first.shape != first.size or first.channels != 1 or axis not in (1, len(call.shape)):
        call.refuse("stacks along an axis that does not become the channels", "use Concatenate along the channels")
    tensors = [value.tensor for value in call.values]
    tensor = call.replace("Concatenate", lambda name: keras.layers.Concatenate(name=name), tensors)
    value = dataclasses.replace(first, tensor=tensor, channels=len(tensors), shape=call.shape, order="hwc")
    if axis != 1:
        return value
    tensor = call.insert("Permute", lambda name: keras.layers.Permute((3, 1, 2), name=name), tensor, "_first")
    return dataclasses.replace(value, tensor=tensor, order="chw")


def rearranging(call: LayerCall) -> Value:
    """Channels reversed, repeated, or mixed with each other at each position: kept."""
    value = call.value
    axes = rearranged_axes(call.layer, len(value.shape) + 1)
    if value.channel_axis is None or not axes <= {value.channel_axis}:
        call.refuse(MOVES, "apply it to the channels alone")
    if value.is_map:
        return _same_axes(call, value, call.keep())
    if hasattr(call.layer, "data_format"):
        call.refuse("reads a map whose pixels were rearranged", "remove the Reshape or Permute before it")
    if type(call.layer).__name__ != "Tile":
        return _same_axes(call, value, call.keep({"axis": -1}))
    return _same_axes(call, value, call.keep({"repeats": [1, 1, 1, call.shape[-1] // value.channels]}))


def _same_axes(call: LayerCall, value: Value, tensor: Any) -> Value:
    """The value after a layer that only changes the number of channels."""
    return dataclasses.replace(
        value, tensor=tensor, shape=call.shape, channels=call.shape[(value.channel_axis or 0) - 1]
    )


def reduction(call: LayerCall) -> Value:
    """A sum, mean, maximum or the like of the channels of each position: kept."""
    value = in_windows(call, call.value)
    if value.channel_axis is None or axes_of(call.layer, len(value.shape) + 1) != {value.channel_axis}:
        call.refuse("reduces rows or columns", "reduce the channels alone, or use keras.ops.mean or max over the map")
    changes: dict[str, Any] = {} if call.layer.keepdims else {"keepdims": True}
    if not value.is_map and call.layer.axis not in (-1, [-1]):
        changes["axis"] = -1
    kept = list(value.shape)
    kept[value.channel_axis - 1] = 1
    tensor = call.keep(changes, tensors=[value.tensor])
    return _reshaped(call, dataclasses.replace(value, tensor=tensor, channels=1, shape=tuple(kept)))


def pad(call: LayerCall) -> Value:
    """keras.ops.pad: zeros around the map become `ZeroPadding2D`; other padding is kept."""
    value, layer = call.value, call.layer
    rank = len(value.shape) + 1
    widths = list(layer.pad_width) if len(layer.pad_width) > 1 else list(layer.pad_width) * rank
    fill = _second(call) if len(call.args) > 1 or "constant_values" in call.kwargs else None
    if any(widths[0]) or isinstance(fill, Value):
        call.refuse("pads the batch, or with computed values", "pad rows, columns and channels with a number")
    padded = {axis for axis, pair in enumerate(widths) if any(pair)}
    if value.channel_axis is None or (not value.is_map and not padded <= {value.channel_axis}):
        call.refuse("pads a map whose pixels were rearranged", "pad before Flatten or Reshape")
    if not value.is_map:
        return _same_axes(call, value, call.keep({"pad_width": [(0, 0)] * 3 + [tuple(widths[-1])]}))
    if padded <= {value.channel_axis} or layer.mode != "constant" or np.any(fill):
        tensor = call.keep()
    else:
        tensor = _zeros_around(call, value, widths)
    size, channels = split_shape(call.shape, value.order)
    return dataclasses.replace(value, tensor=tensor, shape=call.shape, size=size, channels=channels)


def _zeros_around(call: LayerCall, value: Value, widths: list[Any]) -> Any:
    first = 1 + value.order.index("h")
    around = tuple(tuple(pair) for pair in widths[first : first + 2])
    if any(widths[value.channel_axis or 0]):
        return call.keep()
    options = {"data_format": _data_format(value), "dtype": value.tensor.dtype}
    return call.replace(
        f"ZeroPadding2D {around}", lambda name: keras.layers.ZeroPadding2D(around, name=name, **options), value.tensor
    )


def _second(call: LayerCall) -> Any:
    """The argument after the map."""
    return (*call.args, *call.kwargs.values())[1]
