"""What becomes of a layer in a network that is made fully convolutional: one function a rule.

Which rule is for which kind of layer is the table in `conversion.py`. A rule takes a `Site` and gives the `Value` that
the layer computes in the converted network, or refuses.
"""

import dataclasses
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from vggfcn.conversion_site import Site, Value, in_order, out_of_order
from vggfcn.layers import axes_of, reordering_of, runs_along_last_axis

CONTEXT_WAY_OUT = "keep_global=True keeps it as context of the whole image; windows are then no longer independent"


def sliding(site: Site) -> Value:
    """Kernels, pools and padding do the same at every place: kept."""
    value = _map(site)
    changes = {}
    if _is_head(site.layer, value.size):
        changes["strides"] = (1, 1)
    stride = tuple(old * Fraction(new) for old, new in zip(value.stride, _steps(site.layer, changes), strict=True))
    return _map_of(site, value, site.keep(changes), stride)


def _map(site: Site) -> Value:
    value = site.value
    channels_first = getattr(site.layer, "data_format", "channels_last") == "channels_first"
    if not value.is_map or channels_first != (value.order == "chw"):
        site.refuse("reads a map whose pixels were rearranged", "leave out the Reshape or Permute before it")
    if channels_first and runs_along_last_axis(site.layer):
        site.refuse("its activation runs along the columns, not the channels", "use a Softmax layer with axis=1")
    return value


def _map_of(site: Site, value: Value, tensor: Any, stride: Any) -> Value:
    shape = site.shape
    size, channels = out_of_order(shape, value.order)
    return dataclasses.replace(value, tensor=tensor, shape=shape, size=size, channels=channels, stride=stride)


def _steps(layer: keras.layers.Layer, changes: dict[str, Any]) -> tuple[Any, ...]:
    if "size" in layer.get_config():  # UpSampling2D
        return tuple(Fraction(1, step) for step in layer.size)
    steps = changes.get("strides", getattr(layer, "strides", (1, 1)))
    return tuple(Fraction(1, step) for step in steps) if "Transpose" in type(layer).__name__ else tuple(steps)


def _is_head(layer: keras.layers.Layer, size: tuple[int, int]) -> bool:
    """AveragePooling2D(7) on a 7 x 7 map is global pooling by another name, and moves on by one cell as that does."""
    average = type(layer).__name__ == "AveragePooling2D" and layer.padding == "valid"
    return average and tuple(layer.pool_size) == size == tuple(layer.strides) != (1, 1)


def pointwise(site: Site) -> Value:
    """Each value by itself, whatever the shape: kept."""
    if runs_along_last_axis(site.layer):
        return along_channels(site)
    return dataclasses.replace(site.value, tensor=site.keep(), shape=site.shape)


def along_channels(site: Site) -> Value:
    """Along the channels of each place: kept, the axis named anew; along rows and columns: context."""
    value = site.value
    axes = axes_of(site.layer, len(value.shape) + 1)
    if not axes:
        return dataclasses.replace(value, tensor=site.keep())
    if value.is_map and axes == {1 + value.order.index("c")}:
        return dataclasses.replace(value, tensor=site.keep())
    if value.channels_last and axes == {len(value.shape)}:
        changes = {"axis": -1} if hasattr(site.layer, "axis") else {}
        return dataclasses.replace(value, tensor=site.keep(changes))
    if not value.is_map or site.layer.weights:
        site.refuse(
            f"has its axes {sorted(axes)} along the rows and columns of a {value.size[0]} x {value.size[1]} map, so "
            "that every place is treated in another way",
            "normalise over the channels, before Flatten",
        )
    return whole_image(site)


def prelu(site: Site) -> Value:
    """One slope a channel is kept; one slope a place has no place in a larger map."""
    value = site.value
    slopes = site.layer.alpha.shape
    if value.size != (1, 1) and (not value.is_map or max(_places(slopes, value.order)) > 1):
        site.refuse(
            f"has a slope of its own at each of {value.size[0]} x {value.size[1]} places",
            "share them with PReLU(shared_axes=[1, 2])",
        )
    axes = [2, 3] if value.is_map and value.order == "chw" else [1, 2]
    changes = {} if value.is_map and site.layer.shared_axes == axes else {"shared_axes": axes}
    return dataclasses.replace(value, tensor=site.keep(changes))


def _places(shape: tuple[int, ...], order: str) -> tuple[int, ...]:
    return shape[:2] if order == "hwc" else shape[1:]


