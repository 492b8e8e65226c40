"""What a network does to its images before it looks at them: flat images that get their shape, resizing and cropping.

`convert` removes these layers. The converted network takes images in their shape, and windows of the size that the last
of the layers makes.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from vggfcn.graph.layers import POINTWISE, Kind, kind_of
from vggfcn.graph.walking import graph_of, native_shape, nodes_of, order_of_inputs

RESIZING = ("Resizing", "CenterCrop")
NO_EFFECT = (Kind.DROPOUT, Kind.AUGMENTATION)


@dataclasses.dataclass(frozen=True)
class Front:
    """What happens to one input of a network first.

    - `shape`: the shape that a flat image gets, without the batch; None if the input is not a flat image.
    - `order`: the axis order of that shape, "hwc" or "chw".
    - `layers`: the layers that resize or crop the image, in order.
    - `outputs`: the ids of their output tensors.
    """

    shape: tuple[int, ...] | None = None
    order: str = "hwc"
    layers: tuple[Any, ...] = ()
    outputs: frozenset[int] = frozenset()

    def resized(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the images that the network looks at, without the batch, for images of this shape."""
        shape = self.shape or shape
        if not self.layers:
            return shape
        sides = {"h": self.layers[-1].height, "w": self.layers[-1].width}
        return tuple(sides.get(axis, length) for axis, length in zip(self.order, shape, strict=True))

    def native_shape(self, tensor: Any, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
        """The shape of the input at native size, without the batch.

        If the input is open, and the network resizes it to one size, that size will do. Raises what
        `walking.native_shape` raises.
        """
        own = tuple(tensor.shape[1:])
        if input_shape is None and None in own and len(own) == 3 and self.layers:
            input_shape = self.resized(own)
        return native_shape(tensor, input_shape)

    def applied(self, images: np.ndarray) -> Any:
        """What the layers after the front see of a batch: images (batch, rows, columns, channels), resized."""
        if self.shape is not None:
            images = images.reshape(len(images), *self.shape)
            images = images.transpose(0, 2, 3, 1) if self.order == "chw" else images
        for layer in self.layers:
            images = layer(images)
        return keras.ops.convert_to_numpy(images)


def fronts_of(graph: Any) -> list[Front]:
    """What happens to each input of a graph first."""
    order = order_of_inputs(graph)
    return [_Reader(order).front(graph, tensor) for tensor in graph.inputs]


class _Reader:
    """Follows one input as long as a single layer reads it."""

    def __init__(self, order: str):
        self.order = order
        self.shape: tuple[int, ...] | None = None
        self.layers: list[Any] = []
        self.outputs: set[int] = set()
        self.pristine = True  # No layer has changed the values yet.

    def front(self, graph: Any, tensor: Any) -> Front:
        self.flat = len(tensor.shape) == 2
        self.follow(graph, tensor)
        return Front(self.shape, self.order, tuple(self.layers), frozenset(self.outputs))

    def follow(self, graph: Any, tensor: Any) -> int | None:
        """Follow a tensor of a graph; return its place among the outputs if it reaches them, and is read by none."""
        while True:
            readers = [node for node in nodes_of(graph) if any(tensor is source for source in node.input_tensors)]
            places = [place for place, output in enumerate(graph.outputs) if output is tensor]
            if not readers and len(places) == 1:
                return places[0]
            if len(readers) != 1 or places:
                return None
            after = self.through(graph, readers[0], tensor)
            if after is None:
                return None
            tensor = after

    def through(self, graph: Any, node: Any, tensor: Any) -> Any:
        """The tensor behind one call, or None if the front ends here."""
        layer = node.operation
        if isinstance(layer, keras.Model):
            inner = graph_of(layer)
            calls = sum(other.operation is layer for other in nodes_of(graph))
            if inner is None or calls > 1 or len(inner.inputs) != 1:
                return None
            place = self.follow(inner, inner.inputs[0])
            return None if place is None else node.outputs[place]
        if len(node.outputs) != 1 or len(node.input_tensors) != 1:
            return None
        if kind_of(layer) in NO_EFFECT or self.passes(layer, node.outputs[0]):
            return node.outputs[0]
        return None

    def passes(self, layer: Any, output: Any) -> bool:
        """Whether the layer belongs to the front."""
        if self.flat and self.shape is None:
            if kind_of(layer) in (Kind.RESHAPE, Kind.AXES_OF_LENGTH_1):
                self.shape = self.image_shape(tuple(output.shape[1:]))
                return self.shape is not None or len(output.shape) == 3
            self.pristine = False
            return kind_of(layer) in POINTWISE | {Kind.MERGING}
        if self.pristine and type(layer).__name__ in RESIZING and kind_of(layer) is Kind.FIXED_SIZE:
            self.layers.append(layer)
            self.outputs.add(id(output))
            return True
        return False

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape if it is an image's, which has more than one pixel."""
        sides = [length for axis, length in zip(self.order, shape, strict=False) if axis != "c"]
        return shape if len(shape) == 3 and max(sides) > 1 else None
