"""Rewrites TensorFlow's functions in the models of Keras 2 (`TFOpLambda`, `SlicingOpLambda`) as Keras 3's operations.

A TensorFlow function called on a symbolic tensor becomes such a layer: `x / 127.5` is a `TFOpLambda` of
`math.truediv`. All that `preprocess_input` of `keras.applications` makes is here.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from vggfcn.checkpoints.configurations import classes
from vggfcn.errors import shown

Keywords = dict[str, Any]


class UnsupportedError(Exception):
    """A call that has no counterpart with the same results."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of Keras 3, or a stock layer: its class, its configuration, and the arguments of its one call."""

    name: str
    config: Keywords
    args: list[Any]


def rewrite(function: object, first: Any, keywords: Keywords) -> Operation:
    """The operation for a call of a TensorFlow function; `first` is its first argument.

    Tensors in the arguments are dictionaries. Raises `UnsupportedError` if no operation gives the same results.
    """
    rule = RULES.get(str(function))
    if rule is None:
        raise UnsupportedError(f"tf.{str(function)[:60]} has no counterpart")
    keywords = {key: value for key, value in keywords.items() if value is not None and key != "name"}
    operation = rule(first, keywords)
    if keywords:
        raise UnsupportedError(f"tf.{function} with {', '.join(sorted(keywords))} has no counterpart")
    return operation


def module_of(name: str) -> str:
    """The module of an operation or a layer that `rewrite` names."""
    return "keras.layers" if name in ("Resizing",) else classes.MODULE_OF_OPERATION[name]


def _operand(value: Any) -> Any:
    """A tensor, a number, or a list of numbers as a constant tensor."""
    if isinstance(value, list):
        if not _is_numbers(value):
            raise UnsupportedError("an operand that is not a tensor or numbers has no counterpart")
        return {"class_name": "__tensor__", "config": {"value": value, "dtype": "float32"}}
    if isinstance(value, bool) or not isinstance(value, int | float | dict):
        raise UnsupportedError(f"the operand {shown(value, 60)} has no counterpart")
    return value


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> Any:
    """An axis, a size or a list of these."""
    if not _is_numbers(value):
        raise UnsupportedError(f"the argument {shown(value, 60)} has no counterpart")
    return value


def _binary(name: str) -> Callable[[Any, Keywords], Operation]:
    def rule(first: Any, keywords: Keywords) -> Operation:
        return Operation(name, {}, [_operand(first), _operand(keywords.pop("y"))])

    return rule


def _unary(name: str, **options: tuple[str, Any]) -> Callable[[Any, Keywords], Operation]:
    """`options`: Keras 3's name of an option -> TensorFlow's, and its default."""

    def rule(first: Any, keywords: Keywords) -> Operation:
        config = {ours: keywords.pop(theirs, default) for ours, (theirs, default) in options.items()}
        return Operation(name, config, [_operand(first)])

    return rule


def _over_axes(name: str) -> Callable[[Any, Keywords], Operation]:
    def rule(first: Any, keywords: Keywords) -> Operation:
        axis = keywords.pop("axis", None)
        config = {"axis": axis if axis is None else _numbers(axis), "keepdims": bool(keywords.pop("keepdims", False))}
        return Operation(name, config, [_operand(first)])

    return rule


def _bias_add(first: Any, keywords: Keywords) -> Operation:
    bias = _operand(keywords.pop("bias"))
    if keywords.pop("data_format", "NHWC") not in ("NHWC", "N...C"):
        raise UnsupportedError("tf.nn.bias_add of images with their channels first has no counterpart")
    return Operation("Add", {}, [first, bias])


def _reverse(first: Any, keywords: Keywords) -> Operation:
    axis = _numbers(keywords.pop("axis"))
    return Operation("Flip", {"axis": axis[0] if isinstance(axis, list) and len(axis) == 1 else axis}, [first])


def _transpose(first: Any, keywords: Keywords) -> Operation:
    if keywords.pop("conjugate", False):
        raise UnsupportedError("tf.transpose with conjugate has no counterpart")
    return Operation("Transpose", {"axes": _numbers(keywords.pop("perm"))}, [first])


def _stack(first: Any, keywords: Keywords) -> Operation:
    return Operation("Stack", {"axis": _numbers(keywords.pop("axis", 0))}, [first])


def _flip(axis: int) -> Callable[[Any, Keywords], Operation]:
    return lambda first, keywords: Operation("Flip", {"axis": axis}, [first])


def _cast(first: Any, keywords: Keywords) -> Operation:
    dtype = keywords.pop("dtype")
    if dtype != "float32":
        raise UnsupportedError(f"tf.cast to {shown(dtype, 40)} has no counterpart")
    return Operation("Cast", {"dtype": dtype}, [first])


def _clip(first: Any, keywords: Keywords) -> Operation:
    bounds = _numbers(keywords.pop("clip_value_min")), _numbers(keywords.pop("clip_value_max"))
    return Operation("Clip", {"x_min": bounds[0], "x_max": bounds[1]}, [first])


