"""Run a Keras model with OpenVINO: convert it, store it in the engine cache, compile it, and follow its weights.

OpenVINO packs the weights once. Large 3x3 convolutions use `winograd.py`, which needs fewer multiplications.
"""

import contextlib
import functools
import gc
import pathlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines import cache
from vggfcn.engines.tracing import Replacement, Traced, digest_of, trace
from vggfcn.engines.winograd import winograd
from vggfcn.errors import EngineError
from vggfcn.graph.copying import tensor_of
from vggfcn.graph.layers import Kind, kind_of
from vggfcn.graph.walking import graph_of, layers_of, nodes_of
from vggfcn.loading import load_library
from vggfcn.memory import aligned_empty

openvino = load_library("openvino")

# Without a hint, OpenVINO chooses the fastest precision on the machine.
PRECISION = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
FILE = "network.xml"
# Variables of at most this many bytes are compared by value: TensorFlow may return copies of them.
_SMALL = 1024
# Filters of a kernel that are transposed at a time.
_FILTERS = 256


class OpenVINO:
    """A model's inference, always with the model's current weights.

    It does not keep the model alive; once the model is gone, its last weights stay. Raises `EngineError` if OpenVINO
    cannot run the model.
    """

    def __init__(self, model: keras.Model, threads: int | None):
        _check(model)
        self.configuration = PRECISION | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        self.lock = threading.Lock()
        self.snapshot = _Snapshot(model)
        self.model = weakref.ref(model, self.snapshot.clear)
        self.accepted: set[tuple[int, ...]] = set()
        try:
            self.compiled = self._compile(_cached(model))
        except RuntimeError as error:
            raise _refusal(model.name, error) from error

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The model's output on a batch of its input's shape and dtype; `RuntimeError` if an image is too small."""
        with self.lock:
            model = self.model()
            self._check_size(model, batch.shape)
            if model is not None and self.snapshot.differs(model):
                self.snapshot.take(model)
                # Not stored in the cache: a network in training has new weights each time.
                self.compiled = self._compile(_with_winograd(functools.partial(trace, model), model.name))
            return self.compiled(np.ascontiguousarray(batch))[0]

    def _check_size(self, model: keras.Model | None, shape: tuple[int, ...]) -> None:
        """Ask Keras once per shape: on one thread, OpenVINO returns its last output for an image that is too small."""
        if model is None or shape in self.accepted:
            return
        try:
            model.compute_output_shape(shape)
        except ValueError as error:
            raise RuntimeError(f"no output for a batch of shape {shape}") from error
        self.accepted.add(shape)

    def _compile(self, network: Any) -> Any:
        return openvino.Core().compile_model(network, "CPU", self.configuration)


def compile_model(model: keras.Model, threads: int | None) -> OpenVINO:
    """Compile a model for OpenVINO, on `threads` threads; None means one per core."""
    return OpenVINO(model, threads)


class Step:
    """A traced function of several tensors, run by OpenVINO with the current weights of `model`.

    Call it with any structure of tensors; it returns copies of the function's outputs. Raises `EngineError` if OpenVINO
    cannot run the function.
    """

    def __init__(self, model: keras.Model, traced: Traced):
        _check(model)
        function = traced(lambda layer: None)
        self.inputs = [tensor.name for tensor in function.inputs]
        self.outputs = [tensor.name for tensor in function.outputs]
        self.structure = function.structured_outputs
        try:
            self.compiled = openvino.Core().compile_model(_with_winograd(traced, model.name), "CPU", PRECISION)
        except RuntimeError as error:
            raise _refusal(model.name, error) from error

    def __call__(self, *tensors: Any) -> Any:
        """The function's outputs, as tensors."""
        values = map(np.asarray, tf.nest.flatten(tensors))
        results = self.compiled(dict(zip(self.inputs, values, strict=False)))
        return tf.nest.pack_sequence_as(self.structure, [tf.constant(results[name]) for name in self.outputs])


def compile_step(model: keras.Model, traced: Traced) -> Step:
    """Compile a traced function of several tensors for OpenVINO."""
    return Step(model, traced)


class _Snapshot:
    """The memory of a model's weights at some time, which shows whether they have changed since, without a copy.

    It relies on copy on write: while someone holds a variable's memory, TensorFlow writes new values elsewhere.
    """

    def __init__(self, model: keras.Model):
        self.take(model)

    def take(self, model: keras.Model) -> None:
        self.values = _values(model)

    def clear(self, model: object) -> None:
        self.values = []

    def differs(self, model: keras.Model) -> bool:
        now = _values(model)
        return len(now) != len(self.values) or not all(map(_unchanged, self.values, now))


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(tensor_of(variable)) for variable in model.weights]


