"""Conversion rules for dense layers, global pooling, and layers that depend on the whole image."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from vggfcn.conversion.call import LayerCall, Value, map_shape, split_shape
from vggfcn.conversion.rules.channels import reduction
from vggfcn.conversion.rules.layers import CONTEXT_HINT, channels_last, whole_image
from vggfcn.graph.copying import tensor_of
from vggfcn.graph.layers import axes_of
from vggfcn.graph.walking import dense_kernel

SHARED_WITH_CONVOLUTION = (
    *("activation", "use_bias", "kernel_initializer", "bias_initializer", "bias_constraint"),
    *("kernel_regularizer", "bias_regularizer", "activity_regularizer"),
)


def dense(call: LayerCall) -> Value:
    """Dense becomes a convolution: over the whole map if the map was flattened, else 1 x 1."""
    value = call.value
    if value.channels_last:
        size = (1, 1)
        value = channels_last(call, value)
    elif len(value.shape) == 1:
        size = value.size
        if call.flows_back:
            call.refuse(
                f"has weights for a whole {size[0]} x {size[1]} map, and a map is computed from its output",
                "replace it by a convolution, or cut the network before it",
            )
    else:
        call.refuse(f"runs along the last axis of {value.shape}, which is not the channels", "put Flatten before it")
    tensor = _quantized(call, value, size) if _is_quantized(call.layer) else _convolution(call, value, size)
    return dataclasses.replace(
        value,
        tensor=tensor,
        shape=call.shape,
        size=value.size if size == (1, 1) else (1, 1),
        channels=call.shape[-1],
        order="hwc",
    )


def _convolution(call: LayerCall, value: Value, size: tuple[int, int]) -> Any:
    layer = call.layer
    arguments = {name: getattr(layer, name) for name in SHARED_WITH_CONVOLUTION}

    def make(name: str) -> Any:
        new = keras.layers.Conv2D(layer.units, size, name=name, dtype=layer.dtype_policy, **arguments)
        new.trainable = layer.trainable
        return new

    values = {"kernel": convolution_kernel(layer, value, size), "bias": layer.bias}
    return call.replace(f"Conv2D {size[0]} x {size[1]}", make, value.tensor, values)


def convolution_kernel(layer: keras.layers.Layer, value: Value, size: tuple[int, int]) -> Any:
    """View a dense kernel (inputs, units) as (rows, columns, channels, units), without copying it.

    Only if a channels-first map was flattened without moving the channels are the numbers in another order, and copied.
    """
    kernel = tensor_of(dense_kernel(layer))
    kernel = tf.reshape(kernel, (*map_shape(size, value.channels, value.order), layer.units))
    return kernel if value.order == "hwc" else tf.transpose(kernel, (1, 2, 0, 3))


def _is_quantized(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "quantization_mode", None) is not None


def _quantized(call: LayerCall, value: Value, size: tuple[int, int]) -> Any:
    """Apply the dense layer itself to flattened patches: Keras has no quantised convolutions."""
    if size == (1, 1):
        return call.keep(tensors=[value.tensor])
    if value.order != "hwc":
        call.refuse("is quantised and reads a flattened channels-first map", "quantise after the conversion")
    return call.keep(tensors=[keras.ops.image.extract_patches(value.tensor, size, strides=1)])


def pooling(call: LayerCall) -> Value:
    """Global pooling becomes pooling over the native map's size with stride 1; keras.ops.mean of channels is kept."""
    value = call.value
    if value.channel_axis and _pooled_axes(call.layer, len(value.shape) + 1) == {value.channel_axis}:
        return reduction(call)
    _check_axes(call, value)
    if call.flows_back:
        return whole_image(call)
    pool = keras.layers.MaxPooling2D if "Max" in type(call.layer).__name__ else keras.layers.AveragePooling2D
    data_format = "channels_first" if value.is_map and value.order == "chw" else "channels_last"
    dtype = getattr(call.layer, "dtype_policy", None)

    def make(name: str) -> Any:
        return pool(value.size, strides=1, data_format=data_format, name=name, dtype=dtype)

    tensor = call.replace(f"{pool.__name__} {value.size[0]} x {value.size[1]}", make, value.tensor)
    pooled = dataclasses.replace(
        value, tensor=tensor, size=(1, 1), shape=map_shape((1, 1), value.channels, value.order)
    )
    if call.shape != pooled.shape:
        pooled = channels_last(call, pooled if value.is_map else dataclasses.replace(pooled, order="hwc"))
        pooled = dataclasses.replace(pooled, shape=call.shape, order="hwc")
    return pooled


