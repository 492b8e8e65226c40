"""A Keras model's inference as one TensorFlow graph for images of all sizes, and a digest of what it computes."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.files import joint_digest
from vggfcn.graph.walking import layers_of

# Called with a stock convolution; gives what is to stand in for its `convolution_op`, or None to leave it as it is.
Replacement = Callable[[keras.layers.Conv2D], Callable[..., Any] | None]
# Gives a concrete function, with what the replacement makes of its convolutions.
Traced = Callable[[Replacement], Any]
# A convolution is replaced by an attribute of the layer, which another trace must not meet.
_lock = threading.Lock()


def trace(model: keras.Model, replacement: Replacement = lambda layer: None) -> Any:
    """The concrete function of a model of one input and one output, for every size that its input leaves open.

    Variables are read when it runs; what a replacement makes of them is its own affair.
    """
    (given,) = model.inputs
    signature = [tf.TensorSpec(given.shape, given.dtype)]

    def run(batch: Any) -> Any:
        return keras.tree.flatten(model(batch, training=False))[0]

    with replaced(layers_of(model), replacement):
        return tf.function(run, input_signature=signature).get_concrete_function()


@contextlib.contextmanager
def replaced(layers: Iterable[Any], replacement: Replacement) -> Iterator[None]:
    """While a function is traced, what a replacement gives stands in for the convolutions among the layers."""
    with _lock:
        yield from _standing_in([layer for layer in layers if type(layer) is keras.layers.Conv2D], replacement)


def _standing_in(layers: Sequence[keras.layers.Conv2D], replacement: Replacement) -> Iterator[None]:
    try:
        for layer in layers:
            if stand_in := replacement(layer):
                vars(layer)["convolution_op"] = stand_in
        yield
    finally:
        for layer in layers:
            vars(layer).pop("convolution_op", None)


def digest_of(function: Any) -> str:
    """What a concrete function computes and with which values, in hexadecimal digits; the same in every process.

    Operations go by their place, since their names depend on what else the process has built; attributes that begin
    with an underscore are TensorFlow's notes to itself.
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
    for variable in function.graph.variables:
        if variable.handle is captured:
            return np.asarray(variable.read_value())
    return np.asarray(captured)
