"""Rewrites the arguments of single layers: those that Keras 3 does not know, and those that it takes otherwise."""

from collections.abc import Callable
from typing import Any

from vggfcn.checkpoints.configurations import classes
from vggfcn.checkpoints.configurations.notes import IN_KERAS_2, LOAD_YOURSELF, Rewriting
from vggfcn.errors import shown

Arguments = dict[str, Any]
_NOTHING = (None, False)
ANY = object()
_CONVOLUTIONS = "Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D"
# Arguments that Keras 3 does not take: the value with which each has no effect on the results.
DROPPED: dict[str, dict[str, Any]] = {
    "": {"autocast": True, "experimental_autocast": True},
    **{name: {"groups": 1} for name in (*_CONVOLUTIONS.split(), "SeparableConv2D")},
    "BatchNormalization": {
        "adjustment": None,
        "fused": ANY,  # How it is computed, not what.
        "virtual_batch_size": None,
    },
    "InputLayer": {"ragged": False, "sparse": False, "optional": False, "input_tensor": None},
    "Embedding": {"input_length": ANY},
    **{name: {"implementation": ANY, "time_major": False} for name in ("GRU", "LSTM", "SimpleRNN", "RNN")},
    **{name: {"implementation": ANY} for name in ("GRUCell", "LSTMCell")},
    "MultiHeadAttention": {"softmax_robust_masking": False},
    **{name: {"noise_shape": ANY, "trainable": ANY} for name in (f"SpatialDropout{rank}D" for rank in (1, 2, 3))},
    **{name: {"rng_type": ANY} for name in classes.LAYERS if name.startswith("Random")},
}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area")
_TRAINING_ONLY = {
    "_regularizer": ("keras.regularizers", classes.REGULARIZERS),
    "_constraint": ("keras.constraints", classes.CONSTRAINTS),
}


def rewrite(arguments: Arguments, kind: str, rewriting: Rewriting) -> Arguments:
    """The arguments of a layer of the class `kind` as Keras 3 takes them.

    Raises `WeightsError` if the layer needs code from elsewhere, or if Keras 3 cannot compute what it computed.
    """
    arguments = plain(arguments)
    name = arguments.get("name", "")
    _drop(arguments, name, kind, rewriting)
    _without_training(arguments, kind, rewriting)
    if "dtype" in arguments:
        arguments["dtype"] = _dtype(arguments["dtype"], name, kind, rewriting)
    for key in [key for key in arguments if key == "activation" or key.endswith("_activation")]:
        arguments[key] = _activation(arguments[key], name, kind, rewriting)
    for rule in RULES.get(kind, ()):
        rule(arguments, kind, rewriting)
    return arguments


def plain(value: Any) -> Any:
    """A value with arrays and tuples as older versions wrote them replaced by numbers and lists."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return [plain(item) for item in value["items"]]
    if set(value) == {"type", "value"}:  # NumPy's numbers and arrays.
        return plain(value["value"])
    return {key: plain(item) for key, item in value.items()}


def _drop(arguments: Arguments, name: str, kind: str, rewriting: Rewriting) -> None:
    for key, harmless in {**DROPPED[""], **DROPPED.get(kind, {})}.items():
        if key not in arguments:
            continue
        value = arguments.pop(key)
        if harmless is not ANY and value != harmless and not (value in _NOTHING and harmless in _NOTHING):
            raise rewriting.refusal(name, kind, f"{key}={shown(value, 60)} is not in Keras 3", IN_KERAS_2)
        if harmless is not ANY and kind != "InputLayer":
            rewriting.note(kind, f"dropped {key}={value!r}")
    shape = arguments.pop("batch_input_shape", None)
    if kind == "InputLayer" and shape is not None:
        arguments["batch_shape"] = shape


def _without_training(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    """Initial values are replaced by the file's; what only training uses is kept where Keras 3 has it."""
    for key in list(arguments):
        value = arguments[key]
        if (
            key.endswith("initializer")
            and not (isinstance(value, dict) and value.get("module") == "keras.initializers")
        ) or (key.endswith("initializer") and classes.class_name(value) not in classes.INITIALIZERS):
            del arguments[key]
        for ending, (module, known) in _TRAINING_ONLY.items():
            if value is None or not key.endswith(ending):
                continue
            if isinstance(value, dict) and "class_name" in value and not classes.is_custom(value):
                name, options = classes.class_name(value), value.get("config")
                if name in known and isinstance(options, dict):
                    arguments[key] = {"module": module, "class_name": name, "config": options, "registered_name": None}
                    continue
            arguments[key] = None
            rewriting.note(kind, f"dropped a {key} that Keras 3 does not have; it has an effect in training alone")