def _check_axes(call: LayerCall, value: Value) -> None:
    """Refuse pooling over other axes than rows and columns."""
    axes = _pooled_axes(call.layer, len(value.shape) + 1)
    if len(value.shape) < 2 or axes != set(range(1, len(value.shape) + 1)) - {value.channel_axis}:
        call.refuse(f"pools over axes {sorted(axes)} of {(None, *value.shape)}", "pool over rows and columns only")


def _pooled_axes(layer: Any, rank: int) -> set[int]:
    """The axes that a pooling layer, or keras.ops.mean or max, reduces; the batch is axis 0."""
    if hasattr(layer, "axis"):
        return axes_of(layer, rank)
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return set(range(2, rank)) if channels_first else set(range(1, rank - 1))


def fixed_size(call: LayerCall) -> Value:
    """Resizing to a fixed size: dropped at the input, where the window then has that size, and if it does nothing.

    Elsewhere: refused, unless keep_global=True.
    """
    value = call.value
    fits = value.is_map and split_shape(call.shape, value.order)[1] == value.channels
    size = split_shape(call.shape, value.order)[0] if fits else (0, 0)
    if fits and call.at_input:
        return dataclasses.replace(value, tensor=_cast(call, value), shape=call.shape, size=size)
    if fits and size == value.size and _copies_at_native_size(call.layer):
        call.note(f"dropped: it does nothing at native size, {size[0]} x {size[1]}")
        return dataclasses.replace(value, tensor=_cast(call, value))
    if not call.keep_global:
        call.refuse(f"resizes every image to a fixed size, {call.shape}", f"remove it, or {CONTEXT_HINT}")
    if call.shape != call.value.shape:
        return whole_image(call)
    return dataclasses.replace(call.value, tensor=call.keep_as_context(), is_context=True)


def _copies_at_native_size(layer: Any) -> bool:
    """Whether resizing to the same size returns the same numbers: these methods go through their samples."""
    return getattr(layer, "interpolation", "nearest") in (
        "nearest",
        "bilinear",
        "bicubic",
        "area",
        "lanczos3",
        "lanczos5",
    )


def _cast(call: LayerCall, value: Value) -> Any:
    """The tensor in the dtype of the layer's output."""
    shape = (None, *value.shape)
    dtype = call.layer.compute_output_spec(keras.KerasTensor(shape, value.tensor.dtype)).dtype
    if dtype == value.tensor.dtype:
        return value.tensor
    return call.insert("cast", lambda name: keras.layers.Rescaling(1.0, dtype=dtype, name=name), value.tensor, "_cast")


def attention(call: LayerCall) -> Value:
    """Attention: refused, unless keep_global=True; then it attends over the rows and columns of the map."""
    value = call.value if len({id(one.tensor) for one in call.values}) > 1 else call.values[0]
    if not call.keep_global:
        call.refuse(
            "attends to the whole image, as vision transformers do, so no window is independent of the others",
            CONTEXT_HINT,
        )
    if not value.channels_last or value.channels != value.shape[-1]:
        call.refuse("reads a map whose pixels were rearranged", "remove the Reshape or Permute before it")
    if any(item is not None and not isinstance(item, Value) for item in keras.tree.flatten((call.args, call.kwargs))):
        call.refuse("has a mask, which fits one size only", "remove the mask")
    tensor = call.keep_as_context({"attention_axes": [1, 2]})
    return dataclasses.replace(value, tensor=tensor, channels=call.shape[-1], shape=call.shape)


def custom_code(call: LayerCall) -> Value:
    """A layer that runs custom code: refused."""
    return call.refuse("runs code that cannot be inspected", "use stock Keras layers or keras.ops instead")


def sum_pooling(call: LayerCall) -> Value:
    """keras.ops.sum of channels is kept; over the map it is the mean, times the number of cells of the native map."""
    value = call.value
    if value.channel_axis and axes_of(call.layer, len(value.shape) + 1) == {value.channel_axis}:
        return reduction(call)
    if call.flows_back:
        return whole_image(call)
    pooled = pooling(call)
    cells = float(value.size[0] * value.size[1])
    tensor = call.insert("times", lambda name: keras.layers.Rescaling(cells, name=name), pooled.tensor, "_times")
    return dataclasses.replace(pooled, tensor=tensor)
