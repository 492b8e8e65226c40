"""Build layers only as large as the arrays that a file has for them, and models only of images that people have."""

import collections
import contextlib
import math
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from vggfcn.checkpoints.tensors import Shape
from vggfcn.graph.walking import graph_of, nodes_of

# Numbers that a layer may give for one image of the size that the model states: 2 GiB of float32. VGG16's first layers
# give as many for an image of 2900 x 2900 pixels.
MOST_NUMBERS = 1 << 29
# Keras's own method is replaced meanwhile, and two who do so at once would restore each other's.
_ONE_AT_A_TIME = threading.RLock()


class NoSuchArrayError(Exception):
    """A layer asks for a variable whose array is not in the file."""


@contextlib.contextmanager
def bounded_by(shapes: Iterable[Shape]) -> Iterator[None]:
    """In this thread, layers get variables of these shapes alone, each as often as it is listed, filled with zeros.

    A variable of any other shape raises `NoSuchArrayError`, which names the layer, before memory is allocated. The
    values are to be replaced by those of the file. Another thread waits here until the block ends.
    """
    with _ONE_AT_A_TIME:
        yield from _bounded_by(shapes)


def _bounded_by(shapes: Iterable[Shape]) -> Iterator[None]:
    left = collections.Counter(map(tuple, shapes))
    thread, add_weight = threading.get_ident(), keras.layers.Layer.add_weight

    def add_stored_weight(layer: Any, shape: Any = None, initializer: Any = None, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return add_weight(layer, shape, initializer, *args, **kwargs)
        wanted = tuple(shape) if isinstance(shape, list | tuple) else () if shape is None else (shape,)
        if not left[wanted]:
            raise NoSuchArrayError(
                f"{layer.name} ({type(layer).__name__}): its configuration asks for an array {wanted} for "
                f"{kwargs.get('name', 'a variable')!r}, which the file does not have"
            )
        left[wanted] -= 1
        return add_weight(layer, shape, "zeros", *args, **kwargs)

    keras.layers.Layer.add_weight = add_stored_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight


def excessive_output(model: keras.Model) -> str:
    """The first layer that would take memory without bounds at the model's own input size, in words; "" if none does.

    Arrays do not bound what layers without arrays give: padding, upsampling, or an input of any size.
    """
    return _excess_within(model, "", set())


def _excess_within(model: keras.Model, path: str, seen: set[int]) -> str:
    graph = graph_of(model)
    if graph is None or id(model) in seen:
        return ""
    seen.add(id(model))
    for tensor in graph.inputs:
        if problem := _excess(tensor, f"{path}the input"):
            return problem
    for node in nodes_of(graph):
        layer = node.operation
        if isinstance(layer, keras.Model) and (problem := _excess_within(layer, f"{path}{layer.name}/", seen)):
            return problem
        for tensor in node.outputs:
            if problem := _excess(tensor, f"{path}{layer.name} ({type(layer).__name__})"):
                return problem
    return ""


def _excess(tensor: Any, name: str) -> str:
    numbers = math.prod(size or 1 for size in tensor.shape[1:])
    shape = " x ".join("any" if size is None else f"{size:,}" for size in tensor.shape[1:])
    return f"{name} has {shape} numbers for one image, over {MOST_NUMBERS:,}" if numbers > MOST_NUMBERS else ""
