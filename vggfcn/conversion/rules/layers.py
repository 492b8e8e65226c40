"""Conversion rules for layers inside a network, one function per rule.

A rule takes a `LayerCall` and returns the `Value` that the layer computes in the converted network, or refuses the
layer. `convert.RULES` says which rule applies to which kind of layer.
"""

import dataclasses
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from vggfcn.conversion.call import LayerCall, Value, map_shape, split_shape
from vggfcn.conversion.rules.windows import in_windows, of_one_stride
from vggfcn.graph.layers import axes_of, reordering_of, runs_along_last_axis

CONTEXT_HINT = (
    "keep_global=True (--keep-global) keeps it as whole-image context; windows are then no longer independent"
)


def sliding(call: LayerCall) -> Value:
    """Layers that slide over the map do the same at every position: kept."""
    value = _map(call)
    changes = {}
    if _is_head(call.layer, value.size):
        changes["strides"] = (1, 1)
    stride = tuple(old * Fraction(new) for old, new in zip(value.stride, _steps(call.layer, changes), strict=True))
    return _map_of(call, value, call.keep(changes), stride)


def _map(call: LayerCall) -> Value:
    value = call.value
    channels_first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    if value.is_map and channels_first != (value.order == "chw"):
        mine, its = ("first", "last") if channels_first else ("last", "first")
        call.refuse(
            f"reads a map whose pixels were rearranged: it is channels_{mine}, and the map is channels_{its}",
            "remove the Reshape or Permute before it; without one, train with a single data_format, because these "
            "layers take channels for rows or columns",
        )
    if not value.is_map:
        call.refuse("reads a map whose pixels were rearranged", "remove the Reshape or Permute before it")
    if channels_first and runs_along_last_axis(call.layer):
        call.refuse("has an activation along the columns, not the channels", "use a Softmax layer with axis=1")
    return value


def _map_of(call: LayerCall, value: Value, tensor: Any, stride: Any) -> Value:
    shape = call.shape
    size, channels = split_shape(shape, value.order)
    return dataclasses.replace(value, tensor=tensor, shape=shape, size=size, channels=channels, stride=stride)


def _steps(layer: keras.layers.Layer, changes: dict[str, Any]) -> tuple[Any, ...]:
    if "size" in layer.get_config():  # UpSampling2D
        return tuple(Fraction(1, step) for step in layer.size)
    steps = changes.get("strides", getattr(layer, "strides", (1, 1)))
    return tuple(Fraction(1, step) for step in steps) if "Transpose" in type(layer).__name__ else tuple(steps)


def _is_head(layer: keras.layers.Layer, size: tuple[int, int]) -> bool:
    """Whether it is global pooling in disguise, such as AveragePooling2D(7) on a 7 x 7 map; it then gets stride 1."""
    average = type(layer).__name__ == "AveragePooling2D" and layer.padding == "valid"
    return average and tuple(layer.pool_size) == size == tuple(layer.strides) != (1, 1)


def pointwise(call: LayerCall) -> Value:
    """Layers that work on each value separately: kept."""
    if runs_along_last_axis(call.layer):
        return along_channels(call)
    return dataclasses.replace(call.value, tensor=call.keep(), shape=call.shape)


def along_channels(call: LayerCall) -> Value:
    """Along the channels: kept, with the axis adapted. Along rows and columns: whole-image context.

    On a flattened map it treats each place differently: kept, on windows.
    """
    value = call.value
    axes = axes_of(call.layer, len(value.shape) + 1)
    if not axes:
        return dataclasses.replace(value, tensor=call.keep())
    if value.is_map and axes == {1 + value.order.index("c")}:
        if value.order == "chw" and runs_along_last_axis(call.layer):
            call.refuse("has an activation along the columns, not the channels", "use a Softmax layer with axis=1")
        return _map_of(call, value, call.keep(), value.stride)
    if axes == {1}:
        value = in_windows(call, value)
    if value.channels_last and axes == {len(value.shape)}:
        changes = {"axis": -1} if hasattr(call.layer, "axis") else {}
        tensor = call.keep(changes, tensors=[value.tensor])
        return dataclasses.replace(value, tensor=tensor, shape=call.shape, channels=call.shape[-1])
    if not value.is_map or call.layer.weights:
        call.refuse(
            f"works along axes {sorted(axes)}, the rows and columns of a {value.size[0]} x {value.size[1]} map, and so "
            "treats every position differently",
            "normalise over the channels, before Flatten",
        )
    return whole_image(call)


def prelu(call: LayerCall) -> Value:
    """PReLU with one slope per channel: kept. One slope per position does not fit a larger map: refused.

    After Flatten it is kept, on windows.
    """
    value = in_windows(call, call.value)
    slopes = call.layer.alpha.shape
    if value.size != (1, 1) and (not value.is_map or max(_spatial(slopes, value.order)) > 1):
        call.refuse(
            f"has a separate slope at each of {value.size[0]} x {value.size[1]} positions",
            "share them with PReLU(shared_axes=[1, 2])",
        )
    axes = [2, 3] if value.is_map and value.order == "chw" else [1, 2]
    changes = {} if value.is_map and call.layer.shared_axes == axes else {"shared_axes": axes}
    return dataclasses.replace(value, tensor=call.keep(changes, tensors=[value.tensor]))


