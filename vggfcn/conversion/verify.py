"""Check that two networks compute the same function at native size."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from vggfcn.conversion.logits import ending
from vggfcn.difference import Difference
from vggfcn.errors import ConversionError
from vggfcn.graph.copying import copy_layer
from vggfcn.graph.fronts import fronts_of
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.walking import graph_of, graph_or_refuse, layers_of

# Each weighted layer may sum in another order, which changes its output by some units in the last place. The errors of
# several layers add up like random ones, with the square root of their number. Measured: 20 units for VGG16.
UNITS_IN_LAST_PLACE = 32
# Networks such as attention amplify rounding. In float64 even this allowance is far below float32's rounding.
AMPLIFICATION = 1000
# Noise of size 1, and as large as pixels, since some networks scale their input.
SCALES = (1.0, 255.0)
# Networks with at most this many parameters and layers are compared in float64 too.
CHEAP_PARAMETERS = 10_000_000
CHEAP_LAYERS = 200
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
RELUS = ("relu", "relu6")


@dataclasses.dataclass(frozen=True)
class Equivalence(Difference):
    """The result of `verify`: how far apart the outputs of two networks are.

    - `max_abs_error`: the largest difference between two values. Networks that are not compared in float64 are also
      compared without a final softmax or sigmoid, which counts if it differs more.
    - `max_rel_error`: the largest difference, divided by the largest value of the same output.
    - `largest`: the largest value of the original's outputs.
    - `tolerance`: how large `max_rel_error` may be by rounding alone, given `dtype` and the number of layers.
    - `dtype`: the coarsest dtype that the original computes in.
    - `samples`: the number of inputs.
    - `float64_error`: `max_rel_error` of both networks in float64, with leaky ReLUs and without a final softmax or
      sigmoid, so that nothing hides a difference. None if the networks are too large, or cannot run in float64.
    - `float64_tolerance`: how large `float64_error` may be by rounding alone; None if there is none.
    """

    tolerance: float
    dtype: str
    samples: int
    float64_error: float | None = None
    float64_tolerance: float | None = None

    @property
    def ok(self) -> bool:
        """Whether rounding alone explains all differences."""
        exact = self.float64_error is None or bool(self.float64_error <= (self.float64_tolerance or 0))
        return exact and bool(self.max_rel_error <= self.tolerance)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        in_float64 = "" if self.float64_error is None else f", {self.float64_error:.1e} in float64"
        return (
            f"{'the same' if self.ok else 'NOT the same'} at native size: outputs differ by at most "
            f"{self.max_abs_error:.1e} where the largest is {self.largest:.3g} "
            f"({self.max_rel_error:.1e} of it{in_float64}; {self.dtype} rounding explains {self.tolerance:.1e})"
        )


def verify(
    original: keras.Model,
    converted: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    samples: int = 2,
    seed: int = 0,
) -> Equivalence:
    """Compare the outputs of two networks on random inputs of the original's native size.

    Both networks compute in their own precision; small networks are compared in float64 too.

    - `original`: the network that defines the native size and the expected outputs.
    - `converted`: the other network. Where the original has a vector, it may take or return a 1 x 1 map.
    - `input_shape`: the native size, without the batch. Only needed if the original leaves it open.
    - `samples`: the number of inputs. Their noise is alternately of size 1 and in [0, 255].
    - `seed`: the seed of the noise.

    Raises `ConversionError` if the networks have different numbers of inputs, outputs or values.
    """
    inputs, converted_inputs = (graph_or_refuse(model, model.name).inputs for model in (original, converted))
    fronts = fronts_of(graph_or_refuse(original, original.name))
    shapes = [front.native_shape(tensor, input_shape) for front, tensor in zip(fronts, inputs, strict=True)]
    if len(shapes) != len(converted_inputs):
        raise ConversionError(f"expected {len(shapes)} inputs like the original, got {len(converted_inputs)}")
    rng = np.random.default_rng(seed)
    batches = [_noise(inputs, shapes, SCALES[i % len(SCALES)], rng) for i in range(samples)]
    difference = _difference(original, converted, batches)
    dtype, tolerance = rounding(original)
    exact = _float64_error(original, converted, batches)
    ends = [ending(model) for model in (original, converted)]
    if exact is None and ends[0].function and ends[0].function == ends[1].function:
        # A softmax or sigmoid that is sure of its answer would hide differences.
        difference = Difference.worst([difference, _difference(ends[0].model, ends[1].model, batches)])
    return Equivalence(
        **dataclasses.asdict(difference),
        tolerance=tolerance,
        dtype=dtype,
        samples=samples,
        float64_error=exact,
        float64_tolerance=None if exact is None else tolerance / _epsilon(dtype) * AMPLIFICATION * EPSILON["float64"],
    )


def rounding(model: keras.Model) -> tuple[str, float]:
    """The coarsest dtype that a network computes in, and the difference that its rounding can explain.

    The difference is relative to the largest output.
    """
    depth = max(1, sum(bool(layer.weights) for layer in _layers(model)))
    dtype = max((EPSILON.get(layer.compute_dtype, 0), layer.compute_dtype) for layer in _layers(model))[1]
    return dtype, UNITS_IN_LAST_PLACE * math.sqrt(depth) * _epsilon(dtype)


def _epsilon(dtype: str) -> float:
    return EPSILON.get(dtype, EPSILON["float32"])


def _layers(model: keras.Model) -> list[Any]:
    """All layers, except the models that contain them."""
    return [layer for layer in layers_of(model) if not isinstance(layer, keras.Model)]


def _noise(inputs: Any, shapes: Any, scale: float, rng: np.random.Generator) -> list[np.ndarray]:
    arrays = []
    for tensor, shape in zip(inputs, shapes, strict=True):
        shape = (tensor.shape[0] or 1, *shape)
        if "int" in tensor.dtype:
            arrays.append(rng.integers(0, 256, shape).astype(tensor.dtype))
        else:
            noise = rng.standard_normal(shape) if scale == 1 else rng.uniform(0, scale, shape)
            arrays.append(noise.astype(np.float32))
    return arrays


def _difference(original: keras.Model, converted: keras.Model, batches: Any) -> Difference:
    """The largest difference over all batches.

    Batches that overflow in the original, as can happen in half precision, do not count unless all do.
    """
    differences, finite = [], []
    for arrays in batches:
        expected = _run(original, arrays)
        differences.append(_of_outputs(expected, _run(converted, _for_converted(original, converted, arrays))))
        finite.append(all(np.isfinite(values).all() for values in expected))
    usable = itertools.compress(differences, finite) if any(finite) else differences
    return Difference.worst(usable)


def _for_converted(original: keras.Model, converted: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The inputs as the converted network takes them, if it lacks layers that resize or reshape the original's."""
    fronts, others = (fronts_of(graph_or_refuse(model, model.name)) for model in (original, converted))
    pairs = zip(arrays, fronts, others, strict=True)
    return [array if (own.layers or own.shape) else front.applied(array) for array, front, own in pairs]


