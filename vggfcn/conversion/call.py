"""One call of a layer during conversion: the values that flow in, and what a rule can do with the layer."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

import keras

from vggfcn.errors import ConversionError
from vggfcn.graph.copying import LayerFactory

ONE = (Fraction(1), Fraction(1))


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the converted network, and the tensor of the original network that it stands for.

    - `tensor`: a map whose rows and columns grow with the image. It is channels last, unless the original has a
      channels-first map here.
    - `shape`: the original's shape at native size, without the batch. Layers such as Flatten change it.
    - `size`, `channels`: the rows and columns, and the channels, of the original's map at native size.
    - `order`: "hwc" or "chw", the order in which the original holds the map's numbers.
    - `stride`: the distance (rows, columns) between neighbouring cells in pixels of the input.
    - `is_context`: whether it is a single value for the whole image, kept as context; then `tensor` has the original's
      shape.
    """

    tensor: Any
    shape: tuple[int, ...]
    size: tuple[int, int]
    channels: int
    order: str = "hwc"
    stride: tuple[Fraction, Fraction] = ONE
    is_context: bool = False

    @property
    def is_map(self) -> bool:
        """Whether the original's tensor is a map too: (rows, columns, channels), or channels first."""
        return self.shape == map_shape(self.size, self.channels, self.order)

    @property
    def channel_axis(self) -> int | None:
        """The channel axis of the original's tensor, where the batch is axis 0; None if it has none."""
        if self.channels_last:
            return len(self.shape)
        return 1 + self.order.index("c") if self.is_map else None

    @property
    def channels_last(self) -> bool:
        """Whether the last axis of the original's tensor is the channels."""
        if not self.shape or self.shape[-1] != self.channels:
            return False
        return self.size == (1, 1) or (len(self.shape) > 1 and self.order == "hwc")

    @property
    def is_flattened(self) -> bool:
        """Whether the original's tensor holds a map of several cells as one vector."""
        return len(self.shape) == 1 and self.size != (1, 1)


def map_shape(size: tuple[Any, ...], channels: int, order: str) -> tuple[Any, ...]:
    """The shape of a map in the order "hwc" or "chw", without the batch."""
    return (*size, channels) if order == "hwc" else (channels, *size)


def split_shape(shape: tuple[int, ...], order: str) -> tuple[tuple[int, int], int]:
    """The size (rows, columns) and the channels of a map of this shape."""
    rows, columns, channels = (shape[order.index(axis)] for axis in "hwc")
    return (rows, columns), channels


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What the conversion did to one layer.

    - `path`: its name, after the names of the nested models around it.
    - `before`, `after`: its class, and what replaces it: "kept", a class, or "dropped".
    - `shape_before`, `shape_after`: the shape of its output before and after, with the batch.
    - `parameters`: its number of parameters.
    - `changed`: False if the layer was kept as it was.
    - `whole_image`: True if the layer was kept although it depends on the whole image.
    """

    path: str
    before: str
    after: str
    shape_before: tuple[Any, ...]
    shape_after: tuple[Any, ...]
    parameters: int
    changed: bool
    whole_image: bool


@dataclasses.dataclass
class LayerCall:
    """One call of one layer, as a rule sees it.

    - `layer`, `path`: the layer, and its name after the names of the nested models around it.
    - `args`, `kwargs`: its arguments, in which a `Value` stands for each tensor.
    - `shape`: the shape of its output in the original network at native size, without the batch.
    - `flows_back`: whether a map is computed from the output later on.
    - `keep_global`: whether layers that depend on the whole image may be kept.
    - `factory`: makes the new layers.
    - `shapes`: the shapes of all its outputs, if there are several.
    - `at_input`: whether it resizes or crops the images before anything else looks at them.
    - `notes`: what its conversion drops or assumes.
    - `actions`, `changed`, `whole_image`: what rules have done to the layer so far, for its report.
    """

    layer: Any
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    flows_back: bool
    keep_global: bool
    factory: LayerFactory
    shapes: tuple[tuple[int, ...], ...] = ()
    at_input: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    actions: list[str] = dataclasses.field(default_factory=list)
    changed: bool = False
    whole_image: bool = False

    @property
    def values(self) -> list[Value]:
        """The values that flow in, in order."""
        return [value for value in keras.tree.flatten((self.args, self.kwargs)) if isinstance(value, Value)]

    @property
    def value(self) -> Value:
        """The value that flows in, for layers with one input."""
        if len(self.values) != 1:
            self.refuse(f"expected one input, got {len(self.values)}", "remove the layer")
        return self.values[0]

    @property
    def title(self) -> str:
        """The layer's name and class, for messages."""
        return f"{self.path} ({type(self.layer).__name__})"

    def refusal(self, reason: str, hint: str) -> str:
        """The message of a refusal: the layer, the reason, and what to do next."""
        return f"{self.title}: {reason}; {hint}"

    def refuse(self, reason: str, hint: str) -> NoReturn:
        """Raise a `ConversionError` that names the layer."""
        raise ConversionError(self.refusal(reason, hint))

    def note(self, text: str) -> None:
        """Note what the conversion of this layer drops or assumes."""
        self.notes.append(f"{self.title}: {text}")

    def keep(self, changes: dict[str, Any] | None = None, *, tensors: list[Any] | None = None) -> Any:
        """Call a copy of the layer, with `changes` to its configuration, and return its output.

        It is called on the tensors of the values that flow in, unless there are other `tensors`.
        """
        changes = changes or {}
        self.changed |= bool(changes)
        self.actions.append("kept" + "".join(f", {name}={value}" for name, value in changes.items()))
        inputs = iter(tensors or [value.tensor for value in self.values])
        args, kwargs = keras.tree.map_structure(
            lambda item: next(inputs) if isinstance(item, Value) else item, (self.args, self.kwargs)
        )
        return self.factory.call(self.factory.copy(self.layer, changes), *args, **kwargs)

    def keep_as_context(self, changes: dict[str, Any] | None = None) -> Any:
        """Like `keep`, for a layer that depends on the whole image."""
        tensor = self.keep(changes)
        self.actions.append("whole image")
        self.changed = self.whole_image = True
        return tensor

    def replace(self, kind: str, make: Callable[[str], Any], tensor: Any, values: dict[str, Any] | None = None) -> Any:
        """Call another layer in place of this one and return its output.

        - `kind`: describes the new layer in the report.
        - `make`: makes it under a given name.
        - `tensor`: its input.
        - `values`: the values of its variables by name, if it has any.
        """
        self.changed = True
        self.actions.append(kind)
        return self.factory.call(self.factory.new(self.layer, kind, make, values or {}), tensor)

    def insert(self, kind: str, make: Callable[[str], Any], inputs: Any, suffix: str, *args: Any) -> Any:
        """Call a new layer beside the one that takes this layer's place, under its name with a suffix."""
        self.changed = True
        self.actions.append(kind)
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(inputs)]
        made = self.factory.new(self.layer, f"{kind} {shapes}", make, {}, suffix=suffix)
        return self.factory.call(made, inputs, *args)

    def report(self, value: Value) -> LayerReport:
        """Report what was done to the layer; `value` is its output now."""
        return LayerReport(
            path=self.path,
            before=type(self.layer).__name__,
            after=" + ".join(self.actions) or "dropped",
            shape_before=(None, *self.shape),
            shape_after=tuple(value.tensor.shape),
            parameters=self.layer.count_params() if isinstance(self.layer, keras.Layer) else 0,
            changed=self.changed or not self.actions,
            whole_image=self.whole_image,
        )