def _spatial(shape: tuple[int, ...], order: str) -> tuple[int, ...]:
    """The rows and columns of a shape without the batch."""
    return shape[:2] if order == "hwc" else shape[1:]


def merging(call: LayerCall) -> Value:
    """Merging of branches: kept, if the cells of all branches stand for the same windows.

    Flattened maps and vectors are first brought to windows at the same places.
    """
    maps = [value for value in call.values if not value.is_context]
    context = [value for value in call.values if value.is_context]
    if any(max(value.shape[:-1], default=1) > 1 for value in context):
        call.refuse("merges a map of fixed size with one that grows with the image", "resize by a fixed factor")
    maps = _at_the_same_places(call, maps)
    first = max(maps, key=lambda value: value.channels)
    _check_constants(call, first)
    tensors = _merged_tensors(call, maps, first)
    if hasattr(call.layer, "axis"):
        return _concatenation(call, first, tensors)
    if first.is_map:
        return _map_of(call, first, call.keep(tensors=tensors), first.stride)
    channels = call.shape[-1] if first.channels_last else first.channels
    return dataclasses.replace(first, tensor=call.keep(tensors=tensors), shape=call.shape, channels=channels)


def _at_the_same_places(call: LayerCall, maps: list[Value]) -> list[Value]:
    """The maps, as they are if their cells stand for the same windows, else one cell for each common window."""
    same = len({(value.size, value.order, value.stride, value.is_map) for value in maps}) == 1
    context = any(value.shape[-1] > 1 for value in call.values if value.is_context)
    places = context or len({value.channels for value in maps}) > 1 or _has_long_constants(call)
    by_place = maps[0].is_flattened and (hasattr(call.layer, "axis") or places)
    if same and (call.flows_back or not by_place):
        return maps
    if all(len(value.shape) == 1 for value in maps) and not call.flows_back:
        return of_one_stride(call, maps)
    sizes = " and ".join(f"{v.size[0]} x {v.size[1]} (stride {v.stride[0]})" for v in maps)
    return call.refuse(
        f"merges maps whose cells stand for different windows: {sizes}",
        "merge maps of one stride only, flatten or pool each of them first, or convert each branch separately",
    )


def _constants(call: LayerCall) -> list[Any]:
    items = keras.tree.flatten((call.args, call.kwargs))
    return [np.shape(item) for item in items if item is not None and not isinstance(item, Value | str)]


def _has_long_constants(call: LayerCall) -> bool:
    return any(max(shape, default=1) > 1 for shape in _constants(call))


def _check_constants(call: LayerCall, value: Value) -> None:
    """Refuse constants that differ between positions, or that Keras would align with other axes than the channels."""
    rank = len(value.shape) + 1
    for shape in _constants(call):
        axes = {axis for axis, length in enumerate(shape, rank - len(shape)) if length > 1}
        if len(shape) > rank or not axes <= {value.channel_axis}:
            call.refuse(
                "has a separate constant for each position, like the position embeddings of a vision transformer",
                "use one value per channel; a vision transformer cannot be converted",
            )


def _merged_tensors(call: LayerCall, maps: list[Value], first: Value) -> list[Any]:
    """The tensors to merge; a vector for the whole image beside maps gets their rank, or their size to be joined."""
    ready = iter(maps)
    return [_beside(call, value, first) if value.is_context else next(ready).tensor for value in call.values]


def _beside(call: LayerCall, value: Value, first: Value) -> Any:
    tensor = value.tensor
    if first.is_map:
        return tensor
    shape = (*(1,) * (3 - len(value.shape)), *value.shape)
    if len(value.shape) < len(shape):
        tensor = call.insert("Reshape", lambda name: keras.layers.Reshape(shape, name=name), tensor, "_reshape")
    if not hasattr(call.layer, "axis"):
        return tensor
    return call.insert(
        "repeated", lambda name: _repeated(name, tensor, first.tensor), [tensor, first.tensor], "_repeated"
    )


def _repeated(name: str, vector: Any, like: Any) -> keras.Model:
    """A model that repeats a 1 x 1 map at each cell of another map."""
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in (vector, like)]
    ones = keras.ops.ones_like(inputs[1][..., :1])
    return keras.Model(inputs, keras.ops.multiply(ones, inputs[0]), name=name)


def _concatenation(call: LayerCall, first: Value, tensors: list[Any]) -> Value:
    axes = axes_of(call.layer, len(first.shape) + 1)
    if first.is_map and axes == {1 + first.order.index("c")}:
        return _map_of(call, first, call.keep(tensors=tensors), first.stride)
    if first.channels_last and axes == {len(first.shape)}:
        tensor = call.keep({"axis": -1}, tensors=tensors)
        return dataclasses.replace(first, tensor=tensor, shape=call.shape, channels=call.shape[-1])
    return call.refuse(
        "concatenates maps along rows or columns, or after Reshape", "concatenate along the channels, or after Flatten"
    )


