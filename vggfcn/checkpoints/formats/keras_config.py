"""Keras's model configurations, read as JSON: what the model computes, step by step, and its preprocessing.

Keras before version 3 and since writes the same layers with other connections: `inbound_nodes` of lists, or of dicts.
Whatever is not understood becomes a step of a kind that no network has, under the name that the file gives it.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Step

MAX_DEPTH = 40
MODELS = {"Sequential", "Functional", "Model"}
# Options that change nothing about the result.
_HARMLESS = {"name", "trainable", "dtype", "data_format", "batch_input_shape", "batch_shape"}
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
_PADDING = {"valid": 0}


@dataclasses.dataclass(frozen=True)
class Model:
    """What a configuration says: its steps after the preprocessing, and the preprocessing; None if it has none."""

    steps: list[Step]
    preprocessing: Preprocessing | None


@dataclasses.dataclass(frozen=True)
class _Layer:
    kind: str
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.options.get("name", ""))


def read(config: Any) -> Model | None:
    """What a model's configuration states; None if there is none."""
    if config is None:
        return None
    if not _is_layer(config) or config["class_name"] not in MODELS or not _is_kerass(config):
        found = config.get("class_name") if isinstance(config, dict) else config
        return Model([Step(f"a model of the class {found!r:.80}, which says nothing of its layers")], None)
    layers = [layer for layer in _layers(config, 0) if layer.kind != "Dropout"]
    shape = next((shape for layer in layers[:1] if (shape := _input_shape(layer))), None) or _built_shape(config)
    found = [_input(shape, layers[0].name)] if shape and layers else []
    layers = [layer for layer in layers if layer.kind != "InputLayer"]
    first = next((index for index, layer in enumerate(layers) if layer.kind not in _AFFINE), len(layers))
    preprocessing, problem = _preprocessing(layers[:first], shape[-1] if shape else 3)
    found += [problem] if problem else []
    return Model(found + [step for layer in layers[first:] for step in _steps(layer)], preprocessing)


def _layers(config: dict[str, Any], depth: int) -> Iterator[_Layer]:
    """The layers of a model and of the models in it, from input to output."""
    options = config.get("config")
    members = options.get("layers") if isinstance(options, dict) else None
    readable = isinstance(members, list) and all(_is_layer(member) for member in members) and depth <= MAX_DEPTH
    if not readable or options is None or members is None:
        yield _Layer("a model that is damaged or too deep", {"name": str(options)[:40]})
        return
    chain = members if config["class_name"] == "Sequential" else _chain(options, members)
    if chain is None:
        yield _Layer("a model whose layers are not one chain, each called once", {"name": options.get("name", "")})
        return
    for member in chain:
        kind = member["class_name"]
        if not _is_kerass(member):
            yield _Layer(f"the class {member.get('registered_name') or kind}, which is not Keras's", member["config"])
        elif kind in MODELS:
            yield from _layers(member, depth + 1)
        else:
            yield _Layer(kind, member["config"])


def _is_layer(member: object) -> bool:
    match member:
        case {"class_name": str(), "config": dict()}:
            return True
    return False


def _is_kerass(member: dict[str, Any]) -> bool:
    """Whether a layer's class is one of Keras's own, as far as the configuration says."""
    module = str(member.get("module") or "keras")
    return module.split(".")[0] in ("keras", "tf_keras") and member.get("registered_name") in (
        None,
        member["class_name"],
    )