def merging(site: Site) -> Value:
    """Add, Concatenate and their like put cells together that stand for the same window."""
    maps = [value for value in site.values if not value.whole]
    first = max(maps, key=lambda value: value.channels)
    context = [value for value in site.values if value.whole]
    if any(max(value.shape[:-1], default=1) > 1 for value in context):
        site.refuse("meets a map of fixed size with one that grows with the picture", "resize by a fixed factor")
    if len({(value.size, value.order, value.stride, value.is_map) for value in maps}) > 1:
        sizes = " and ".join(f"{v.size[0]} x {v.size[1]} (stride {v.stride[0]})" for v in maps)
        site.refuse(
            f"puts together maps whose cells stand for different windows: {sizes}",
            "take the features of one stride, or convert the branches one by one",
        )
    constants = [item for item in keras.tree.flatten((site.args, site.kwargs)) if not isinstance(item, Value)]
    if any(max(np.shape(item)[:-1], default=1) > 1 for item in constants if item is not None):
        site.refuse(
            "has a constant of its own for each place, as the position embeddings of vision transformers are",
            "make it one value a channel; a vision transformer cannot be converted",
        )
    if hasattr(site.layer, "axis"):
        return _concatenation(site, first)
    if first.is_map:
        return _map_of(site, first, site.keep(), first.stride)
    return dataclasses.replace(first, tensor=site.keep(), shape=site.shape)


def _concatenation(site: Site, first: Value) -> Value:
    axes = axes_of(site.layer, len(first.shape) + 1)
    if first.is_map and axes == {1 + first.order.index("c")}:
        return _map_of(site, first, site.keep(), first.stride)
    if first.channels_last and axes == {len(first.shape)}:
        return dataclasses.replace(first, tensor=site.keep({"axis": -1}), shape=site.shape, channels=site.shape[-1])
    return site.refuse(
        "joins maps along rows or columns, or after Flatten", "join them along the channels, before Flatten"
    )


def unroll(site: Site) -> Value:
    """Flatten moves no number: dropped; the next dense layer's kernel is as large as the map."""
    value, order = site.value, site.value.order
    if value.is_map and getattr(site.layer, "data_format", "channels_last") == "channels_first":
        if order == "hwc" and max(value.size) > 1:
            site.refuse("unrolls columns, channels, rows", 'use Flatten(data_format="channels_last") on such a map')
        order = "hwc"  # It moves the channels to the end first.
    value = channels_last(site, value)
    return dataclasses.replace(value, shape=site.shape, order="hwc" if value.size == (1, 1) else order)


def reshape(site: Site) -> Value:
    """Another shape for the same numbers: dropped; rules look at what the numbers are."""
    value, shape = site.value, site.shape
    if value.is_map and shape == value.shape:
        return value
    value = channels_last(site, value)
    alone = value.size == (1, 1)
    if alone and shape == in_order((1, 1), value.channels, "chw") and value.channels > 1:
        tensor = site.replace("Permute", lambda name: keras.layers.Permute((3, 1, 2), name=name), value.tensor)
        return dataclasses.replace(value, tensor=tensor, shape=shape, order="chw")
    order = "hwc" if alone else value.order
    if order == "chw" and shape == in_order(value.size, value.channels, "chw"):
        tensor = site.replace("Permute", lambda name: keras.layers.Permute((3, 1, 2), name=name), value.tensor)
        return dataclasses.replace(value, tensor=tensor, shape=shape)
    return dataclasses.replace(value, shape=shape, order=order)


def permute(site: Site) -> Value:
    """Channels brought to the front or to the back of a map: kept."""
    value = site.value
    order = reordering_of(site.layer)
    if not value.is_map or order is None or order[0] != value.order:
        site.refuse("turns the map round", "move only the channels: Permute((2, 3, 1)) or Permute((3, 1, 2))")
    return dataclasses.replace(value, tensor=site.keep(), shape=site.shape, order=order[1])


def channels_last(site: Site, value: Value) -> Value:
    """The value with its tensor channels last, as it is once the original no longer has a map."""
    if not value.is_map or value.order == "hwc":
        return value
    tensor = site.replace("Permute", lambda name: keras.layers.Permute((2, 3, 1), name=name), value.tensor)
    return dataclasses.replace(value, tensor=tensor)


def whole_image(site: Site) -> Value:
    """What looks at the whole image, inside the network: refused, or kept as context."""
    value = site.values[0]
    if not site.keep_global:
        site.refuse("takes the whole image into account, and a map is made from that", CONTEXT_WAY_OUT)
    if any(one.whole or not one.is_map for one in site.values):
        site.refuse("reads an unrolled map, whose length would change with the picture", "let it read the map itself")
    tensor = site.keep()
    site.became.append("whole image")
    if site.shape == value.shape:  # A normalisation, or attention, of every place
        return dataclasses.replace(value, tensor=tensor)
    return dataclasses.replace(value, tensor=tensor, shape=site.shape, whole=True)
