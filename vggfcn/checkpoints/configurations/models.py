"""Rewrites models and the layers in them, to any depth, in the form in which Keras 3 writes a `.keras` file."""

from typing import Any

from vggfcn.checkpoints.configurations import classes, graphs, layers
from vggfcn.checkpoints.configurations.checks import MAX_DEPTH, check_data
from vggfcn.checkpoints.configurations.notes import IN_KERAS_2, LOAD_YOURSELF, Rewriting, short

MAX_LAYERS = 10_000
# Arguments that are layers or lists of layers.
_INNER = ("layer", "backward_layer", "forward_layer", "cell", "cells")
Item = dict[str, Any]


def rewrite(item: object, rewriting: Rewriting, depth: int = 0) -> Item:
    """A serialised layer, operation or model as Keras 3 writes it.

    Raises `WeightsError` if it is not Keras's own, carries code, or cannot be computed as before.
    """
    if depth > MAX_DEPTH:
        raise rewriting.malformed(f"is nested deeper than {MAX_DEPTH} models")
    if not isinstance(item, dict) or not isinstance(item.get("class_name"), str):
        raise rewriting.malformed(f"has {short(item)!r} where a layer is expected")
    kind, name = classes.class_name(item), classes.legal_name(_name(item))
    if "/" in _name(item):
        rewriting.note(kind, 'a "/" in the name became "_"')
    _refuse_foreign(item, kind, name, rewriting)
    if kind == "Sequential":
        return _sequential(item, rewriting, depth)
    if kind == "Functional":
        return _functional_model(item, rewriting, depth)
    config = item.get("config")
    if not isinstance(config, dict):
        raise rewriting.malformed(f"has no arguments for {short(name)} ({short(kind)})")
    if _is_operation(item, rewriting):
        module = item.get("module") or classes.MODULE_OF_OPERATION[kind]
        if module == "keras.src.ops.core" and kind != "Cast":
            raise rewriting.refusal(name, kind, "calls functions that only code can give", LOAD_YOURSELF)
        made = _item(module, kind, dict(config))
    else:
        made = _layer(kind, config, rewriting, depth)
    if "name" in made["config"]:
        made["config"]["name"] = classes.legal_name(made["config"]["name"])
    check_data(made["config"], name, kind, rewriting)
    return made


def _name(item: Item) -> str:
    config = item.get("config")
    return str(item.get("name") or (config.get("name") if isinstance(config, dict) else None) or "a layer")


def _is_operation(item: Item, rewriting: Rewriting) -> bool:
    """Whether it is an operation, which Keras 2 did not have."""
    return classes.is_operation(item) and ("module" in item or not rewriting.before_keras_3)


def _item(module: str, kind: str, config: Item) -> Item:
    registered = None if module in ("keras", "keras.layers") else kind
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered}


def _refuse_foreign(item: Item, kind: str, name: str, rewriting: Rewriting) -> None:
    """Refuse code and classes that are not Keras's own."""
    if kind in classes.CODE:
        raise rewriting.refusal(
            name,
            kind,
            f"is {classes.CODE[kind]}: code from a file does not run here (expected stock layers and no code)",
            "rebuild the model with stock layers in its place, or load it yourself and give it to vggfcn in Python",
        )
    stock = kind in classes.LAYERS or kind in classes.MODELS or kind in classes.APPLICATION_LAYERS
    known = stock or kind in _REPLACED or _is_operation(item, rewriting)
    if classes.is_custom(item) or not (
        known or kind in classes.OTHER_LAYERS or classes.is_own_module(item.get("module"))
    ):
        raise rewriting.refusal(
            name, kind, f"the file needs the class {short(kind)!r}, which only its author's code has", LOAD_YOURSELF
        )
    if not known:
        raise rewriting.refusal(name, kind, "is not a layer of image classifiers that Keras 3 has", IN_KERAS_2)


def _layer(kind: str, config: Item, rewriting: Rewriting, depth: int) -> Item:
    """A single layer: one of those that have another name today, or with its arguments rewritten."""
    if kind in _REPLACED:
        return _layer(*_REPLACED[kind](config, kind, rewriting), rewriting, depth)
    if kind in _BEFORE_ACTIVATION and config.get("activation") == "hard_sigmoid" and rewriting.before_keras_3:
        return _hard_sigmoid(config, kind, rewriting, depth)
    inner = {key: config[key] for key in _INNER if isinstance(config.get(key), dict | list)}
    arguments = layers.rewrite({key: value for key, value in config.items() if key not in inner}, kind, rewriting)
    for key, value in inner.items():
        parts = [rewrite(part, rewriting, depth + 1) for part in (value if isinstance(value, list) else [value])]
        arguments[key] = parts if isinstance(value, list) else parts[0]
    return _item(classes.APPLICATION_LAYERS.get(kind, "keras.layers"), kind, arguments)


def _thresholded(config: Item, kind: str, rewriting: Rewriting) -> tuple[str, Item]:
    rewriting.note(kind, "became ReLU with a threshold")
    return "ReLU", {"threshold": config.get("theta", 1.0), **_common(config)}


def _identity(config: Item, kind: str, rewriting: Rewriting) -> tuple[str, Item]:
    rewriting.note(kind, "became Identity; it has an effect in training alone")
    return "Identity", _common(config)


