"""Exported networks run as anybody would run them, with nothing of this package."""

import keras
import numpy as np
import onnxruntime
import openvino
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

# What an export in each format is called here.
NAMES = {"saved_model": "x", "onnx": "x.onnx", "openvino": "x.xml", "litert": "x.tflite", "keras": "x.keras"}


def run_saved_model(path, batch):
    loaded = tf.saved_model.load(str(path))
    (output,) = loaded.signatures["serving_default"](tf.constant(batch)).values()
    return output.numpy()


def run_onnx(path, batch):
    session = onnxruntime.InferenceSession(path)
    return session.run(["output"], {"image": batch})[0]


def run_openvino(path, batch):
    return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(batch)[0]


def run_litert(path, batch):
    interpreter = Interpreter(model_path=str(path))
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(image["index"], batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(image["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(output["index"])


def run_keras(path, batch):
    return np.asarray(keras.saving.load_model(path, safe_mode=True)(batch, training=False))


RUN = {name: globals()[f"run_{name}"] for name in NAMES}


def assert_same(name, path, model, batch):
    """The export gives the Keras model's output, to float32's rounding."""
    expected, found = np.asarray(model(batch, training=False)), RUN[name](path, batch)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def images(*shape):
    return np.random.default_rng(9).uniform(0, 255, shape).astype(np.float32)
