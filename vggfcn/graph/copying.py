"""Copy Keras layers with their weights, without random initialisation or a second copy in memory."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from vggfcn.graph.walking import layers_of


def copy_layer(layer: keras.layers.Layer, **changes: Any) -> Any:
    """Make a layer (or operation) of the same class and configuration, except for `changes`, without variables."""
    config = {**layer.get_config(), **changes}
    # A custom activation need not be registered with Keras: pass the function itself.
    if callable(getattr(layer, "activation", None)) and "activation" in config and "activation" not in changes:
        config["activation"] = layer.activation
    return type(layer).from_config(config)


def values_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """The layer's variables by name."""
    return {variable.name: variable for variable in layer.weights}


@contextlib.contextmanager
def building_from(layer: keras.layers.Layer, values: Mapping[str, Any], *, share: bool = False) -> Iterator[None]:
    """Give the variables that `layer` creates inside this context the values of the same names.

    - `layer`: a layer that has not been built.
    - `values`: variables, tensors or arrays by the name of the variable. They may have another shape, but must have
      the same number of elements. Where the value is None or missing, the layer's initializer runs as usual. If the
      layer does not name its only variable, it gets the only value.
    - `share`: use the variable in `values` itself, provided that it has the right shape.

    Without `share`, the new variable reads the memory of its source until one of the two is trained or assigned to:
    TensorFlow copies on write. The values do not become part of the layer's configuration, nor of a saved model.
    """
    layer.add_weight = _VariableMaker(layer.add_weight, values, share)
    try:
        yield
    finally:
        del layer.add_weight


@dataclasses.dataclass
class _VariableMaker:
    """Replaces a layer's `add_weight`."""

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
    """Return a variable's value as a tensor that reads the variable's memory, and a tensor unchanged."""
    return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)


def complete(layer: keras.layers.Layer, original: Any) -> None:
    """Copy the values of variables that belong to sublayers from the original layer."""
    if layer is original or not has_sublayers(original):
        return
    for variable, source in zip(layer.weights, original.weights, strict=True):
        variable.assign(source)


def has_sublayers(layer: keras.layers.Layer) -> bool:
    """Whether the layer contains other layers, which create variables of their own."""
    return any(inner is not layer for inner in layers_of(layer))


class LayerFactory:
    """Makes the new layers of one graph: each once, however often it is called, and under a unique name."""

    def __init__(self, share_weights: bool, made: dict[Any, Any]):
        self.share_weights = share_weights
        # By original layer and kind of copy; shared by the graphs of nested models.
        self.made = made
        self.names: dict[str, Any] = {}

    def copy(self, layer: keras.layers.Layer, changes: dict[str, Any]) -> "_Made":
        """Return the copy of a layer with these changes to its configuration."""

        def make(name: str) -> Any:
            if self.share_weights and not changes and has_weights(layer) and has_sublayers(layer):
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
        """Return the layer that takes the place of another; run it with `call`.

        - `layer`: the original layer, which gives the new one its name.
        - `kind`: tells the replacements of one layer apart; the same kind gives the same new layer.
        - `make`: makes the new layer under a given name.
        - `values`: the values of its variables, as `building_from` takes them.
        - `original`: the layer whose sublayers' values it takes over, if any.
        - `suffix`: is appended to the name.
        """
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
        """Call the layer; the first call creates its variables with their values."""
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
    """Whether it is a layer (not an operation) that has variables."""
    return isinstance(layer, keras.Layer) and bool(layer.weights)