def _unchanged(before: np.ndarray, now: np.ndarray) -> bool:
    if before.ctypes.data == now.ctypes.data:
        return True
    return before.nbytes == now.nbytes <= _SMALL and before.tobytes() == now.tobytes()


def _check(model: keras.Model) -> None:
    if taking := _taking_channels(graph_of(model)):
        raise EngineError(
            f"openvino wrongly applies convolutions to channels that {taking} reorders; use engine='tensorflow', or "
            "slices instead of keras.ops.take"
        )
    computed = {layer.compute_dtype for layer in layers_of(model) if isinstance(layer, keras.Layer)}
    if computed - {"float32"}:
        others = ", ".join(sorted(computed - {"float32"}))
        raise EngineError(f"openvino computes in float32, and {model.name} in {others}; use engine='tensorflow'")


def _taking_channels(graph: Any) -> str | None:
    """The name of an operation that selects channels by their numbers, which OpenVINO 2026.4 fuses wrongly."""
    for node in nodes_of(graph) if graph else ():
        layer = node.operation
        if isinstance(layer, keras.Model):
            if found := _taking_channels(graph_of(layer)):
                return f"{layer.name}/{found}"
        elif kind_of(layer) is Kind.TAKE and layer.axis not in (0, 1, 2):
            return str(layer.name)
    return None


def _cached(model: keras.Model) -> Any:
    """The converted network, read from the cache; its weights stay in the file, which is mapped into memory.

    It is stored there first if necessary. If that fails, the converted network itself.
    """
    key = f"{digest_of(trace(model))}-{openvino.__version__.split('-')[0]}"
    if found := cache.find(key):
        try:
            return openvino.Core().read_model(found / FILE)
        except RuntimeError:
            cache.discard(key)
    network = _with_winograd(functools.partial(trace, model), model.name)

    def write(folder: pathlib.Path) -> None:
        openvino.save_model(network, folder / FILE, compress_to_fp16=False)

    size = sum(np.prod(variable.shape) * 4 for variable in model.weights)
    with contextlib.suppress(OSError, RuntimeError):
        return openvino.Core().read_model(cache.store(key, int(size), write) / FILE)
    return network


def _with_winograd(traced: Traced, title: str) -> Any:
    """Convert a function, with large 3x3 convolutions computed by `winograd.py`."""
    return _convert(traced, title, lambda layer: winograd(layer) or _with_openvino_kernel(layer))


def converted(model: keras.Model) -> Any:
    """Convert a model to an OpenVINO network, with ordinary convolutions."""
    return _convert(functools.partial(trace, model), model.name, _with_openvino_kernel)


def _convert(traced: Traced, title: str, replacement: Replacement) -> Any:
    """Convert a function to an OpenVINO network."""
    from openvino import frontend

    failures = (RuntimeError, *(getattr(frontend, name) for name in dir(frontend) if name.endswith("Failure")))
    try:
        return _read(traced(replacement).graph)
    except failures as error:
        raise _refusal(title, error) from error
    finally:
        gc.collect()  # Graphs contain cycles, and would keep their transposed kernels in memory.


def _read(graph: Any) -> Any:
    # What `openvino.convert_model` comes down to.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    reader = FrontEndManager().load_by_framework("tf")
    # OpenVINO does not keep shared weights alive.
    iterator = GraphIteratorTFGraph(graph, share_weights=False)
    return reader.convert(reader.load(iterator))


def _refusal(title: str, error: Exception) -> EngineError:
    return EngineError(f"openvino cannot run {title}: {' '.join(str(error).split())[:300]}")


def _with_openvino_kernel(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """The convolution with its kernel stored in OpenVINO's axis order, since OpenVINO transposes kernels slowly."""
    if layer.groups > 1 or layer.data_format != "channels_last":
        return None
    original, kernel = layer.convolution_op, _in_openvino_order(tensor_of(layer.kernel))
    return lambda x, _: original(x, tf.transpose(kernel, (2, 3, 1, 0)))


def _in_openvino_order(kernel: Any) -> Any:
    """Transpose a kernel (rows, columns, in, out) to (out, in, rows, columns), in memory that can be freed.

    TensorFlow transposes faster than NumPy, but never returns memory to the system: so it gets few filters at a time.
    """
    height, width, channels, filters = kernel.shape
    transposed = aligned_empty((filters, channels, height, width))
    for start in range(0, filters, _FILTERS):
        transposed[start : start + _FILTERS] = tf.transpose(kernel[..., start : start + _FILTERS], (3, 2, 0, 1))
    return tf.experimental.dlpack.from_dlpack(transposed.__dlpack__())