def _concatenate(first: Any, keywords: Keywords) -> Operation:
    return Operation("Concatenate", {"axis": _numbers(keywords.pop("axis"))}, [first])


def _get_item(first: Any, keywords: Keywords) -> Operation:
    spec = keywords.pop("slice_spec")
    return Operation("GetItem", {}, [first, [_index(part) for part in (spec if isinstance(spec, list) else [spec])]])


def _index(part: Any) -> Any:
    """One index of `x[...]`: a number, a slice or an ellipsis."""
    if isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(part, dict) and set(part) == {"start", "stop", "step"} and all(map(_is_bound, part.values())):
        return {"class_name": "__slice__", "config": dict(part)}
    if isinstance(part, int) and not isinstance(part, bool):
        return part
    raise UnsupportedError(f"the index {shown(part, 60)} has no counterpart")


def _is_bound(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _resize(first: Any, keywords: Keywords) -> Operation:
    size, method = _numbers(keywords.pop("size")), keywords.pop("method", "bilinear")
    if keywords.pop("antialias", False) or keywords.pop("preserve_aspect_ratio", False):
        raise UnsupportedError("tf.image.resize with antialias or preserve_aspect_ratio has no counterpart")
    if method not in ("bilinear", "nearest", "bicubic") or not (isinstance(size, list) and len(size) == 2):
        raise UnsupportedError(f"tf.image.resize by {shown(method, 40)} to {shown(size, 40)} has no counterpart")
    return Operation("Resizing", {"height": size[0], "width": size[1], "interpolation": method}, [first])


def _reshape(first: Any, keywords: Keywords) -> Operation:
    return Operation("Reshape", {"newshape": _numbers(keywords.pop("shape"))}, [first])


def _pad(first: Any, keywords: Keywords) -> Operation:
    if keywords.pop("mode", "CONSTANT") != "CONSTANT" or keywords.pop("constant_values", 0) != 0:
        raise UnsupportedError("tf.pad with anything but zeros has no counterpart")
    return Operation("Pad", {"pad_width": _numbers(keywords.pop("paddings")), "mode": "constant"}, [first])


# TensorFlow's function, without the leading "tf." -> its rule.
RULES: dict[str, Callable[[Any, Keywords], Operation]] = {
    **dict.fromkeys(("math.add", "add", "__operators__.add"), _binary("Add")),
    **dict.fromkeys(("math.subtract", "subtract", "__operators__.subtract"), _binary("Subtract")),
    **dict.fromkeys(("math.multiply", "multiply", "__operators__.multiply"), _binary("Multiply")),
    **dict.fromkeys(("math.truediv", "math.divide", "truediv", "divide", "realdiv"), _binary("TrueDivide")),
    **dict.fromkeys(("math.maximum", "maximum"), _binary("Maximum")),
    **dict.fromkeys(("math.minimum", "minimum"), _binary("Minimum")),
    **dict.fromkeys(("math.negative", "negative"), _unary("Negative")),
    **dict.fromkeys(("math.abs", "abs"), _unary("Absolute")),
    **dict.fromkeys(("math.square", "square"), _unary("Square")),
    **dict.fromkeys(("math.sqrt", "sqrt"), _unary("Sqrt")),
    **dict.fromkeys(("math.exp", "exp"), _unary("Exp")),
    "math.log": _unary("Log"),
    **dict.fromkeys(("math.sigmoid", "nn.sigmoid", "sigmoid"), _unary("Sigmoid")),
    **dict.fromkeys(("math.tanh", "nn.tanh", "tanh"), _unary("Tanh")),
    **dict.fromkeys(("nn.silu", "nn.swish"), _unary("Silu")),
    "nn.relu": _unary("Relu"),
    "nn.relu6": _unary("Relu6"),
    "nn.elu": _unary("Elu"),
    "nn.selu": _unary("Selu"),
    "math.softplus": _unary("Softplus"),
    "nn.softmax": _unary("Softmax", axis=("axis", -1)),
    "nn.leaky_relu": _unary("LeakyRelu", negative_slope=("alpha", 0.2)),
    "expand_dims": _unary("ExpandDims", axis=("axis", -1)),
    "squeeze": _unary("Squeeze", axis=("axis", None)),
    **dict.fromkeys(("transpose", "compat.v1.transpose"), _transpose),
    "image.rgb_to_grayscale": _unary("RGBToGrayscale", data_format=("data_format", "channels_last")),
    **dict.fromkeys(("math.reduce_mean", "reduce_mean"), _over_axes("Mean")),
    **dict.fromkeys(("math.reduce_max", "reduce_max"), _over_axes("Max")),
    **dict.fromkeys(("math.reduce_sum", "reduce_sum"), _over_axes("Sum")),
    "nn.bias_add": _bias_add,
    "reverse": _reverse,
    "image.flip_left_right": _flip(-2),
    "image.flip_up_down": _flip(-3),
    "cast": _cast,
    "clip_by_value": _clip,
    "concat": _concatenate,
    "__operators__.getitem": _get_item,
    "image.resize": _resize,
    "reshape": _reshape,
    "stack": _stack,
    **dict.fromkeys(("pad", "compat.v1.pad"), _pad),
}
