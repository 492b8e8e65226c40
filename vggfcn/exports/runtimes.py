"""Run an exported network with the runtime that it was exported for."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from vggfcn.loading import load_library

# From a batch to the network's output, for batches of any size.
Run = Callable[[np.ndarray], np.ndarray]


def saved_model(path: pathlib.Path) -> Run:
    """Run with TensorFlow."""
    loaded = tf.saved_model.load(str(path))
    return lambda batch: loaded.serve(tf.constant(batch))["output"].numpy()


def keras_file(path: pathlib.Path) -> Run:
    """Run with Keras, in safe mode: no code from the file is run."""
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda batch: keras.ops.convert_to_numpy(keras.tree.flatten(model(batch, training=False))[0])


def openvino(path: pathlib.Path) -> Run:
    """Run with OpenVINO, in float32."""
    from vggfcn.engines.openvino import PRECISION

    core = load_library("openvino").Core()
    compiled = core.compile_model(core.read_model(path), "CPU", PRECISION)
    return lambda batch: compiled(batch)[0]


def litert(path: pathlib.Path) -> Run:
    """Run with LiteRT. Its signature runner resizes the network for each batch."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda batch: next(iter(runner(**{name: batch}).values()))


def onnx(path: pathlib.Path) -> Run:
    """Run with ONNX Runtime."""
    onnxruntime = load_library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (network_input,) = session.get_inputs()
    return lambda batch: session.run(None, {network_input.name: batch})[0]


RUNTIMES = {"saved_model": saved_model, "onnx": onnx, "openvino": openvino, "litert": litert, "keras": keras_file}
