"""What a network does to its input before its first layer with a kernel: whether it takes pixels from 0 to 255."""

import dataclasses
from typing import Any

import keras
import numpy as np

from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.walking import graph_of, nodes_of

# Layers and operations that prepare an image. Batch normalisation is not among them: its statistics are trained, so it
# may follow any range.
_PREPARING = {
    *(Kind.POINTWISE_LAYER, Kind.ARITHMETIC, Kind.DROPOUT, Kind.AUGMENTATION, Kind.MERGING),
    *(Kind.GET_ITEM, Kind.TAKE, Kind.SPLIT, Kind.STACK, Kind.REARRANGING, Kind.RESHAPE, Kind.AXES_OF_LENGTH_1),
    *(Kind.PERMUTE, Kind.FIXED_SIZE),
}
# The side of a test image where the network leaves it open.
_SIDE = 16
# A network that divides pixels by at least this, or shifts them by at least this, was made for pixels from 0 to 255.
_LEAST = 16
# The greys of the test images, closer together where layers made for [0, 1] would cut values off or bend them.
_GREYS = (0, 1, 4, 16, 64, 240, 255)
_TAKES_PIXELS = "_vggfcn_takes_pixels"


@dataclasses.dataclass(frozen=True)
class Prologue:
    """What reaches the first layer with a kernel for images of one grey, and the layers in between.

    - `greys`: float64 (greys, channels) for the greys of `_GREYS`; None if nothing changes the image's values.
    - `layers`: the names of the layers that change it.
    """

    greys: np.ndarray | None
    layers: tuple[str, ...]

    @property
    def black(self) -> np.ndarray | None:
        """What becomes of a black image, float64 (channels,)."""
        return None if self.greys is None else self.greys[0]

    @property
    def white(self) -> np.ndarray | None:
        """What becomes of a white image, float64 (channels,)."""
        return None if self.greys is None else self.greys[-1]

    @property
    def takes_pixels(self) -> bool:
        """Whether the network takes pixels from 0 to 255, because it scales or shifts them as only those need it.

        A layer such as Normalization(mean=0.485, variance=0.0524) does not prove it: it was made for [0, 1]. Nor does
        one that cuts values off or bends them, such as clip(x, 0, 1): all steps from grey to grey must be such steps.
        """
        scale, fits = self._steps()
        return bool(scale.size and (scale > 0).all() and fits.all())

    @property
    def takes_another_range(self) -> bool:
        """Whether the network was made for smaller values, because it scales or shifts them as pixels do not need it.

        A layer that gives 0 for all greys, such as the hue of `rgb_to_hsv`, says nothing.
        """
        return not self._steps()[1].all()

    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """The change of a value per change of grey, (steps, channels), and whether that is one as pixels need it."""
        if self.greys is None or not np.isfinite(self.greys).all():
            return np.empty(0), np.empty(0, bool)
        scale = np.abs(np.diff(self.greys, axis=0)) / np.diff(_GREYS)[:, None]
        shifted = np.isclose(scale, 1, rtol=0.5) & (np.abs(self.greys[:1]) >= _LEAST)
        return scale, (scale <= 1 / _LEAST) | shifted


def takes_pixels(model: keras.Model) -> bool:
    """Whether a model prepares pixels from 0 to 255 itself; the answer is kept with the model."""
    known: dict[str, bool] = vars(model)
    if _TAKES_PIXELS not in known:
        known[_TAKES_PIXELS] = prologue(model).takes_pixels
    return known[_TAKES_PIXELS]


def prologue(model: keras.Model) -> Prologue:
    """Find the layers that prepare the image, in nested models too, and what they make of black and white.

    Only models with one input that is an image have a prologue. Layers without a fixed effect, such as convolutions,
    pooling and batch normalisation, end it. If several branches prepare the image differently, it has none.
    """
    graph = graph_of(model)
    if graph is None or len(graph.inputs) != 1 or len(graph.inputs[0].shape) < 2:
        return Prologue(None, ())
    shape = [side or _SIDE for side in graph.inputs[0].shape[1:]]
    probe = np.stack([np.full(shape, grey, np.float32) for grey in _GREYS])
    walk = _Walk()
    walk.run(graph, [probe])
    reached = [values for values in walk.reached if len(values) == len(probe) and values.ndim == probe.ndim]
    changed = [values for values in reached if values.shape != probe.shape or not np.array_equal(values, probe)]
    if not changed or len(changed) < len(reached) or not walk.layers:
        return Prologue(None, ())
    branches = [_per_channel(values) for values in changed]
    if any(not np.array_equal(branch, branches[0]) for branch in branches):
        return Prologue(None, ())
    return Prologue(branches[0], tuple(dict.fromkeys(walk.layers)))


def _per_channel(images: np.ndarray) -> np.ndarray:
    """The value of each channel at the centre of images that have one colour each: float64 (images, channels)."""
    for axis in range(1, images.ndim - 1):
        images = images.take([images.shape[axis] // 2], axis)
    return images.reshape(len(images), -1).astype(np.float64)


class _Walk:
    """Runs the preparing layers of a graph; `reached` are the arrays that other layers get."""

    def __init__(self) -> None:
        self.reached: list[np.ndarray] = []
        self.layers: list[str] = []

    def run(self, graph: Any, inputs: list[Any]) -> list[Any]:
        """The graph's outputs as arrays, None where they depend on other layers."""
        values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
        for node in nodes_of(graph):
            given = [values.get(id(tensor)) for tensor in node.input_tensors]
            outputs = self.visit(node, given) if any(value is not None for value in given) else None
            known = outputs or [None] * len(node.outputs)
            values.update({id(output): value for output, value in zip(node.outputs, known, strict=True)})
        return [values.get(id(tensor)) for tensor in graph.outputs]

    def visit(self, node: Any, given: list[Any]) -> list[Any] | None:
        layer = node.operation
        if isinstance(layer, keras.Model) and (graph := graph_of(layer)):
            return self.run(graph, given)
        if any(value is None for value in given) or not _prepares(layer):
            self.reached += [value for value in given if value is not None]
            return None
        args, kwargs = node.arguments.fill_in(
            {id(tensor): value for tensor, value in zip(node.input_tensors, given, strict=True)}
        )
        kwargs.pop("training", None)
        outputs = [np.asarray(value) for value in keras.tree.flatten(layer(*args, **kwargs))]
        if not (len(outputs) == len(given) == 1 and np.array_equal(outputs[0], given[0])):
            self.layers.append(layer.name)
        return outputs


def _prepares(layer: Any) -> bool:
    return kind_of(layer) in _PREPARING or (kind_of(layer) is not None and type(layer).__name__ == "Normalization")