def _chain(options: dict[str, Any], members: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """A functional model's layers from input to output; None if they do not follow one another."""
    by_name = {str(member.get("name", member["config"].get("name"))): member for member in members}
    ends = [_end(options.get(key)) for key in ("input_layers", "output_layers")]
    name, found = ends[1], list[dict[str, Any]]()
    while name in by_name and len(found) < len(members):
        found.append(by_name[name])
        if name == ends[0]:
            break
        name = _caller(by_name[name])
    whole = name is not None and name == ends[0] and len(found) == len(members) == len(by_name)
    return found[::-1] if whole and not found[-1].get("inbound_nodes") else None


def _end(ends: object) -> str | None:
    """The name of a model's only input or output layer."""
    while isinstance(ends, list) and len(ends) == 1:
        ends = ends[0]
    match ends:
        case [str(name), 0, 0]:
            return name
    return None


def _caller(member: dict[str, Any]) -> str | None:
    """The name of the layer before this one; None unless it was called once, with one tensor and no option."""
    match member.get("inbound_nodes"):
        case [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": [str(name), 0, 0]}}], **node}]:
            options = node.get("kwargs")
        case [[[str(name), 0, 0, options]]]:
            pass
        case [[[str(name), 0, 0]]]:
            options = {}
        case _:
            return None
    # "training" switches dropout on, and a mask leaves pixels out.
    unset = isinstance(options, dict) and all(value in (None, False) for value in options.values())
    return name if unset else None


def _shape(value: object) -> list[int | None] | None:
    """[rows, columns, channels] of a batch's shape, None for sizes that are free."""
    match value:
        case [_, int() | None as rows, int() | None as columns, int(channels)]:
            return [rows, columns, channels]
    return None


def _input_shape(layer: _Layer) -> list[int | None] | None:
    return _shape(layer.options.get("batch_shape") or layer.options.get("batch_input_shape"))


def _built_shape(config: dict[str, Any]) -> list[int | None] | None:
    return _shape(config["config"].get("build_input_shape"))


def _input(shape: list[int | None], name: str) -> Step:
    sizes = dict(zip(("rows", "columns", "channels"), shape, strict=True))
    return Step(steps.INPUT, {key: value for key, value in sizes.items() if value is not None}, name)


def _steps(layer: _Layer) -> Iterator[Step]:
    """The steps of one layer: what it computes, then its activation."""
    if layer.kind not in _READERS:
        yield Step(layer.kind, {}, layer.name)
        return
    kind, read, known = _READERS[layer.kind]
    options = layer.options
    values = read(options)
    values |= {
        key: value
        for key, value in options.items()
        if value is not None and key not in _HARMLESS | known and not key.endswith(_TRAINING_ONLY)
    }
    if options.get("data_format", "channels_last") not in (None, "channels_last"):
        values["data_format"] = options["data_format"]
    if (dtype := _dtype(options.get("dtype"))) != "float32":
        values["dtype"] = dtype
    if kind:
        if kind in (steps.CONVOLUTION, steps.DEPTHWISE, steps.DENSE):
            values["arrays"] = layer.name
        yield Step(kind, values, layer.name)
    elif values:
        yield Step(layer.kind, values, layer.name)
    activation = options.get("activation", "linear") if "activation" in known else "linear"
    if activation not in ("linear", None):
        yield Step(activation if isinstance(activation, str) else f"the activation {activation!r:.80}", {}, layer.name)


def _dtype(value: object) -> str:
    """The name of a layer's dtype policy."""
    match value:
        case None:
            return "float32"
        case {"config": {"name": str(name)}}:
            return name
    return str(value)[:40]


def _convolution(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "filters": options.get("filters"),
        "size": steps.size(options.get("kernel_size")),
        **_window(options, options.get("kernel_size")),
        "dilation": steps.size(options.get("dilation_rate")),
        "groups": options.get("groups", 1),
        "bias": options.get("use_bias"),
    }


def _depthwise(options: dict[str, Any]) -> dict[str, Any]:
    values = _convolution(options)
    del values["filters"]
    return values | {"groups": 1, "multiplier": options.get("depth_multiplier")}


def _pooling(options: dict[str, Any]) -> dict[str, Any]:
    pool = options.get("pool_size")
    return {"size": steps.size(pool), **_window({**options, "strides": options.get("strides") or pool}, pool)}


def _window(options: dict[str, Any], kernel: object) -> dict[str, Any]:
    """The stride, and the zeros on each side where they do not depend on the size of the map."""
    stride, padding = steps.size(options.get("strides")), options.get("padding")
    side = steps.size(kernel)
    if padding == "same" and stride == 1 and isinstance(side, int) and side % 2:
        return {"stride": stride, "padding": side // 2}
    return {"stride": stride, "padding": _PADDING.get(str(padding), padding)}


def _dense(options: dict[str, Any]) -> dict[str, Any]:
    return {"units": options.get("units"), "bias": options.get("use_bias")}


def _relu(options: dict[str, Any]) -> dict[str, Any]:
    """Only the options that make it another function."""
    return {key: options[key] for key in ("max_value", "negative_slope", "threshold") if options.get(key)} | (
        {"max_value": 0} if options.get("max_value") == 0 and options.get("max_value") is not None else {}
    )


def _softmax(options: dict[str, Any]) -> dict[str, Any]:
    return {} if options.get("axis", -1) in (-1, [-1]) else {"axis": options["axis"]}


# Class -> kind of step, how to read its options, and the options that are read.
_WINDOW = {"strides", "padding"}
_CONVOLUTION = {*_WINDOW, "kernel_size", "dilation_rate", "groups", "use_bias", "activation"}
_READERS: dict[str, tuple[str, Any, set[str]]] = {
    "Conv2D": (steps.CONVOLUTION, _convolution, {*_CONVOLUTION, "filters"}),
    "DepthwiseConv2D": (steps.DEPTHWISE, _depthwise, {*_CONVOLUTION, "depth_multiplier"}),
    "Dense": (steps.DENSE, _dense, {"units", "use_bias", "activation"}),
    "MaxPooling2D": (steps.MAX_POOLING, _pooling, {*_WINDOW, "pool_size"}),
    "AveragePooling2D": (steps.AVERAGE_POOLING, _pooling, {*_WINDOW, "pool_size"}),
    "Flatten": (steps.FLATTEN, lambda options: {}, set()),
    "Activation": ("", lambda options: {}, {"activation"}),
    "ReLU": (steps.RELU, _relu, {"max_value", "negative_slope", "threshold"}),
    "Softmax": (steps.SOFTMAX, _softmax, {"axis"}),
}


def _preprocessing(layers: list[_Layer], channels: int | None) -> tuple[Preprocessing | None, Step | None]:
    """What the layers before all others do to pixels, in one; or the layer that is not understood, as a step."""
    if not layers or channels not in (1, 3):
        return None, (Step(layers[0].kind, {}, layers[0].name) if layers else None)
    scale, offset = [1.0] * channels, [0.0] * channels
    for layer in layers:
        factors, terms = _AFFINE[layer.kind](layer.options, channels)
        if not factors or not terms or _dtype(layer.options.get("dtype")) != "float32":
            return None, Step(f"{layer.kind}, whose numbers are not in the configuration,", {}, layer.name)
        scale = [value * factor for value, factor in zip(scale, factors, strict=True)]
        offset = [value * factor + term for value, factor, term in zip(offset, factors, terms, strict=True)]
    if not all(map(math.isfinite, [*scale, *offset])) or min(scale) < 1e-30:
        return None, Step(f"{layers[-1].kind} that cannot be inverted", {}, layers[-1].name)
    mean = tuple(-term / factor + 0.0 for term, factor in zip(offset, scale, strict=True))
    return Preprocessing(mean, tuple(1 / factor for factor in scale)), None


def _rescaling(options: dict[str, Any], channels: int) -> tuple[list[float], list[float]]:
    """Factors and terms of x * scale + offset."""
    return _numbers(options.get("scale"), channels), _numbers(options.get("offset", 0.0), channels)


def _normalization(options: dict[str, Any], channels: int) -> tuple[list[float], list[float]]:
    """Factors and terms of (x - mean) / sqrt(variance)."""
    mean, variance = (_numbers(options.get(name), channels) for name in ("mean", "variance"))
    last_axis = options.get("axis", -1) in (-1, 3, [-1], [3], None)
    # Keras divides by 1e-7 at least.
    if not mean or not variance or min(variance) < 1e-12 or options.get("invert") or not last_axis:
        return [], []
    factors = [value**-0.5 for value in variance]
    return factors, [-value * factor for value, factor in zip(mean, factors, strict=True)]


# The layers that do the same to all pixels of a channel.
_AFFINE = {"Rescaling": _rescaling, "Normalization": _normalization}


def _numbers(value: object, channels: int) -> list[float]:
    """One number per channel, from a number or a list that may be nested in lists of one item; empty if it has none."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    numbers = value if isinstance(value, list) else [value] * channels
    try:
        read = [float(number) for number in numbers if isinstance(number, int | float)]
    except OverflowError:  # JSON's integers may be of any size.
        return []
    return read if len(read) == channels and all(map(math.isfinite, read)) else []
