"""Take the final softmax or sigmoid off a network, so that its maps hold logits, and say what these logits mean."""

import dataclasses
from typing import Any

import keras
import numpy as np

from vggfcn.graph.copying import building_from, copy_layer, has_sublayers, values_of
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.walking import call_inputs, graph_or_refuse, producer_of
from vggfcn.maps.activations import ACTIVATIONS, NONE, SIGMOID, SOFTMAX, logits_of

AUTO = "auto"
# The attribute of a model that holds its endings, by the activation that was asked for.
_FOUND = "_vggfcn_endings"
# Layers at the end that change no value at inference, beside the kind `DROPOUT`; and kinds that only change the shape.
_IDLE = ("Identity", "ActivityRegularization", "Cast")
_RESHAPING = (Kind.FLATTEN, Kind.RESHAPE, Kind.AXES_OF_LENGTH_1)
# Names of last layers that return logits, if they are dense layers or convolutions without activation: "predictions" in
# keras.applications (see `classifier_activation` there) and in the networks of this package, "fc8" in Caffe's, "logits"
# by the word's meaning. Under these names, others may return anything: a mean of probabilities, a tanh.
LOGITS_LAYERS = ("predictions", "logits", "fc8")
OPERATIONS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
FUNCTIONS = {"softmax": SOFTMAX, "log_softmax": SOFTMAX, "sigmoid": SIGMOID}


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a network ends.

    - `model`: the network without its final softmax or sigmoid, sharing its weights; the network itself if it has none.
      If it had a single sigmoid unit, the model returns two logits: 0, and the unit's. Their softmax is the sigmoid.
    - `activation`: what the model's outputs mean, one of `maps.activations.ACTIVATIONS`.
    - `reason`: how this is known.
    - `function`: the name of the activation that was taken off, such as "log_softmax"; "" if there is none.
    - `single_unit`: whether the network has one sigmoid unit, and the model two classes.
    """

    model: keras.Model
    activation: str
    reason: str
    function: str = ""
    single_unit: bool = False

    def logits(self, outputs: np.ndarray) -> np.ndarray:
        """The logits, float32 (..., classes), for outputs of the network with its activation, (..., units)."""
        if self.single_unit and self.function:
            outputs = np.concatenate([1 - outputs.astype(np.float64), outputs], -1)
        elif self.single_unit:
            return np.concatenate([np.zeros_like(outputs), outputs], -1)
        if self.function in ("", "log_softmax"):
            return outputs
        return logits_of(outputs, self.activation).astype(np.float32)


def ending(model: keras.Model, activation: str = AUTO) -> Ending:
    """Find out how a network ends, and take its final softmax, log-softmax or sigmoid off.

    The last layers decide, in nested models too. A network without any of these activations ends in logits of a softmax
    if its last layer is a dense one or a convolution with a name of `LOGITS_LAYERS`, and in values that are no
    probabilities otherwise. `activation` replaces this guess: "softmax", "sigmoid" or "none". "none" keeps the network
    as it is.

    Raises `ValueError` if `activation` contradicts the network's last layer, and `ConversionError` if the model has no
    graph. The result is kept with the model.
    """
    if activation not in (AUTO, *ACTIVATIONS):
        raise ValueError(f"activation: expected {', '.join(map(repr, (AUTO, *ACTIVATIONS)))}, got {activation!r}")
    found: dict[str, Ending] = vars(model).setdefault(_FOUND, {})
    if activation not in found:
        found[activation] = _ending(model, activation)
    return found[activation]


def returns_logits(model: keras.Model, activation: str) -> keras.Model:
    """Note that a model returns logits of this activation, so that nothing is taken off it; returns the model."""
    vars(model)[_FOUND] = dict.fromkeys((AUTO, activation), Ending(model, activation, "it returns logits"))
    return model


def pass_on(source: keras.Model, target: keras.Model) -> keras.Model:
    """Note of a model made from another what is noted of that one; returns the model."""
    for asked, found in vars(source).get(_FOUND, {}).items():
        if found.model is source:
            vars(target).setdefault(_FOUND, {})[asked] = dataclasses.replace(found, model=target)
    return target


def _ending(model: keras.Model, wanted: str) -> Ending:
    graph = graph_or_refuse(model, model.name)
    if len(graph.outputs) != 1 or wanted == NONE:
        reason = "as asked" if wanted == NONE else "the network has several outputs"
        return Ending(model, NONE, reason)
    cut = _cut(graph.outputs[0], model.name)
    function = ""
    if isinstance(cut, _Uncut):
        name = cut.layer
        activation = wanted if wanted != AUTO else SOFTMAX if cut.linear and name in LOGITS_LAYERS else NONE
        if wanted != AUTO:
            reason = "as asked"
        elif activation == SOFTMAX:
            reason = f"its last layer is called {name!r} and has no activation, so it returns logits"
        else:
            reason = f"its last layer, {name!r}, has no softmax and no sigmoid"
        logits = graph.outputs[0]
    else:
        activation, logits, function = cut.activation, cut.logits, cut.name
        reason = f"it ends in {cut.name} (layer {cut.layer!r})"
        if wanted not in (AUTO, activation):
            raise ValueError(f"activation: got {wanted!r}, but {model.name} ends in {cut.name} (layer {cut.layer!r})")
    if activation == SIGMOID and logits.shape[-1] == 1:
        both = returns_logits(_model(model, graph, _two_classes(logits, model.name)), SOFTMAX)
        reason += ", which has one unit: the probability of the second class"
        return Ending(both, SOFTMAX, reason, function, True)
    if activation == SOFTMAX and logits.shape[-1] == 1:
        if wanted == SOFTMAX:
            raise ValueError(
                f'activation: got "softmax", but {model.name} has a single output, which would always be 1'
            )
        return Ending(model, NONE, f"{reason}; of a single output that is no probability")
    if isinstance(cut, _Uncut):
        return Ending(model, activation, reason)
    return Ending(returns_logits(_model(model, graph, logits), activation), activation, reason, function)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """The tensor before the final activation; the activation's meaning, its function's name and its layer."""

    logits: Any
    activation: str
    name: str
    layer: str


@dataclasses.dataclass(frozen=True)
class _Uncut:
    """The last layer that computes something, without one of the activations.

    `linear` is whether it is a dense layer or a convolution without any activation.
    """

    layer: str
    linear: bool = False


def _cut(tensor: Any, path: str) -> _Cut | _Uncut:
    layer = producer_of(tensor)
    if isinstance(layer, keras.Model):
        return _cut_inside(tensor, layer)
    own = type(layer).__module__.startswith("keras.")  # Custom layers of these names may compute anything.
    name_of_class, kind, before = type(layer).__name__ if own else "", kind_of(layer), call_inputs(layer, tensor)
    idle = (name_of_class in _IDLE or kind is Kind.DROPOUT) and "float" in tensor.dtype
    if idle or (name_of_class == "Activation" and layer.activation is keras.activations.linear):
        return _cut(before[0], path)
    if kind in _RESHAPING:
        cut = _cut(before[0], path)
        if isinstance(cut, _Cut):
            return dataclasses.replace(cut, logits=copy_layer(layer)(cut.logits))
        return cut
    if name_of_class in OPERATIONS and _is_along_last_axis(layer, tensor):
        operation = OPERATIONS[name_of_class]
        return _Cut(before[0], FUNCTIONS[operation], operation, layer.name)
    activation = getattr(layer, "activation", None)
    name = next((name for name in FUNCTIONS if activation is getattr(keras.activations, name)), None)
    if name is None or len(before) != 1:
        weighted = kind in (Kind.DENSE, Kind.CONVOLUTION)
        return _Uncut(layer.name, weighted and activation in (None, keras.activations.linear))
    if name_of_class == "Activation":
        return _Cut(before[0], FUNCTIONS[name], name, layer.name)
    return _Cut(_linear(layer, before[0], tensor, name), FUNCTIONS[name], name, layer.name)


def _cut_inside(tensor: Any, model: keras.Model) -> _Cut | _Uncut:
    """Cut within a nested model, and call what is left on the same inputs."""
    graph = graph_or_refuse(model, model.name)
    if len(graph.outputs) != 1:
        return _Uncut(model.name)
    cut = _cut(graph.outputs[0], model.name)
    if isinstance(cut, _Uncut):
        return cut
    # Under another name, because the model itself may be called before this.
    inner = _model(model, graph, cut.logits, f"{model.name}_logits")
    return dataclasses.replace(cut, logits=inner(keras.tree.pack_sequence_as(graph.input, call_inputs(model, tensor))))


def _is_along_last_axis(layer: Any, tensor: Any) -> bool:
    axis = getattr(layer, "axis", -1)
    return isinstance(axis, int) and axis % len(tensor.shape) == len(tensor.shape) - 1


def _linear(layer: Any, before: Any, after: Any, name: str) -> Any:
    """What a layer computes before its activation: its copy without it, with the same variables."""
    if has_sublayers(layer) or getattr(layer, "quantization_mode", None):
        # Such a layer cannot be copied around its variables. The logarithms of probabilities are logits as well.
        tiny = float(np.finfo(np.float32).tiny)
        if name == "log_softmax":
            return after
        likely = keras.ops.log(keras.ops.maximum(after, tiny))
        if name == "softmax":
            return likely
        return keras.ops.subtract(likely, keras.ops.log(keras.ops.maximum(keras.ops.subtract(1.0, after), tiny)))
    linear = copy_layer(layer, activation="linear")
    linear.trainable = layer.trainable
    with building_from(linear, values_of(layer), share=True):
        return linear(before)


def _two_classes(logit: Any, name: str) -> Any:
    """The logits 0 and z for the logit z of a single unit: (..., 1) -> (..., 2)."""
    kernel = np.array([0, 1], np.float32)
    options: dict[str, Any] = {"use_bias": False, "name": f"{name}_two_classes", "trainable": False}
    if len(logit.shape) == 4:
        layer = keras.layers.Conv2D(2, 1, **options)
        shape: tuple[int, ...] = (1, 1, 1, 2)
    else:
        layer, shape = keras.layers.Dense(2, **options), (1, 2)
    with building_from(layer, {"kernel": kernel.reshape(shape)}):
        return layer(logit)


def _model(model: keras.Model, graph: Any, output: Any, name: str = "") -> keras.Model:
    """A model with the inputs of another, its name if no other is given, and this output."""
    logits: keras.Model = keras.Model(graph.input, output, name=name or model.name, trainable=model.trainable)
    return logits