def _common(config: Item) -> Item:
    return {key: config[key] for key in ("name", "trainable", "dtype", "batch_input_shape") if key in config}


_BEFORE_ACTIVATION = {"Activation", "Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv2D", "SeparableConv2D"}
_REPLACED = {
    "ThresholdedReLU": _thresholded,
    "RandomHeight": _identity,
    "RandomWidth": _identity,
}


def _hard_sigmoid(config: Item, kind: str, rewriting: Rewriting, depth: int) -> Item:
    """A layer followed by Keras 2's hard_sigmoid, min(max(0.2 x + 0.5, 0), 1); Keras 3's is another function."""
    name = classes.legal_name(config.get("name"))
    rewriting.note(kind, "hard_sigmoid as Keras 2 computes it, 0.2 x + 0.5 from 0 to 1")
    parts = [
        _item("keras.layers", "Rescaling", {"name": f"{name}_line", "scale": 0.2, "offset": 0.5}),
        _item("keras.layers", "ReLU", {"name": f"{name}_limits", "max_value": 1.0}),
    ]
    if kind != "Activation":
        linear = {**config, "name": f"{name}_linear", "activation": "linear"}
        parts.insert(0, _layer(kind, linear, rewriting, depth))
    return _item("keras", "Sequential", {"name": name, "layers": parts})


def _parts(config: Item, rewriting: Rewriting) -> list[Any]:
    parts = config.get("layers")
    if not isinstance(parts, list) or len(parts) > MAX_LAYERS:
        raise rewriting.malformed(f"has no list of layers for the model {short(config.get('name'))!r}")
    return parts


def _sequential(item: Item, rewriting: Rewriting, depth: int) -> Item:
    config = item.get("config")
    if isinstance(config, list):  # Before Keras 2.2.3.
        config = {"name": _name(item) if "name" in item else "sequential", "layers": config}
    if not isinstance(config, dict):
        raise rewriting.malformed("has a Sequential model without layers")
    parts = _parts(config, rewriting)
    name = classes.legal_name(config.get("name") or "sequential")
    rewritten = [rewrite(part, rewriting, depth + 1) for part in parts]
    if rewritten and rewritten[0]["class_name"] != "InputLayer":
        shape, dtype = _input_of(rewritten[0]) or (_built_for(item, config) or _first_shape(parts[0]), "float32")
        if shape is not None:
            start = {"name": f"{name}_input_images", "batch_shape": shape, "dtype": dtype}
            rewritten.insert(0, _item("keras.layers", "InputLayer", start))
    return _item("keras", "Sequential", {"name": name, "layers": rewritten})


def _first_shape(part: Any) -> Any:
    """The input shape that Keras 2 states in the first layer of a Sequential model."""
    config = part.get("config") if isinstance(part, dict) else None
    return config.get("batch_input_shape") if isinstance(config, dict) else None


def _built_for(item: Item, config: Item) -> Any:
    """The input shape that the model was built for, if it is stated."""
    build = item.get("build_config")
    shape = config.get("build_input_shape") or (build.get("input_shape") if isinstance(build, dict) else None)
    return layers.plain(shape) if isinstance(shape, list | dict) else None


def _input_of(model: Item) -> tuple[Any, Any] | None:
    """Shape and dtype of the one input of a rewritten model; None if it does not state them."""
    if model["class_name"] not in classes.MODELS:
        return None
    config = model["config"]
    inputs = config.get("input_layers")
    for part in config["layers"]:
        chosen = part is config["layers"][0] if inputs is None else inputs[:1] == [part.get("name")]
        if chosen and part["class_name"] == "InputLayer":
            return part["config"].get("batch_shape"), part["config"].get("dtype", "float32")
    return None


def _part(part: Item, rewriting: Rewriting, depth: int) -> Item:
    """A layer of a Functional model, rewritten; one of TensorFlow's functions as it is, for `graphs` to replace."""
    is_function = part.get("class_name") in classes.FUNCTION_LAYERS and not classes.is_custom(part)
    if is_function and isinstance(part.get("config"), dict):
        return part
    return rewrite(part, rewriting, depth + 1)


def _functional_model(item: Item, rewriting: Rewriting, depth: int) -> Item:
    config = item.get("config")
    if not isinstance(config, dict) or not {"layers", "input_layers", "output_layers"} <= set(config):
        raise rewriting.refusal(
            _name(item),
            str(item["class_name"]),
            "is a subclassed model: only its author's code says how its layers are connected",
            LOAD_YOURSELF,
        )
    parts = _parts(config, rewriting)
    if not all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in parts):
        raise rewriting.malformed("has layers without names")
    rewritten = {part["name"]: _part(part, rewriting, depth) for part in parts}
    if len({classes.legal_name(name) for name in rewritten}) != len(parts):
        raise rewriting.malformed("has two layers of one name")
    graph = graphs.rewrite(config, rewritten, rewriting)
    options = {
        "name": classes.legal_name(config.get("name") or "model"),
        "trainable": bool(config.get("trainable", True)),
        **graph,
    }
    return _item(classes.MODELS["Functional"], "Functional", options)
