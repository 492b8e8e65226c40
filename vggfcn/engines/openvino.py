"""A Keras model run by OpenVINO, which packs the weights once: converted, kept on disk, compiled, never out of date.

Its large 3x3 convolutions are computed as `winograd.py` has it, with fewer multiplications.
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
import openvino
import tensorflow as tf

from vggfcn.engines import cache
from vggfcn.engines.tracing import Replacement, Traced, digest_of, trace
from vggfcn.engines.winograd import winograd
from vggfcn.errors import EngineError
from vggfcn.graph.copying import tensor_of
from vggfcn.graph.walking import layers_of
from vggfcn.memory import aligned_empty

# By itself OpenVINO takes whatever precision is fastest on the machine.
PRECISION = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
FILE = "network.xml"
# Bytes up to which a variable is compared by value: TensorFlow may hand out such small ones as copies.
_SMALL = 1024
# Turned at once.
_FILTERS = 256


class OpenVINO:
    """The model's inference with the weights that the model has when it is called.

    The model itself is not kept alive; without it, its last weights stay. Raises `EngineError` if OpenVINO cannot run
    the model.
    """

    def __init__(self, model: keras.Model, threads: int | None):
        _check(model)
        self.configuration = PRECISION | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        self.lock = threading.Lock()
        self.held = _Held(model)
        self.model = weakref.ref(model, self.held.forget)
        try:
            self.compiled = self._compiled(_kept(model))
        except RuntimeError as error:
            raise _cannot(model.name, error) from error

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The model's output on a batch of its own shape and dtype."""
        with self.lock:
            model = self.model()
            if model is not None and self.held.changed(model):
                self.held.take(model)
                # Not kept on disk: a network in training is never the same again.
                self.compiled = self._compiled(_fast(functools.partial(trace, model), model.name))
            return self.compiled(np.ascontiguousarray(batch))[0]

    def _compiled(self, network: Any) -> Any:
        return openvino.Core().compile_model(network, "CPU", self.configuration)


def compile_model(model: keras.Model, threads: int | None) -> OpenVINO:
    """The model run by OpenVINO, on so many threads; None are as many as there are cores."""
    return OpenVINO(model, threads)


class Step:
    """A traced function of several tensors run by OpenVINO, with the weights that `model` has now.

    It is called with tensors, nested in whatever way, and gives what the function gives, copied out of OpenVINO's
    memory. Raises `EngineError` as `OpenVINO` does.
    """

    def __init__(self, model: keras.Model, traced: Traced):
        _check(model)
        function = traced(lambda layer: None)
        self.given = [tensor.name for tensor in function.inputs]
        self.made = [tensor.name for tensor in function.outputs]
        self.structure = function.structured_outputs
        try:
            self.compiled = openvino.Core().compile_model(_fast(traced, model.name), "CPU", PRECISION)
        except RuntimeError as error:
            raise _cannot(model.name, error) from error

    def __call__(self, *tensors: Any) -> Any:
        """The function's outputs, as tensors."""
        values = map(np.asarray, tf.nest.flatten(tensors))
        made = self.compiled(dict(zip(self.given, values, strict=False)))
        return tf.nest.pack_sequence_as(self.structure, [tf.constant(made[name]) for name in self.made])


def compile_step(model: keras.Model, traced: Traced) -> Step:
    """A traced function of several tensors, run by OpenVINO."""
    return Step(model, traced)


class _Held:
    """The values a model had, by which a change is noticed at once and without a copy.

    As long as somebody reads a variable's memory, TensorFlow puts new values elsewhere.
    """

    def __init__(self, model: keras.Model):
        self.take(model)

    def take(self, model: keras.Model) -> None:
        self.values = _values(model)

    def forget(self, model: object) -> None:
        self.values = []

    def changed(self, model: keras.Model) -> bool:
        now = _values(model)
        return len(now) != len(self.values) or not all(map(_unchanged, self.values, now))


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(tensor_of(variable)) for variable in model.weights]


