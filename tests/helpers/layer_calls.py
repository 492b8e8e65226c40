"""A layer's call as a conversion rule gets it, without a network around it."""

import keras

from vggfcn.conversion.call import LayerCall, Value, map_shape
from vggfcn.graph.copying import LayerFactory


def map_value(size, channels, order="hwc", *, shape=None, **fields):
    """A map of that size in the original, which holds it in `shape`; its tensor is a map unless it has one value."""
    native = map_shape(size, channels, order)
    is_first = order == "chw" and shape is None
    tensor = keras.Input(map_shape((None, None), channels, "chw" if is_first else "hwc"))
    return Value(tensor, shape or native, size, channels, order, **fields)


def call_of(layer, *values, keep_global=False, flows_back=False):
    """The call of a layer on these values; `shape` is what Keras says of the original's tensors."""
    inputs = [keras.KerasTensor((None, *value.shape)) for value in values]
    inputs = inputs[0] if len(values) == 1 else inputs
    shape = tuple(layer.compute_output_spec(inputs).shape[1:])
    args = (values[0],) if len(values) == 1 else (list(values),)
    if isinstance(layer, keras.Layer) and not layer.built:
        layer(inputs)
    factory = LayerFactory(share_weights=False, made={})
    return LayerCall(layer, layer.name, args, {}, shape, flows_back, keep_global, factory)
