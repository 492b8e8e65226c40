"""Trace a Keras model's inference into one TensorFlow graph for images of all sizes, and digest what it computes."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.files import joint_digest
from vggfcn.graph.walking import layers_of

# Takes a stock convolution layer; returns a replacement for its `convolution_op`, or None to keep it.
Replacement = Callable[[keras.layers.Conv2D], Callable[..., Any] | None]
# Takes a replacement of convolutions; returns the function traced with it.
Traced = Callable[[Replacement], Any]
# Convolutions are replaced by setting an attribute of the layer, which must not affect another trace.
_lock = threading.Lock()


def trace(model: keras.Model, replacement: Replacement = lambda layer: None) -> Any:
    """Trace a model with one input and one output into a concrete function, for all sizes that its input leaves open.

    The function reads the model's variables when it runs. A replacement may read them when it is made.
    """
    (image,) = model.inputs
    signature = [tf.TensorSpec(image.shape, image.dtype)]

    def run(batch: Any) -> Any:
        return keras.tree.flatten(model(batch, training=False))[0]

    with replaced(layers_of(model), replacement):
        return tf.function(run, input_signature=signature).get_concrete_function()


@contextlib.contextmanager
def replaced(layers: Iterable[Any], replacement: Replacement) -> Iterator[None]:
    """Replace the convolutions among the layers while a function is traced."""
    with _lock:
        yield from _replacing([layer for layer in layers if type(layer) is keras.layers.Conv2D], replacement)


def _replacing(layers: Sequence[keras.layers.Conv2D], replacement: Replacement) -> Iterator[None]:
    try:
        for layer in layers:
            if convolution := replacement(layer):
                vars(layer)["convolution_op"] = convolution
        yield
    finally:
        for layer in layers:
            vars(layer).pop("convolution_op", None)


def digest_of(function: Any) -> str:
    """Digest a concrete function's operations and values, as hexadecimal digits; the same in every process.

    Operations are identified by position, since their names depend on what else the process has built. Attributes that
    start with an underscore are internal to TensorFlow and do not count.
    """
    places: dict[str, int] = {}
    operations = []
    for operation in function.graph.get_operations():
        attributes = [
            (name, value.SerializeToString(deterministic=True))
            for name, value in sorted(operation.node_def.attr.items())
            if not name.startswith("_")
        ]
        operations.append((operation.type, [places[tensor.name] for tensor in operation.inputs], attributes))
        places.update({tensor.name: len(places) + i for i, tensor in enumerate(operation.outputs)})
    captured = [(places[inner.name], _value(function, outer)) for outer, inner in function.graph.captures]
    outputs = [places[tensor.name] for tensor in function.outputs]
    structure = operations, outputs, [(place, array.dtype.str, array.shape) for place, array in captured]
    return joint_digest([repr(structure).encode(), *(array for _, array in captured)])


def _value(function: Any, captured: Any) -> np.ndarray:
    """The value of a captured tensor; for a captured variable, the variable's value."""
    for variable in function.graph.variables:
        if variable.handle is captured:
            return np.asarray(variable.read_value())
    return np.asarray(captured)
