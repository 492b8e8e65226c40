"""Fill a Keras model with the arrays of a file: every variable, and every array of the file, exactly once.

Keras itself assigns arrays by the order of the layers, which differs between versions. Here a layer's arrays are found
by its name, and an array's variable by the order within its layer and by its own name where it has one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import ml_dtypes
import tensorflow as tf

from vggfcn.checkpoints.configurations.classes import legal_name
from vggfcn.checkpoints.formats.keras_models import StoredArray, StoredModel
from vggfcn.checkpoints.tensors import BFLOAT16, FLOATS, is_finite
from vggfcn.errors import WeightsError, one_line
from vggfcn.graph.walking import layers_of

HINT = "the file and the configuration do not belong together, or the file is damaged"
Item = Mapping[str, Any]


class Filling:
    """The filling of one model from one file; `config` is the configuration as the file states it.

    With `own`, the names in the file are those of the configuration. Otherwise layers whose names were numbered
    automatically are matched by their order, as Keras does.
    """

    def __init__(self, stored: StoredModel, config: Item, model: keras.Model, own: bool):
        self.stored, self.config, self.model, self.own = stored, config, model, own
        self.filled: set[int] = set()

    def fill(self) -> None:
        """Raises `WeightsError` if an array or a variable is left over, or a shape differs."""
        pairs = self._pairs_by_layer() if self.stored.by_layer else self._pairs_by_path()
        with self.stored.session():
            for array, variable in pairs:
                self._assign(array, variable)
        missing = [weight.path for weight in self.model.weights if id(weight) not in self.filled]
        if missing:
            raise self._error(f"has no arrays for {_some(missing)}")
        for layer in layers_of(self.model):
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()

    def _error(self, problem: str) -> WeightsError:
        return WeightsError(f"{self.stored.path}: {problem}: {HINT}")

    def _assign(self, array: StoredArray, variable: Any) -> None:
        if tuple(variable.shape) != tuple(array.shape):
            raise self._error(
                f"{array.name[:80]!r} has the shape {array.shape}, but {variable.path} has {tuple(variable.shape)}"
            )
        if id(variable) in self.filled:
            raise self._error(f"has two arrays for {variable.path}, one of them {array.name[:80]!r}")
        values = array.read()
        if array.dtype == BFLOAT16:
            values = values.view(ml_dtypes.bfloat16)
        if array.dtype in FLOATS and not is_finite(values):
            raise self._error(f"{array.name[:80]!r} holds NaN or infinite numbers")
        # TensorFlow adopts the aligned buffer: no second copy of a large kernel.
        adopted = array.dtype == "<f4" and variable.dtype == "float32"
        variable.assign(tf.experimental.dlpack.from_dlpack(values.__dlpack__()) if adopted else values)
        self.filled.add(id(variable))

    # The layout before Keras 3: groups by the name of the outermost layer.

    def _pairs_by_layer(self) -> Iterator[tuple[StoredArray, Any]]:
        groups = {name: list(group.values()) for name, group in self.stored.groups.items() if group}
        if own := groups.pop("top_level_model_weights", None):
            raise self._error(f"has arrays that belong to no layer, such as {own[0].name[:80]!r}")
        targets = self._layers_of(list(groups))
        for name, arrays in groups.items():
            yield from self._pairs_within(targets[name], arrays)

    def _layers_of(self, names: list[str]) -> dict[str, Any]:
        """The outermost layer for each group."""
        layers = {layer.name: layer for layer in self.model.layers if layer.weights}
        if {legal_name(name) for name in names} <= set(layers):
            return {name: layers[legal_name(name)] for name in names}
        order = list(layers.values())
        same = [_unnumbered(name) == _unnumbered(layer.name) for name, layer in zip(names, order, strict=False)]
        if not self.own and len(names) == len(order) and all(same):
            return dict(zip(names, order, strict=True))
        unknown = [name for name in names if legal_name(name) not in layers]
        raise self._error(f"has arrays for the layers {_some(unknown)}, which the configuration does not have")

    def _pairs_within(self, outer: Any, arrays: list[StoredArray]) -> Iterator[tuple[StoredArray, Any]]:
        """Pairs for the arrays of one group: of a single layer, or of all layers in a nested model."""
        leaves = [leaf for leaf in _leaves(outer) if leaf.weights]
        if len(leaves) == 1:
            yield from self._pairs_of_leaf(leaves[0], arrays)
            return
        owned: dict[int, list[StoredArray]] = {}
        for array in arrays:
            owned.setdefault(self._owner(array.name, outer, leaves), []).append(array)
        for position, found in owned.items():
            yield from self._pairs_of_leaf(leaves[position], found)

    def _owner(self, name: str, outer: Any, leaves: list[Any]) -> int:
        """The position of the layer that an array in a nested model belongs to."""
        parts = name.split("/")[:-1]
        lengths = range(len(parts), 0, -1)
        # The longest first, because a layer's own name may have had parts; the last first, because models come before.
        for owner in (parts[end - length : end] for length in lengths for end in range(len(parts), length - 1, -1)):
            found = [position for position, leaf in enumerate(leaves) if leaf.name == "_".join(owner)]
            if len(found) == 1:
                return found[0]
            if found:
                break
        raise self._error(f"{name[:80]!r} does not say which layer of {outer.name} it belongs to")

    def _pairs_of_leaf(self, leaf: Any, arrays: list[StoredArray]) -> Iterator[tuple[StoredArray, Any]]:
        variables = leaf.trainable_weights + leaf.non_trainable_weights
        if len(arrays) != len(variables):
            raise self._error(f"has {len(arrays)} arrays for {leaf.name}, which has {len(variables)} variables")
        by_name = {_last(variable.path): variable for variable in variables}
        names = [_last(array.name) for array in arrays]
        if len(by_name) == len(variables) and set(names) == set(by_name):
            return ((array, by_name[name]) for array, name in zip(arrays, names, strict=True))
        if set(names) & set(by_name) and len(set(names)) == len(names):
            mixed = [name for name, variable in zip(names, variables, strict=True) if name in by_name]
            at = [_last(variable.path) for name, variable in zip(names, variables, strict=True) if name in by_name]
            if mixed != at:
                raise self._error(f"has arrays of {leaf.name} under names in an unknown order: {_some(names)}")
        return zip(arrays, variables, strict=True)

    # The layout of Keras 3: groups by the path of the layer, which has the names of classes in it.

    def _pairs_by_path(self) -> Iterator[tuple[StoredArray, Any]]:
        targets = dict(_layers_by_path(self.config, self.model))
        for path, group in self.stored.groups.items():
            layer = targets.get(path) or self._sublayer(path, targets)
            stated = self.stored.names.get(path)
            if layer is None or (self.own and path in targets and stated not in (None, layer.name)):
                shown = f" ({stated[:80]})" if stated else ""
                raise self._error(f"has arrays at {path[:80]!r}{shown}, where the configuration has no layer")
            variables = _own_weights(layer)
            if sorted(group) != sorted(map(str, range(len(variables)))):
                raise self._error(f"has {len(group)} arrays for {layer.name}, which has {len(variables)} variables")
            yield from ((group[str(number)], variable) for number, variable in enumerate(variables))

    def _sublayer(self, path: str, targets: Mapping[str, Any]) -> Any:
        """The layer inside a layer, such as the cell of a recurrent one or a projection of an attention."""
        outer, inner = path, list[str]()
        while outer and outer not in targets:
            outer, _, part = outer.rpartition("/")
            inner.insert(0, part)
        layer = targets.get(outer)
        for part in inner:
            if isinstance(layer, list | tuple):
                layer = dict(_numbered(layer)).get(part)
            else:
                layer = getattr(layer, part, None) if part in dir(layer) else None
        return layer if isinstance(layer, keras.layers.Layer) else None


def _layers_by_path(config: Item, model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path in the file, layer) for each layer of a model, to any depth."""
    parts = config["config"] if isinstance(config["config"], list) else config["config"]["layers"]
    by_name = {layer.name: layer for layer in model.layers}
    counts: dict[str, int] = {}
    for part in parts:
        base = _snake_case(str(part["class_name"]).rpartition(">")[2])
        number = counts[base] = counts.get(base, -1) + 1
        layer = by_name.get(legal_name(part.get("name") or part["config"].get("name")))
        if layer is None:  # An input of a Sequential model, or an operation.
            counts[base] -= 1 if _is_uncounted(part) else 0
            continue
        place = f"{path}/layers/{base}{f'_{number}' if number else ''}".strip("/")
        inner = part.get("config")
        if isinstance(layer, keras.Model) and isinstance(inner, list | dict) and "layers" in inner:
            yield from _layers_by_path(part, layer, place)
        else:
            leaves = [leaf for leaf in _leaves(layer) if leaf.weights]
            yield place, leaves[0] if len(leaves) == 1 else layer


def _is_uncounted(part: Item) -> bool:
    return part["class_name"] == "InputLayer" or str(part.get("module")).startswith("keras.src.ops.")


def _own_weights(layer: Any) -> list[Any]:
    """A layer's variables without those of layers inside it, in the order in which Keras 3 saves them."""
    inner = {id(weight) for sublayer in layers_of(layer) if sublayer is not layer for weight in sublayer.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def _numbered(layers: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    counts: dict[str, int] = {}
    for layer in layers:
        base = _snake_case(type(layer).__name__)
        number = counts[base] = counts.get(base, -1) + 1
        yield f"{base}_{number}" if number else base, layer


def _leaves(layer: Any) -> Iterator[Any]:
    """The layers in a model, to any depth; a layer that is not a model is its own."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _leaves(inner)
    else:
        yield layer


def _snake_case(name: str) -> str:
    """How Keras names a layer after its class."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _last(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return one_line(", ".join(name[:60] for name in names[:4]) + (", ..." if len(names) > 4 else ""))
