"""Rewrites how the layers of a Functional model are connected, in the form of Keras 3.

In Keras 2, a call is a list of inputs [layer, call, output, keyword arguments], and the calls of a nested model count
from 1, because its own graph is its call 0. In Keras 3, a call has arguments in which tensors are dictionaries, and
calls count from 0, but for a nested Functional model among the outputs, whose calls count from 1.
"""

import functools
from collections.abc import Iterator
from typing import Any

from vggfcn.checkpoints.configurations import classes, operations
from vggfcn.checkpoints.configurations.checks import check_data
from vggfcn.checkpoints.configurations.layers import plain
from vggfcn.checkpoints.configurations.notes import IN_KERAS_2, Rewriting, short

Item = dict[str, Any]
Reference = tuple[str, int, int]
# Layers that pass on integers as they are.
_KEEPS_INTEGERS = {"Identity", "ZeroPadding2D", "Cropping2D", "Permute", "Reshape", "Flatten", "Concatenate"}
_CASTS_INTEGERS = {"cast", "__operators__.getitem", "reverse", "image.flip_left_right", "image.flip_up_down"}


def rewrite(config: Item, rewritten: dict[str, Item], rewriting: Rewriting) -> Item:
    """The layers with their calls, the inputs and the outputs; `rewritten` holds the layers by name."""
    return _Graph(config, rewritten, rewriting).rewrite()


