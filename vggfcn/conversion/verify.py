"""The proof that two networks are one."""

import dataclasses
import itertools
import math
from typing import Any

import keras
import numpy as np

from vggfcn.difference import Difference
from vggfcn.errors import ConversionError
from vggfcn.graph.copying import copy_layer
from vggfcn.graph.walking import graph_of, graph_or_refuse, layers_of, native_shape, producer_of

# Sums in another order: each weighted layer adds an error of some units in the last place, and errors of many layers
# add up as random ones do, with the square root of their number. Measured: VGG16, 16 layers, 20 units.
UNITS_IN_LAST_PLACE = 32
# In float64 there is room for networks that amplify rounding, such as attention: it stays far below float32's.
AMPLIFICATION = 1000
# Noise of size 1, and as large as pixels: networks that scale their input see something of both.
SCALES = (1.0, 255.0)
# Up to so many parameters and layers the comparison is made in float64 as well.
CHEAP_PARAMETERS = 10_000_000
CHEAP_LAYERS = 200
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
DEADLY = ("relu", "relu6")
CLASSIFIER_ENDS = ("softmax", "sigmoid", "log_softmax")


@dataclasses.dataclass(frozen=True)
class Equivalence(Difference):
    """How far two networks' outputs are apart.

    `max_abs_error` is the largest difference of any two values, `max_rel_error` the largest over the largest value of
    the same output, and `tolerance` what rounding explains of the latter, from the coarsest `dtype` computed in and
    the number of layers. `float64_error` is `max_rel_error` of both networks in float64, with leaky ReLUs and without
    a last softmax or sigmoid, so that nothing hides a difference; `float64_tolerance` is what rounding explains of
    it. Both are None if the networks are too large or too special. `largest` is the original's largest value,
    `samples` the number of inputs.
    """

    tolerance: float
    dtype: str
    samples: int
    float64_error: float | None = None
    float64_tolerance: float | None = None

    @property
    def ok(self) -> bool:
        """Whether rounding explains all differences."""
        exact = self.float64_error is None or bool(self.float64_error <= (self.float64_tolerance or 0))
        return exact and bool(self.max_rel_error <= self.tolerance)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        close = "" if self.float64_error is None else f", {self.float64_error:.1e} in float64"
        return (
            f"{'the same' if self.ok else 'NOT the same'} at native size: outputs differ by at most "
            f"{self.max_abs_error:.1e} where the largest is {self.largest:.3g} ({self.max_rel_error:.1e} of it{close}; "
            f"{self.dtype} rounding explains {self.tolerance:.1e})"
        )


def verify(
    original: keras.Model,
    converted: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    samples: int = 2,
    seed: int = 0,
) -> Equivalence:
    """Compare two networks on `samples` random inputs of the original's native size.

    `input_shape` is that size, (rows, columns, channels) or as the original has it, where the original leaves it open.
    The converted network may take a vector as a 1 x 1 map, and give maps of one cell for vectors. Both compute in their
    own precision, and in float64 too if that is cheap.

    Raises `ConversionError` if the networks have different numbers of inputs, outputs or values.
    """
    inputs, wanted = (graph_or_refuse(model, model.name).inputs for model in (original, converted))
    shapes = [native_shape(tensor, input_shape) for tensor in inputs]
    if len(shapes) != len(wanted):
        raise ConversionError(f"expected {len(shapes)} inputs as in the original, got {len(wanted)}")
    rng = np.random.default_rng(seed)
    batches = [_noise(inputs, shapes, SCALES[i % len(SCALES)], rng) for i in range(samples)]
    found = _difference(original, converted, batches)
    dtype, tolerance = rounding(original)
    exact = _float64_error(original, converted, batches)
    return Equivalence(
        **dataclasses.asdict(found),
        tolerance=tolerance,
        dtype=dtype,
        samples=samples,
        float64_error=exact,
        float64_tolerance=None if exact is None else tolerance / _epsilon(dtype) * AMPLIFICATION * EPSILON["float64"],
    )