def _dtype(value: Any, name: str, kind: str, rewriting: Rewriting) -> Any:
    """The name of a dtype or of a policy; quantised layers keep theirs as it is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and not classes.is_custom({"class_name": "", **value}):
        options = value.get("config")
        policy = options.get("name") if isinstance(options, dict) else None
        if classes.class_name({"class_name": "", **value}) in ("DTypePolicy", "Policy", "PolicyV1") and policy:
            return str(policy)
    raise rewriting.refusal(name, kind, f"has the dtype {shown(value, 80)}, which is not one of Keras's", LOAD_YOURSELF)


def _activation(value: Any, name: str, kind: str, rewriting: Rewriting) -> Any:
    """The name of an activation function of Keras 3, or the configuration of a layer that serves as one."""
    if value is None:
        return None
    if isinstance(value, dict) and "class_name" in value and not classes.is_custom(_as_function(value)):
        inner = classes.class_name(value)
        options = value.get("config")
        if inner in classes.LAYERS and isinstance(options, dict):
            module = "keras.layers"
            options = rewrite(options, inner, rewriting)
            return {"module": module, "class_name": inner, "config": options, "registered_name": None}
        value = options if inner == "function" else inner
    if isinstance(value, str) and value in classes.ACTIVATIONS:
        if value == "hard_sigmoid" and rewriting.before_keras_3:
            # 0.2 x + 0.5 in Keras 2, x / 6 + 0.5 in Keras 3; `models` replaces Activation layers before this.
            raise rewriting.refusal(name, kind, "hard_sigmoid is another function in Keras 3", IN_KERAS_2)
        return value
    found = value.get("config") or value.get("class_name") if isinstance(value, dict) else value
    raise rewriting.refusal(
        name, kind, f"has the activation {shown(found)}, which only its author's code has", LOAD_YOURSELF
    )


def _as_function(value: dict[str, Any]) -> dict[str, Any]:
    """A serialised object, with the module "builtins" of Keras's own functions left out."""
    return {key: item for key, item in value.items() if key != "module" or item != "builtins"} | (
        {"registered_name": None} if value.get("class_name") == "function" else {}
    )


def _one_axis(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    axis = arguments.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        arguments["axis"] = axis[0]
        rewriting.note(kind, "axis as a number, not a list")


def _negative_slope(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    if "alpha" in arguments:
        arguments["negative_slope"] = arguments.pop("alpha")
        rewriting.note(kind, "alpha became negative_slope")


def _interpolation(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    if arguments.get("interpolation", "nearest") not in INTERPOLATIONS:
        method = arguments["interpolation"]
        raise rewriting.refusal(
            arguments.get("name", ""), kind, f"interpolation={shown(method, 40)} is not in Keras 3", IN_KERAS_2
        )
    if kind == "UpSampling2D" and arguments.get("interpolation") == "bilinear" and rewriting.version < (2, 3):
        raise rewriting.refusal(
            arguments.get("name", ""), kind, "before Keras 2.3, bilinear samples lay elsewhere", IN_KERAS_2
        )


def _gru(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    if rewriting.before_keras_3 and "reset_after" not in arguments:
        arguments["reset_after"] = False  # The default before Keras 2.3.
        rewriting.note(kind, "reset_after=False, as it was before Keras 2.3")


def _recurrent(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    if arguments.get("unroll"):
        arguments["unroll"] = False  # The same results; an unrolled loop may be of any length.
        rewriting.note(kind, "unroll=False, which gives the same results")
    if arguments.get("stateful"):
        raise rewriting.refusal(arguments.get("name", ""), kind, "keeps a state from call to call", "save it without")


def _attention(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    for key in ("query_shape", "key_shape", "value_shape"):  # These follow from the inputs.
        arguments.pop(key, None)


def _normalization(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    axis, mean = arguments.get("axis"), arguments.get("mean")
    if isinstance(axis, list) and len(axis) > 1 and mean is not None:
        raise rewriting.refusal(
            arguments.get("name", ""), kind, "has a given mean along several axes", "give it one for each channel"
        )


def _no_kernel(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    # Their kernels have other names; Keras 2 writes these arguments nonetheless.
    for key in ("kernel_initializer", "kernel_regularizer", "kernel_constraint"):
        arguments.pop(key, None)


def _renormalization(arguments: Arguments, kind: str, rewriting: Rewriting) -> None:
    if not arguments.get("renorm"):
        for key in ("renorm", "renorm_clipping", "renorm_momentum"):
            arguments.pop(key, None)


RULES: dict[str, tuple[Callable[[Arguments, str, Rewriting], None], ...]] = {
    "BatchNormalization": (_one_axis, _renormalization),
    "LayerNormalization": (_one_axis,),
    "Softmax": (_one_axis,),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"), (_no_kernel,)),
    "Normalization": (_normalization,),
    "LeakyReLU": (_negative_slope,),
    "UpSampling2D": (_interpolation,),
    "Resizing": (_interpolation,),
    "GRU": (_gru, _recurrent),
    "LSTM": (_recurrent,),
    "SimpleRNN": (_recurrent,),
    "RNN": (_recurrent,),
    "ConvLSTM1D": (_recurrent,),
    "ConvLSTM2D": (_recurrent,),
    "ConvLSTM3D": (_recurrent,),
    "MultiHeadAttention": (_attention,),
}