def _unchanged(before: np.ndarray, now: np.ndarray) -> bool:
    if before.ctypes.data == now.ctypes.data:
        return True
    return before.nbytes == now.nbytes <= _SMALL and before.tobytes() == now.tobytes()


def _check(model: keras.Model) -> None:
    computed = {layer.compute_dtype for layer in layers_of(model) if isinstance(layer, keras.Layer)}
    if computed - {"float32"}:
        others = ", ".join(sorted(computed - {"float32"}))
        raise EngineError(f"openvino computes in float32, and {model.name} in {others}; use engine='tensorflow'")


def _kept(model: keras.Model) -> Any:
    """The network, read from the cache folder: its weights stay in the file, which is mapped into memory.

    It is put there first if need be; if that cannot be, the network as converted.
    """
    key = f"{digest_of(trace(model))}-{openvino.__version__.split('-')[0]}"
    if found := cache.find(key):
        try:
            return openvino.Core().read_model(found / FILE)
        except RuntimeError:
            cache.discard(key)
    network = _fast(functools.partial(trace, model), model.name)

    def write(folder: pathlib.Path) -> None:
        openvino.save_model(network, folder / FILE, compress_to_fp16=False)

    size = sum(np.prod(variable.shape) * 4 for variable in model.weights)
    with contextlib.suppress(OSError, RuntimeError):
        return openvino.Core().read_model(cache.keep(key, int(size), write) / FILE)
    return network


def _fast(traced: Traced, title: str) -> Any:
    """The same with 3x3 convolutions as `winograd.py` has them."""
    return _converted(traced, title, lambda layer: winograd(layer) or _turned(layer))


def converted(model: keras.Model) -> Any:
    """The model as a network of OpenVINO's, its convolutions as they are."""
    return _converted(functools.partial(trace, model), model.name, _turned)


def _converted(traced: Traced, title: str, replacement: Replacement) -> Any:
    """The function as a network of OpenVINO's."""
    from openvino import frontend

    failures = (RuntimeError, *(getattr(frontend, name) for name in dir(frontend) if name.endswith("Failure")))
    try:
        return _read(traced(replacement).graph)
    except failures as error:
        raise _cannot(title, error) from error
    finally:
        gc.collect()  # A graph refers to itself, and would hold on to the kernels that were turned for it.


def _read(graph: Any) -> Any:
    # `openvino.convert_model` does this, and sends usage data besides.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    reader = FrontEndManager().load_by_framework("tf")
    # Weights that are shared are not kept alive by who shares them.
    iterator = GraphIteratorTFGraph(graph, share_weights=False)
    return reader.convert(reader.load(iterator))


def _cannot(title: str, error: Exception) -> EngineError:
    return EngineError(f"openvino cannot run {title}: {' '.join(str(error).split())[:300]}")


def _turned(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """The convolution with its kernel in OpenVINO's order of axes: left to itself, it turns kernels slowly."""
    if layer.groups > 1 or layer.data_format != "channels_last":
        return None
    original, kernel = layer.convolution_op, _in_its_order(tensor_of(layer.kernel))
    return lambda x, _: original(x, tf.transpose(kernel, (2, 3, 1, 0)))


def _in_its_order(kernel: Any) -> Any:
    """(out, in, rows, columns) of (rows, columns, in, out), in memory that goes back to the system when it is free.

    TensorFlow, which is quicker at this than NumPy, keeps what it once had: so it is given some filters at a time.
    """
    height, width, channels, filters = kernel.shape
    turned = aligned_empty((filters, channels, height, width))
    for start in range(0, filters, _FILTERS):
        turned[start : start + _FILTERS] = tf.transpose(kernel[..., start : start + _FILTERS], (3, 2, 0, 1))
    return tf.experimental.dlpack.from_dlpack(turned.__dlpack__())
