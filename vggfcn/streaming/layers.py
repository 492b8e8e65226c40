"""How a layer runs on some rows of a map, whose padding is told instead of being the layer's own."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from vggfcn.graph.copying import building_from, copy_layer, values_of
from vggfcn.graph.kernels import Kernel1D
from vggfcn.streaming.flat_graph import STILL, Call, Tensor
from vggfcn.streaming.schedule import View

ops = keras.ops
PADDINGS = ("ZeroPadding2D", "Cropping2D", "Take")
# Makes rows of a layer's output from those of its inputs that it reads, each with its padding above and below.
Runner = Callable[[Sequence[Any], Sequence[View]], Any]


def unpadded(call: Call) -> Any:
    """The layer that is run on rows whose padding is there: the call's own, or its like without padding.

    Its variables are the layer's own: nothing is copied.
    """
    kind = type(call.layer).__name__
    padded = call.rows != STILL and kind not in (*PADDINGS, "Pad", "Conv2DTranspose")
    if padded and getattr(call.layer, "padding", "valid") != "valid":
        return _without_padding(call.layer, call.sources[0])
    return call.layer


def runner(call: Call, layer: Any) -> Runner:
    """What computes a call's rows with the layer that `unpadded` gave."""
    kind = type(call.layer).__name__
    if call.rows == STILL:
        return _by_itself(call)
    if kind in PADDINGS:
        return _sliding(call, lambda x: x)
    if kind == "Pad":
        number = call.kwargs.get("constant_values", (*call.args, None)[1])
        return _sliding(call, lambda x: x, 0 if number is None else number)
    if kind == "Conv2DTranspose":
        return _sliding(call, _turned(layer))
    if layer is call.layer:
        return _sliding(call, layer)
    if kind == "AveragePooling2D":
        return _mean(call, layer)
    return _sliding(call, layer, -math.inf if kind == "MaxPooling2D" else 0)


def _by_itself(call: Call) -> Runner:
    """A layer that makes each row from the same row of its inputs: called as it is."""
    layer = call.layer
    inference = {}
    if isinstance(layer, keras.Layer) and "training" in inspect.signature(layer.call).parameters:
        inference["training"] = False

    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        given = iter(rows)
        args, kwargs = keras.tree.map_structure(
            lambda item: next(given) if isinstance(item, Tensor) else item, (call.args, call.kwargs)
        )
        return layer(*args, **{**kwargs, **inference})

    return run


def _sliding(call: Call, layer: Callable[[Any], Any], fill: float = 0) -> Runner:
    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        return layer(_padded(rows[0], views[0], call.columns, fill))

    return run


def _padded(x: Any, view: View, columns: Kernel1D, fill: float = 0) -> Any:
    """Rows (1, rows, columns, channels) with their padding; fewer columns than none are cropped."""
    left, right = max(columns.before, 0), max(columns.after, 0)
    if columns.before < 0 or columns.after < 0:
        x = x[:, :, max(-columns.before, 0) : x.shape[2] + min(columns.after, 0)]
    if not any((view.above, view.below, left, right)):
        return x
    return ops.pad(x, ((0, 0), (view.above, view.below), (left, right), (0, 0)), constant_values=fill)


def _mean(call: Call, layer: Callable[[Any], Any]) -> Runner:
    """Of the cells that are there."""

    def run(rows: Sequence[Any], views: Sequence[View]) -> Any:
        means = layer(_padded(rows[0], views[0], call.columns))
        there = layer(_padded(ops.ones_like(rows[0][..., :1]), views[0], call.columns))
        return means / there

    return run


def _without_padding(layer: keras.layers.Layer, given: Tensor) -> Any:
    """The same layer without padding, on the same variables."""
    twin = copy_layer(layer, padding="valid")
    if isinstance(layer, keras.Layer) and layer.weights:
        with building_from(twin, values_of(layer), share=True):
            twin.build(given.tensor.shape)
    return twin


def _turned(layer: keras.layers.Conv2DTranspose) -> Callable[[Any], Any]:
    """A transposed convolution at stride 1, as the convolution with its kernel turned round that it is."""

    def convolve(x: Any) -> Any:
        kernel = ops.transpose(ops.flip(layer.kernel, (0, 1)), (0, 1, 3, 2))
        x = ops.conv(x, kernel, 1, "valid", "channels_last", layer.dilation_rate)
        return layer.activation(x if layer.bias is None else x + layer.bias)

    return convolve