class _Graph:
    def __init__(self, config: Item, rewritten: dict[str, Item], rewriting: Rewriting):
        self.config, self.rewritten, self.rewriting = config, rewritten, rewriting
        self.parts = {part["name"]: part for part in config["layers"]}
        self.calls = {name: _list(part.get("inbound_nodes")) for name, part in self.parts.items()}
        self.legacy = any(isinstance(call, list) for calls in self.calls.values() for call in calls)
        self.offsets = {name: self._offset(name) for name, item in rewritten.items() if _is_model(item)}
        self.integers: set[str] = set()

    def rewrite(self) -> Item:
        layers = []
        for name, item in self.rewritten.items():
            if classes.class_name(self.parts[name]) in classes.FUNCTION_LAYERS:
                item, nodes = self._function(name)
            else:
                nodes = [self._call(name, call) for call in self.calls[name]]
                self._follow_integers(classes.legal_name(name), item, nodes)
            legal = item["config"]["name"] = classes.legal_name(name)
            layers.append({**item, "name": legal, "inbound_nodes": nodes})
        return {
            "layers": layers,
            "input_layers": self._ends("input_layers"),
            "output_layers": self._ends("output_layers"),
        }

    @functools.cached_property
    def _used(self) -> dict[str, set[int]]:
        """The calls of each layer that others refer to."""
        used: dict[str, set[int]] = {}
        for owner, call, _ in self._all_references():
            used.setdefault(owner, set()).add(call)
        return used

    def _offset(self, name: str) -> int:
        """The number of a nested model's first call in references in the old form."""
        if not self.legacy:
            return 0
        used = self._used.get(name, set())
        count = len(self.calls[name])
        if used and max(used) == count and min(used) > 0:
            return 1
        if used and max(used) < count and min(used) == 0:
            return 0
        if not used:
            return 1
        raise self.rewriting.malformed(f"does not say which call of the model {short(name)!r} is meant")

    def _all_references(self) -> Iterator[Reference]:
        pending: list[Any] = [self.calls, self.config["output_layers"]]
        while pending:
            value = pending.pop()
            if self._is_reference(value):
                yield value[0], value[1], value[2]
                value = value[3:]
            pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()

    def _is_reference(self, value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) in (3, 4)
            and isinstance(value[0], str)
            and value[0] in self.parts
            and all(isinstance(number, int) for number in value[1:3])
        )

    def _tensor(self, reference: Any) -> Item:
        name, call, output = reference[:3]
        call -= self.offsets.get(name, 0)
        if call < 0 or call >= max(1, len(self.calls[name])):
            raise self.rewriting.malformed(f"refers to a call of {short(name)!r} that there is not")
        history = {"shape": [None], "dtype": "float32", "keras_history": [classes.legal_name(name), call, output]}
        return {"class_name": "__keras_tensor__", "config": history}

    def _value(self, value: Any) -> Any:
        """A keyword argument, with its tensors in the new form."""
        if self._is_reference(value) and len(value) == 3:
            return self._tensor(value)
        if isinstance(value, list):
            return [self._value(part) for part in value]
        return {key: self._value(part) for key, part in value.items()} if isinstance(value, dict) else value

    def _call(self, name: str, call: Any) -> Item:
        """One call of a layer."""
        if isinstance(call, dict):
            return self._new_call(name, call)
        inputs, keywords = self._old_inputs(name, call)
        kept = {key: self._value(value) for key, value in keywords.items() if value is not None}
        return {"args": [inputs[0] if len(inputs) == 1 else inputs], "kwargs": kept}

    def _old_inputs(self, name: str, call: Any) -> tuple[list[Any], Item]:
        """The tensors and the keyword arguments of a call in the old form."""
        entries = [call] if call and isinstance(call[0], str) else _list(call)
        if not entries or not all(self._is_reference(entry) for entry in entries):
            raise self.rewriting.malformed(f"does not say what the layer {short(name)!r} is called on")
        keywords = entries[-1][3] if len(entries[-1]) == 4 else {}
        if not isinstance(keywords, dict):
            raise self.rewriting.malformed(f"has keyword arguments for {short(name)!r} that are not names and values")
        return [self._tensor(entry) for entry in entries], keywords

    def _new_call(self, name: str, call: Item) -> Item:
        check_data(call, name, self.rewritten[name]["class_name"], self.rewriting)
        args, kwargs = call.get("args"), call.get("kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise self.rewriting.malformed(f"does not say what the layer {short(name)!r} is called on")
        if _is_model(self.rewritten[name]) and len(args) == 1 and isinstance(args[0], list) and len(args[0]) == 1:
            args = args[0]
        self._check_sources(name, [args, kwargs])
        return {"args": args, "kwargs": kwargs}

    def _check_sources(self, name: str, arguments: Any) -> None:
        """Refuse a call on constants alone: Keras would compute it at once, however large the result."""
        if not any(True for _ in _histories(arguments)):
            raise self.rewriting.malformed(f"calls the layer {short(name)!r} on no other layer's result")

    def _ends(self, key: str) -> Any:
        """The inputs or outputs; a list of one is the one."""
        ends = self.config[key]
        if isinstance(ends, list) and len(ends) == 1 and not self._is_reference(ends):
            ends = ends[0]
            if not self.rewriting.before_keras_3 and key == "output_layers":
                self.rewriting.note("Functional", "its one output is a tensor, not a list of one")
        return self._end(ends, key)

    def _end(self, ends: Any, key: str) -> Any:
        if self._is_reference(ends):
            name, call, output = ends[:3]
            item = self.rewritten[name]
            if _is_model(item) and self.legacy:
                call += (item["class_name"] == "Functional") - self.offsets[name]
            return [classes.legal_name(name), call, output]
        if isinstance(ends, dict):
            return {part: self._end(value, key) for part, value in ends.items()}
        if isinstance(ends, list) and ends:
            return [self._end(value, key) for value in ends]
        raise self.rewriting.malformed(f"has {short(ends)!r} among its {key}")

    def _function(self, name: str) -> tuple[Item, list[Item]]:
        """A TensorFlow function as an operation, and its one call."""
        part, calls = self.parts[name], self.calls[name]
        options = part["config"]
        function = str(options.get("function"))
        try:
            if len(calls) != 1 or options.get("dtype", "float32") != "float32":
                raise operations.UnsupportedError("a function that is called twice or in another precision")
            first, keywords, sources = self._function_arguments(name, calls[0])
            self._check_sources(name, [first, keywords])
            integers = sources & self.integers
            if integers and function not in _CASTS_INTEGERS:
                raise operations.UnsupportedError(f"tf.{function[:60]} of integers may round as Keras 3 does not")
            operation = operations.rewrite(function, first, keywords)
        except (operations.UnsupportedError, KeyError) as error:
            reason = str(error) if isinstance(error, operations.UnsupportedError) else f"tf.{function} lacks {error}"
            raise self.rewriting.refusal(name, f"tf.{function[:60]}", f"{reason} in Keras 3", IN_KERAS_2) from None
        if integers and function != "cast":
            self.integers.add(classes.legal_name(name))
        self.rewriting.note(str(part["class_name"]), f"tf.{function} became the operation {operation.name}")
        module = operations.module_of(operation.name)
        registered = None if module == "keras.layers" else operation.name
        item = {"module": module, "class_name": operation.name, "config": operation.config}
        return {**item, "registered_name": registered}, [{"args": operation.args, "kwargs": {}}]

    def _function_arguments(self, name: str, call: Any) -> tuple[Any, Item, set[str]]:
        """The first argument of a TensorFlow function, its keyword arguments, and the layers that these come from."""
        if isinstance(call, list) and call and call[0] == "_CONSTANT_VALUE" and len(call) == 4:
            first, keywords = call[2], call[3]
        else:
            inputs, keywords = self._old_inputs(name, call)
            nested = isinstance(call, list) and isinstance(call[0], list)
            first = inputs if nested else inputs[0]
        if not isinstance(keywords, dict):
            raise operations.UnsupportedError("keyword arguments that are not names and values")
        keywords = {key: self._value(plain(value)) for key, value in keywords.items()}
        return first, keywords, {history[0] for history in _histories([first, keywords])}

    def _follow_integers(self, name: str, item: Item, nodes: list[Item]) -> None:
        """Remember which layers give integers, on which TensorFlow and Keras 3 compute differently."""
        kind, sources = item["class_name"], {history[0] for history in _histories(nodes)}
        dtype = str(item["config"].get("dtype") or "float32")
        integer_input = kind == "InputLayer" and "float" not in dtype
        if integer_input or (sources & self.integers and kind in _KEEPS_INTEGERS):
            self.integers.add(name)


def _histories(value: Any) -> Iterator[list[Any]]:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict) and part.get("class_name") == "__keras_tensor__":
            yield part["config"].get("keras_history") or [None]
        else:
            pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_model(item: Item) -> bool:
    return item["class_name"] in classes.MODELS
