"""What a conversion rule gets to see and do: one call of one layer, and the values that go into it."""

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

import keras

from vggfcn.errors import ConversionError
from vggfcn.layer_copies import complete, copy_layer, sublayers, taking_over, values_of

ONE = (Fraction(1), Fraction(1))


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the converted network, and what it stands for in the original at native size.

    There it is a map of `size` rows and columns and `channels`, which the original may hold in another `shape`
    (without the batch), such as unrolled by Flatten: then `order` says in which order. The tensor itself is a map
    whose rows and columns grow with the picture: channels last, but where the original has a channels-first map.
    `stride` is the distance of neighbouring cells in input pixels. A `whole` value is one answer for the whole
    picture, kept as context; its tensor has the original's shape.
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
        return self.shape == in_order(self.size, self.channels, self.order)

    @property
    def channels_last(self) -> bool:
        """Whether the last axis of the original's tensor is the channels: of each place, or of the only one."""
        alone = self.size == (1, 1)
        return self.shape[-1] == self.channels and (alone or (len(self.shape) > 1 and self.order == "hwc"))


def in_order(size: tuple[Any, ...], channels: int, order: str) -> tuple[Any, ...]:
    """The shape of a map with its axes in the order "hwc" or "chw"."""
    return (*size, channels) if order == "hwc" else (channels, *size)


def out_of_order(shape: tuple[int, ...], order: str) -> tuple[tuple[int, int], int]:
    """The size and the channels of a map of that shape."""
    rows, columns, channels = (shape[order.index(axis)] for axis in "hwc")
    return (rows, columns), channels


def native_shape(tensor: Any, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of an input at native size, without the batch; what the model leaves open is taken from `input_shape`.

    Raises `ConversionError` if the two do not go together, or leave something open.
    """
    own = tuple(tensor.shape[1:])
    if not 1 <= len(own) <= 3:
        raise ConversionError(f"{tensor.name}: expected pictures or vectors, got an input of shape {own}")
    shape = tuple(input_shape) if input_shape is not None and (None in own or len(own) == len(input_shape)) else own
    if len(shape) != len(own) or any(mine not in (None, given) for mine, given in zip(own, shape, strict=True)):
        raise ConversionError(f"{tensor.name}: input_shape {shape} does not fit the model's input, {own}")
    if None in shape:
        raise ConversionError(
            f"{tensor.name}: the input {own} leaves the native size open; say at which size the network is a "
            "classifier, such as input_shape=(224, 224, 3)"
        )
    return shape


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one layer: classes (or what was done), shapes with the batch, and its number of parameters."""

    path: str
    before: str
    after: str
    shape_before: tuple[Any, ...]
    shape_after: tuple[Any, ...]
    parameters: int


@dataclasses.dataclass
class Site:
    """One call of one layer: `args` and `kwargs` with `Value`s in the places of tensors, `shape` of its output.

    `flows_back` says whether a map is computed from the output further on; `became` is what rules have made of it.
    """

    layer: Any
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    flows_back: bool
    keep_global: bool
    workshop: "Workshop"
    became: list[str] = dataclasses.field(default_factory=list)

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

    def refusal(self, reason: str, way_out: str) -> str:
        """What is said when the layer is refused."""
        return f"{self.title}: {reason}; {way_out}"

    def refuse(self, reason: str, way_out: str) -> NoReturn:
        """Raise a `ConversionError` that names the layer."""
        raise ConversionError(self.refusal(reason, way_out))

    def keep(self, changes: dict[str, Any] | None = None, *, tensors: list[Any] | None = None) -> Any:
        """The output of the same layer, its configuration changed as `changes` say, on other tensors if given."""
        changes = changes or {}
        self.became.append("kept" + "".join(f", {name}={value}" for name, value in changes.items()))
        given = iter(tensors or [value.tensor for value in self.values])
        args, kwargs = keras.tree.map_structure(
            lambda item: next(given) if isinstance(item, Value) else item, (self.args, self.kwargs)
        )
        return self.workshop.call(self.workshop.copy(self.layer, changes), *args, **kwargs)

    def replace(self, kind: str, make: Callable[[str], Any], tensor: Any, values: dict[str, Any] | None = None) -> Any:
        """The output of another layer in this one's place: `make` gives it a name."""
        self.became.append(kind)
        return self.workshop.call(self.workshop.new(self.layer, kind, make, values or {}), tensor)


class Workshop:
    """Makes a graph's new layers: each once, however often it is called, and under a name of its own."""

    def __init__(self, share_weights: bool, made: dict[Any, Any]):
        self.share_weights = share_weights
        # By what they are made from; the graphs of nested models have this in common.
        self.made = made
        self.names: dict[str, Any] = {}

    def copy(self, layer: keras.layers.Layer, changes: dict[str, Any]) -> "_Made":
        """The copy of a layer, with such changes."""

        def make(name: str) -> Any:
            if self.share_weights and not changes and has_weights(layer) and sublayers(layer):
                return layer
            return copy_layer(layer, **changes, **({} if name == layer.name else {"name": name}))

        return self.new(layer, str(changes), make, values_of(layer) if has_weights(layer) else {}, original=layer)

    def new(
        self,
        layer: keras.layers.Layer,
        kind: str,
        make: Callable[[str], Any],
        values: Mapping[Any, Any],
        original: keras.layers.Layer | None = None,
        suffix: str = "",
    ) -> "_Made":
        """A layer in the place of another, which is called with `call`; `suffix` sets its name apart."""
        key = id(layer), kind
        if key not in self.made:
            self.made[key] = _Made(make(self._free(layer.name + suffix)), values, original)
        made: _Made = self.made[key]
        self.names[made.layer.name] = made.layer
        return made

    def _free(self, name: str) -> str:
        while name in self.names:
            name += "_again"
        return name

    def call(self, made: "_Made", *args: Any, **kwargs: Any) -> Any:
        """Call the layer; the first time, its variables come into being with their values."""
        if made.done or not made.values:
            return made.layer(*args, **kwargs)
        made.done = True
        with taking_over(made.layer, made.values, self.share_weights):
            output = made.layer(*args, **kwargs)
        if made.original is not None:
            complete(made.layer, made.original)
        return output


@dataclasses.dataclass
class _Made:
    layer: Any
    values: Mapping[Any, Any]
    original: Any
    done: bool = False


def has_weights(layer: keras.layers.Layer) -> bool:
    """Whether it is a layer, rather than an operation, and has variables."""
    return isinstance(layer, keras.Layer) and bool(layer.weights)