def _of_outputs(expected: list[np.ndarray], got: list[np.ndarray]) -> Difference:
    """The largest difference over all outputs."""
    if [values.size for values in expected] != [values.size for values in got]:
        shapes = [[values.shape for values in outputs] for outputs in (expected, got)]
        raise ConversionError(f"expected outputs of shapes {shapes[0]} at native size, got {shapes[1]}")
    pairs = zip(expected, got, strict=True)
    return Difference.worst(Difference.between(one, other.reshape(one.shape)) for one, other in pairs)


def _run(model: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs, converted to float64."""
    inputs = [_with_rank(array, tensor) for array, tensor in zip(arrays, model.inputs, strict=True)]
    structure = graph_or_refuse(model, model.name).input
    outputs = model(keras.tree.pack_sequence_as(structure, inputs), training=False)
    return [keras.ops.convert_to_numpy(values).astype(np.float64) for values in keras.tree.flatten(outputs)]


def _with_rank(array: np.ndarray, tensor: Any) -> np.ndarray:
    """The array as the network's input: where it expects a map, a vector becomes a cell, an image gets a channel."""
    if array.ndim == len(tensor.shape):
        return array
    if len(tensor.shape) == 4 and array.ndim == 2:
        return array[:, None, None]
    if len(tensor.shape) == 4 and array.ndim == 3:
        return array[..., None]
    raise ConversionError(f"{tensor.name}: expected an input of shape {array.shape[1:]}, got {tuple(tensor.shape[1:])}")


def _float64_error(original: keras.Model, converted: keras.Model, batches: Any) -> float | None:
    cheap = original.count_params() <= CHEAP_PARAMETERS and len(_layers(original)) <= CHEAP_LAYERS
    if not (cheap and _runs_in_float64(original) and _runs_in_float64(converted)):
        return None
    # Without a final softmax or sigmoid, which would hide differences.
    wide = [_in_float64(ending(model).model) for model in (original, converted)]
    return _difference(wide[0], wide[1], batches).max_rel_error


def _runs_in_float64(model: keras.Model) -> bool:
    """Whether the network can be rebuilt in float64 and is the same network there.

    Quantised layers cannot, nor layers inside wrappers, nor low-rank adaptation, which is merged in float32, nor
    resizing, which rounds to float32. TensorFlow has no channels-first convolutions in float64 on a CPU.
    """
    special = ("quantization_mode", "lora_enabled")
    graph = graph_of(model)
    if graph is None:
        return False
    at_input = [layer for front in fronts_of(graph) for layer in front.layers]
    return not any(
        any(getattr(layer, name, None) for name in special)
        or getattr(layer, "data_format", "") == "channels_first"
        or kind_of(layer) is Kind.WRAPPER
        or (kind_of(layer) is Kind.FIXED_SIZE and layer not in at_input)
        for layer in _layers(model)
    )


def _in_float64(model: keras.Model) -> keras.Model:
    """A copy that computes in float64 and hides no difference.

    Its ReLUs are leaky, so that there are no dead units.
    """
    made: dict[int, Any] = {}

    def copy(layer: Any) -> Any:
        if id(layer) not in made:
            made[id(layer)] = _with_wide_inputs(layer, copy) if isinstance(layer, keras.Model) else new(layer)
        return made[id(layer)]

    def new(layer: keras.layers.Layer) -> Any:
        changes: dict[str, Any] = {"dtype": "float64"} if isinstance(layer, keras.Layer) else {}
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        if activation in RELUS:
            changes["activation"] = "leaky_relu"
        if isinstance(layer, keras.layers.ReLU):
            changes.update(negative_slope=0.2, max_value=None)
        return copy_layer(layer, **changes)

    wide = _with_wide_inputs(model, copy)
    wide.set_weights(model.get_weights())
    for layer in _layers(wide):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return wide


def _with_wide_inputs(model: keras.Model, copy: Callable[[Any], Any]) -> keras.Model:
    """A copy with float64 inputs: Keras rounds what flows into a nested model to the dtype of its inputs."""
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype="float64" if "float" in x.dtype else x.dtype, name=x.name),
        graph_or_refuse(model, model.name).input,
    )
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=copy)
