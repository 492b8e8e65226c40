"""What a conversion rule gets to see and do: one call of one layer, and the values that go into it."""

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
    """A tensor of the converted network, and what it stands for in the original at native size.

    There it is a map of `size` rows and columns and `channels`, which the original may hold in another `shape`
    (without the batch), such as unrolled by Flatten: then `order` says in which order. The tensor itself is a map
    whose rows and columns grow with the image: channels last, but where the original has a channels-first map.
    `stride` is the distance of neighbouring cells in input pixels. A `whole` value is one answer for the whole
    image, kept as context; its tensor has the original's shape.
    """

    tensor: Any
    shape: tuple[int, ...]
    size: tuple[int, int]
    channels: int
    order: str = "hwc"
    stride: tuple[Fraction, Fraction] = ONE
    whole: bool = False

    @property
    def is_map(self) -> bool:
        """Whether the original has it as a map too: (rows, columns, channels), or channels first."""
        return self.shape == map_shape(self.size, self.channels, self.order)

    @property
    def channel_axis(self) -> int | None:
        """The axis of the channels in the original's tensor, the batch counted; None if it has no such axis."""
        if self.channels_last:
            return len(self.shape)
        return 1 + self.order.index("c") if self.is_map else None

    @property
    def channels_last(self) -> bool:
        """Whether the last axis of the original's tensor is the channels: of each place, or of the only one."""
        alone = self.size == (1, 1)
        return self.shape[-1] == self.channels and (alone or (len(self.shape) > 1 and self.order == "hwc"))


def map_shape(size: tuple[Any, ...], channels: int, order: str) -> tuple[Any, ...]:
    """The shape of a map with its axes in the order "hwc" or "chw"."""
    return (*size, channels) if order == "hwc" else (channels, *size)


def split_shape(shape: tuple[int, ...], order: str) -> tuple[tuple[int, int], int]:
    """The size and the channels of a map of that shape."""
    rows, columns, channels = (shape[order.index(axis)] for axis in "hwc")
    return (rows, columns), channels


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What became of one layer: classes (or what was done), shapes with the batch, and its number of parameters.

    `changed` is False if the layer is there as it was. `whole_image` is True if it is kept as context of the whole
    image.
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
    """One call of one layer: `args` and `kwargs` with `Value`s in the places of tensors, `shape` of its output.

    `flows_back` says whether a map is computed from the output further on; `became` is what rules have made of it, as a
    report says it; `changed` and `whole_image` are as in that report.
    """

    layer: Any
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    flows_back: bool
    keep_global: bool
    factory: LayerFactory
    became: list[str] = dataclasses.field(default_factory=list)
    changed: bool = False
    whole_image: bool = False

    @property
    def values(self) -> list[Value]:
        """What flows in, in order."""
        return [value for value in keras.tree.flatten((self.args, self.kwargs)) if isinstance(value, Value)]

    @property
    def value(self) -> Value:
        """What flows in, for layers with one input."""
        if len(self.values) != 1:
            self.refuse(f"has {len(self.values)} inputs where one is expected", "leave it out of the network")
        return self.values[0]

    @property
    def title(self) -> str:
        """The layer's name and class, as messages have them."""
        return f"{self.path} ({type(self.layer).__name__})"

    def refusal(self, reason: str, hint: str) -> str:
        """What is said when the layer is refused."""
        return f"{self.title}: {reason}; {hint}"

    def refuse(self, reason: str, hint: str) -> NoReturn:
        """Raise a `ConversionError` that names the layer."""
        raise ConversionError(self.refusal(reason, hint))

    def keep(self, changes: dict[str, Any] | None = None, *, tensors: list[Any] | None = None) -> Any:
        """The output of the same layer, its configuration changed as `changes` say, on other tensors if given."""
        changes = changes or {}
        self.changed |= bool(changes)
        self.became.append("kept" + "".join(f", {name}={value}" for name, value in changes.items()))
        given = iter(tensors or [value.tensor for value in self.values])
        args, kwargs = keras.tree.map_structure(
            lambda item: next(given) if isinstance(item, Value) else item, (self.args, self.kwargs)
        )
        return self.factory.call(self.factory.copy(self.layer, changes), *args, **kwargs)

    def keep_as_context(self, changes: dict[str, Any] | None = None) -> Any:
        """What `keep` gives, of a layer that takes the whole image into account."""
        tensor = self.keep(changes)
        self.became.append("whole image")
        self.changed = self.whole_image = True
        return tensor

    def replace(self, kind: str, make: Callable[[str], Any], tensor: Any, values: dict[str, Any] | None = None) -> Any:
        """The output of another layer in this one's place: `make` gives it a name."""
        self.changed = True
        self.became.append(kind)
        return self.factory.call(self.factory.new(self.layer, kind, make, values or {}), tensor)

    def report(self, value: Value) -> LayerReport:
        """What became of the layer, whose output is `value` now."""
        return LayerReport(
            path=self.path,
            before=type(self.layer).__name__,
            after=" + ".join(self.became) or "dropped",
            shape_before=(None, *self.shape),
            shape_after=tuple(value.tensor.shape),
            parameters=self.layer.count_params() if isinstance(self.layer, keras.Layer) else 0,
            changed=self.changed or not self.became,
            whole_image=self.whole_image,
        )
