"""Run a layer on some rows of a map: the schedule says how to pad them, not the layer's own `padding`."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from vggfcn.graph.copying import building_from, copy_layer, values_of
from vggfcn.graph.kernels import Kernel1D
from vggfcn.streaming.flat_graph import POINTWISE, Call, Tensor
from vggfcn.streaming.schedule import View

ops = keras.ops
PADDINGS = ("ZeroPadding2D", "Cropping2D", "Take")
# Computes rows of a layer's output from the rows of its inputs that it reads, and the views that say how to pad these.
Runner = Callable[[Sequence[Any], Sequence[View]], Any]


def unpadded(call: Call) -> Any:
    """The layer to run on rows that are padded already: the call's own, or a copy of it without padding.

    The copy shares the variables of the original.
    """
    kind = type(call.layer).__name__
    padded = call.rows != POINTWISE and kind not in (*PADDINGS, "Pad", "Conv2DTranspose")
    if padded and getattr(call.layer, "padding", "valid") != "valid":
        return _without_padding(call.layer, call.sources[0])
    return call.layer


def runner(call: Call, layer: Any) -> Runner:
    """A function that computes a call's rows with `layer`, the result of `unpadded`."""
    kind = type(call.layer).__name__
    takes_cells = kind == "Take" and call.layer.axis in (1, 2)  # By their place in the whole map.
    if call.rows == POINTWISE and not takes_cells:
        return _pointwise(call)
    if kind in PADDINGS:
        return _sliding(call, lambda x: x)
    if kind == "Pad":
        fill = call.kwargs.get("constant_values", (*call.args, None)[1])
        return _sliding(call, lambda x: x, 0 if fill is None else fill)
    if kind == "Conv2DTranspose":
        return _sliding(call, _transposed(layer))
    if layer is call.layer:
        return _sliding(call, layer)
    if kind == "AveragePooling2D":
        return _averaging(call, layer)
    return _sliding(call, layer, -math.inf if kind == "MaxPooling2D" else 0)


def _pointwise(call: Call) -> Runner:
    """For a layer that computes each row from the same row of its inputs: call it unchanged."""
    layer = call.layer
    inference = {}
    if isinstance(layer, keras.Layer) and "training" in inspect.signature(layer.call).parameters:
        inference["training"] = False

    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        inputs = iter(rows)
        args, kwargs = keras.tree.map_structure(
            lambda item: next(inputs) if isinstance(item, Tensor) else item, (call.args, call.kwargs)
        )
        return layer(*args, **{**kwargs, **inference})

    return run


def _sliding(call: Call, layer: Callable[[Any], Any], fill: float = 0) -> Runner:
    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        return layer(_padded(rows[0], views[0], call.columns, fill))

    return run


def _padded(x: Any, view: View, columns: Kernel1D, fill: float = 0) -> Any:
    """Pad rows, (1, rows, columns, channels), or crop their columns where the padding is negative."""
    left, right = max(columns.before, 0), max(columns.after, 0)
    if columns.before < 0 or columns.after < 0:
        x = x[:, :, max(-columns.before, 0) : x.shape[2] + min(columns.after, 0)]
    if not any((view.above, view.below, left, right)):
        return x
    return ops.pad(x, ((0, 0), (view.above, view.below), (left, right), (0, 0)), constant_values=fill)


def _averaging(call: Call, layer: Callable[[Any], Any]) -> Runner:
    """For average pooling, whose mean leaves out the padding."""

    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        means = layer(_padded(rows[0], views[0], call.columns))
        shares = layer(_padded(ops.ones_like(rows[0][..., :1]), views[0], call.columns))
        return means / shares

    return run


def _without_padding(layer: keras.layers.Layer, source: Tensor) -> Any:
    """A copy of the layer without padding, on the same variables."""
    copy = copy_layer(layer, padding="valid")
    if isinstance(layer, keras.Layer) and layer.weights:
        with building_from(copy, values_of(layer), share=True):
            copy.build(source.tensor.shape)
    return copy


def _transposed(layer: keras.layers.Conv2DTranspose) -> Callable[[Any], Any]:
    """A transposed convolution at stride 1, computed as a convolution with the flipped kernel."""

    def convolve(x: Any) -> Any:
        kernel = ops.transpose(ops.flip(layer.kernel, (0, 1)), (0, 1, 3, 2))
        x = ops.conv(x, kernel, 1, "valid", "channels_last", layer.dilation_rate)
        return layer.activation(x if layer.bias is None else x + layer.bias)

    return convolve
