"""Build layers only as large as the arrays that a file has for them."""

import collections
import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from vggfcn.checkpoints.tensors import Shape


class NoSuchArrayError(Exception):
    """A layer asks for a variable whose array is not in the file."""


@contextlib.contextmanager
def bounded_by(shapes: Iterable[Shape]) -> Iterator[None]:
    """In this thread, layers get variables of these shapes alone, each as often as it is listed, filled with zeros.

    A variable of any other shape raises `NoSuchArrayError`, which names the layer, before memory is allocated. The
    values are to be replaced by those of the file.
    """
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
