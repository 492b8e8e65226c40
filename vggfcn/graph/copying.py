"""Copies of Keras layers that take over the original's values: no random initialisation, no second copy in memory."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from vggfcn.graph.walking import layers_of


def copy_layer(layer: keras.layers.Layer, **changes: Any) -> Any:
    """A new layer (or operation) of the same class and configuration but for `changes`; without variables yet."""
    config = {**layer.get_config(), **changes}
    # A function that is passed as such need not be registered anywhere.
    if callable(getattr(layer, "activation", None)) and "activation" in config and "activation" not in changes:
        config["activation"] = layer.activation
    return type(layer).from_config(config)


def values_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """The layer's own variables by name."""
    return {variable.name: variable for variable in layer.weights}


@contextlib.contextmanager
def building_from(layer: keras.layers.Layer, values: Mapping[str, Any], *, share: bool = False) -> Iterator[None]:
    """While it lasts, the variables that `layer` makes get these values by name, instead of random ones first.

    `values` are variables, tensors or arrays with as many elements; None, or a name that is not there, leaves a
    variable as its initializer makes it. A layer that does not name its only variable gets the only value.

    A variable made so reads the memory of the one it comes from until one of the two is trained or assigned to:
    TensorFlow copies on write. With `share` it is that very variable, provided that the shape is the same. The layer's
    configuration, and so a saved model, knows nothing of the values.
    """
    layer.add_weight = _VariableMaker(layer.add_weight, values, share)
    try:
        yield
    finally:
        del layer.add_weight


@dataclasses.dataclass
class _VariableMaker:
    """Stands in for a layer's `add_weight`."""

    add_weight: Callable[..., Any]
    values: Mapping[str, Any]
    share: bool

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        source = self.source(arguments.get("name"))
        if source is None:
            return self.add_weight(*args, **arguments)
        shape = tuple(arguments["shape"] if "shape" in arguments else args[0])
        if self.share and isinstance(source, keras.Variable) and tuple(source.shape) == shape:
            return source
        arguments["initializer"] = lambda shape, dtype: tf.cast(tf.reshape(tensor_of(source), shape), dtype)
        return self.add_weight(*args, **arguments)

    def source(self, name: str | None) -> Any:
        if name is None:
            return next(iter(self.values.values())) if len(self.values) == 1 else None
        return self.values.get(name)


def tensor_of(value: Any) -> Any:
    """A variable's value as a tensor that reads the variable's memory; a tensor as it is."""
    return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)


def complete(layer: keras.layers.Layer, original: Any) -> None:
    """Give the variables that sublayers made the values they have in the original layer."""
    if layer is original or not sublayers(original):
        return
    for variable, source in zip(layer.weights, original.weights, strict=True):
        variable.assign(source)


def sublayers(layer: keras.layers.Layer) -> bool:
    """Whether some variables belong to layers inside this one."""
    return any(inner is not layer for inner in layers_of(layer))


class LayerFactory:
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
        values: Mapping[str, Any],
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
        with building_from(made.layer, made.values, share=self.share_weights):
            output = made.layer(*args, **kwargs)
        if made.original is not None:
            complete(made.layer, made.original)
        return output


@dataclasses.dataclass
class _Made:
    layer: Any
    values: Mapping[str, Any]
    original: Any
    done: bool = False


def has_weights(layer: keras.layers.Layer) -> bool:
    """Whether it is a layer, rather than an operation, and has variables."""
    return isinstance(layer, keras.Layer) and bool(layer.weights)