def flatten(call: LayerCall) -> Value:
    """Flatten: dropped; the next dense layer becomes a convolution over the whole map."""
    value, order = call.value, call.value.order
    if value.is_map and getattr(call.layer, "data_format", "channels_last") == "channels_first":
        if order == "hwc" and max(value.size) > 1:
            call.refuse("flattens a channels-last map as channels first", 'use Flatten(data_format="channels_last")')
        order = "hwc"  # Keras moves the channels to the end before it flattens.
    elif value.channels == 1:
        order = "hwc"  # One channel has no order.
    value = channels_last(call, value)
    return dataclasses.replace(value, shape=call.shape, order="hwc" if value.size == (1, 1) else order)


def reshape(call: LayerCall) -> Value:
    """Reshape: dropped; a `Value` records which map the numbers stand for."""
    value, shape = call.value, call.shape
    if value.is_map and shape == value.shape:
        return value
    value = channels_last(call, value)
    if value.channels == 1 and shape in ((*value.size, 1), (1, *value.size)):  # One channel has no order.
        order = value.order if value.is_map or shape == (1, *value.size) == (*value.size, 1) else ""
        value = dataclasses.replace(value, order=order or ("hwc" if shape == (*value.size, 1) else "chw"))
    single_cell = value.size == (1, 1)
    if single_cell and shape == map_shape((1, 1), value.channels, "chw") and value.channels > 1:
        tensor = call.replace("Permute", lambda name: keras.layers.Permute((3, 1, 2), name=name), value.tensor)
        return dataclasses.replace(value, tensor=tensor, shape=shape, order="chw")
    order = "hwc" if single_cell else value.order
    if order == "chw" and shape == map_shape(value.size, value.channels, "chw"):
        tensor = call.replace("Permute", lambda name: keras.layers.Permute((3, 1, 2), name=name), value.tensor)
        return dataclasses.replace(value, tensor=tensor, shape=shape)
    return dataclasses.replace(value, shape=shape, order=order)


def permute(call: LayerCall) -> Value:
    """Permute that moves the channels to the front or to the end: kept."""
    value = call.value
    order = reordering_of(call.layer)
    if not value.is_map or order is None or order[0] != value.order:
        call.refuse(
            "moves rows or columns to other axes", "move only the channels: Permute((2, 3, 1)) or Permute((3, 1, 2))"
        )
    return dataclasses.replace(value, tensor=call.keep(), shape=call.shape, order=order[1])


def channels_last(call: LayerCall, value: Value) -> Value:
    """The value with its tensor channels last, for use after the original no longer has a map."""
    if not value.is_map or value.order == "hwc":
        return value
    tensor = call.replace("Permute", lambda name: keras.layers.Permute((2, 3, 1), name=name), value.tensor)
    return dataclasses.replace(value, tensor=tensor)


def whole_image(call: LayerCall) -> Value:
    """A layer inside the network that depends on the whole image: refused, unless keep_global=True."""
    value = call.values[0]
    if not call.keep_global:
        call.refuse("depends on the whole image, and a map is computed from its output", CONTEXT_HINT)
    if any(value.is_context or not value.is_map for value in call.values):
        call.refuse("reads a flattened map, whose length depends on the image", "apply it before Flatten")
    tensor = call.keep_as_context()
    if call.shape == value.shape:  # Such as normalisation: it returns a map.
        return dataclasses.replace(value, tensor=tensor)
    return dataclasses.replace(value, tensor=tensor, shape=call.shape, is_context=True)


def adaptive_pooling(call: LayerCall) -> Value:
    """Pooling to a fixed number of equal areas: an ordinary pool. Areas of different size are refused."""
    value = _map(call)
    cells = tuple(call.layer.output_size)
    if any(side % count for side, count in zip(value.size, cells, strict=True)):
        call.refuse(
            f"divides a {value.size[0]} x {value.size[1]} map into {cells[0]} x {cells[1]} areas of different sizes",
            "use a number of areas that divides the map's size",
        )
    pool = keras.layers.MaxPooling2D if "Max" in type(call.layer).__name__ else keras.layers.AveragePooling2D
    if pool is keras.layers.MaxPooling2D and 1 in cells:
        # Keras 3.15 on TensorFlow 2.21 divides by zero there, which ends the process.
        call.refuse("takes the maximum over a whole axis, which stops TensorFlow", "use GlobalMaxPooling2D")
    rows, columns = value.size[0] // cells[0], value.size[1] // cells[1]
    strides = (1, 1) if cells == (1, 1) and not call.flows_back else (rows, columns)

    def make(name: str) -> Any:
        return pool(
            (rows, columns), strides, data_format=call.layer.data_format, name=name, dtype=call.layer.dtype_policy
        )

    tensor = call.replace(f"{pool.__name__} {rows} x {columns}", make, value.tensor)
    stride = value.stride[0] * strides[0], value.stride[1] * strides[1]
    return _map_of(call, value, tensor, stride)