def rounding(model: keras.Model) -> tuple[str, float]:
    """The coarsest dtype that a network computes in, and what its rounding explains of a difference.

    That is a share of the largest output, where the same sums are made in another order.
    """
    depth = max(1, sum(bool(layer.weights) for layer in _layers(model)))
    dtype = max((EPSILON.get(layer.compute_dtype, 0), layer.compute_dtype) for layer in _layers(model))[1]
    return dtype, UNITS_IN_LAST_PLACE * math.sqrt(depth) * _epsilon(dtype)


def _epsilon(dtype: str) -> float:
    return EPSILON.get(dtype, EPSILON["float32"])


def _layers(model: keras.Model) -> list[Any]:
    """The layers that compute something, those of nested models included."""
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
    """The worst over all batches.

    Noise that overflows in the original (half precision) is left out, as long as some is not.
    """
    differences, finite = [], []
    for arrays in batches:
        expected = _run(original, arrays)
        differences.append(_of_outputs(expected, _run(converted, arrays)))
        finite.append(all(np.isfinite(values).all() for values in expected))
    usable = itertools.compress(differences, finite) if any(finite) else differences
    return Difference.worst(usable)


def _of_outputs(expected: list[np.ndarray], got: list[np.ndarray]) -> Difference:
    if [values.size for values in expected] != [values.size for values in got]:
        shapes = [[values.shape for values in outputs] for outputs in (expected, got)]
        raise ConversionError(f"at native size the outputs have shapes {shapes[1]} where {shapes[0]} is expected")
    pairs = zip(expected, got, strict=True)
    return Difference.worst(Difference.between(one, other.reshape(one.shape)) for one, other in pairs)


def _run(model: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs in float64, each as it is."""
    given = [_as_wanted(array, tensor) for array, tensor in zip(arrays, model.inputs, strict=True)]
    structure = graph_or_refuse(model, model.name).input
    outputs = model(keras.tree.pack_sequence_as(structure, given), training=False)
    return [keras.ops.convert_to_numpy(values).astype(np.float64) for values in keras.tree.flatten(outputs)]


def _as_wanted(array: np.ndarray, tensor: Any) -> np.ndarray:
    """A vector as a map of one cell, rows and columns as a map of one channel, where the network wants a map."""
    if array.ndim == len(tensor.shape):
        return array
    if len(tensor.shape) == 4 and array.ndim == 2:
        return array[:, None, None]
    if len(tensor.shape) == 4 and array.ndim == 3:
        return array[..., None]
    raise ConversionError(f"{tensor.name}: expected an input of shape {array.shape[1:]}, got {tuple(tensor.shape[1:])}")


def _float64_error(original: keras.Model, converted: keras.Model, batches: Any) -> float | None:
    cheap = original.count_params() <= CHEAP_PARAMETERS and len(_layers(original)) <= CHEAP_LAYERS
    if not (cheap and _is_plain(original) and _is_plain(converted)):
        return None
    wide = _in_float64(original), _in_float64(converted)
    return _difference(*wide, batches).max_rel_error


def _is_plain(model: keras.Model) -> bool:
    """Whether the network can be rebuilt and run in float64 and is the same one there.

    Quantised layers are not, nor is low-rank adaptation, which is merged in float32; and TensorFlow has no
    channels-first convolutions in float64 on a CPU.
    """
    special = ("quantization_mode", "lora_enabled")
    return graph_of(model) is not None and not any(
        any(getattr(layer, name, None) for name in special) or getattr(layer, "data_format", "") == "channels_first"
        for layer in _layers(model)
    )


def _in_float64(model: keras.Model) -> keras.Model:
    """A copy that computes in float64 and hides nothing.

    Its ReLUs are leaky, so that there are no dead units, and its last softmax or sigmoid is left out.
    """
    last = {producer_of(tensor).name for tensor in model.outputs}

    def copy(layer: keras.layers.Layer) -> Any:
        changes: dict[str, Any] = {"dtype": "float64"} if isinstance(layer, keras.Layer) else {}
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        if activation in DEADLY:
            changes["activation"] = "leaky_relu"
        elif layer.name in last and activation in CLASSIFIER_ENDS:
            changes["activation"] = "linear"
        if isinstance(layer, keras.layers.ReLU):
            changes.update(negative_slope=0.2, max_value=None)
        return copy_layer(layer, **changes)

    wide = keras.models.clone_model(model, clone_function=copy, recursive=True)
    wide.set_weights(model.get_weights())
    for layer in _layers(wide):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return wide
