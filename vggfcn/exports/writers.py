"""Write a Keras model in each format, with the format's own library."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.tracing import replaced
from vggfcn.graph.walking import layers_of
from vggfcn.loading import load_library
from vggfcn.temporary import temporary_folder

# Names of the input and the output, and of their axes in ONNX.
INPUT, OUTPUT = "image", "output"
AXES = {INPUT: ("batch", "height", "width"), OUTPUT: ("batch", "rows", "columns")}


def saved_model(model: keras.Model, path: pathlib.Path) -> None:
    """Write a SavedModel. Its function is `serve`, which is also the signature `serving_default`."""
    (model_input,) = model.inputs

    def serve(image: Any) -> dict[str, Any]:
        return {OUTPUT: keras.tree.flatten(model(image, training=False))[0]}

    # Keras's own export would hold the weights twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signature = [tf.TensorSpec(model_input.shape, model_input.dtype, INPUT)]
    module.serve = tf.function(serve, input_signature=signature, autograph=False)
    with replaced(layers_of(model), _grouped):
        tf.saved_model.save(module, str(path), signatures=module.serve)


def keras_file(model: keras.Model, path: pathlib.Path) -> None:
    """Write a `.keras` file."""
    model.save(path)


def openvino(model: keras.Model, path: pathlib.Path) -> None:
    """Write OpenVINO's `.xml`, and the weights in a `.bin` beside it, as float32."""
    from vggfcn.engines.openvino import converted

    load_library("openvino").save_model(converted(model), path, compress_to_fp16=False)


def litert(model: keras.Model, path: pathlib.Path) -> None:
    """Write a LiteRT (TensorFlow Lite) file that uses built-in operations only."""
    # A frozen graph would also work, but takes three times the memory.
    with temporary_folder(path.parent) as folder:
        saved_model(model, folder)
        written = tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()
    path.write_bytes(written)


def onnx(model: keras.Model, path: pathlib.Path) -> None:
    """Write an ONNX file that uses standard operations only."""
    onnxruntime, tf2onnx = load_library("onnxruntime"), load_library("tf2onnx")
    # tf2onnx takes twenty times the memory of weights that are in the graph, so here they are inputs until it is done.
    function, variables = _with_weights_as_inputs(model)
    inputs = [tensor.name for tensor in function.inputs[: 1 + len(variables)]]
    output = function.outputs[0].name
    network, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(add_shapes=True),
        name=model.name,
        input_names=inputs,
        output_names=[output],
        tensors_to_rename={inputs[0]: INPUT, output: OUTPUT},
    )
    _fill_in(network.graph, dict(zip(inputs[1:], variables, strict=True)))
    for value in (*network.graph.input, *network.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES[value.name], strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name
    # ONNX has another order of axes in its kernels. Whatever depends on weights alone is computed once, here.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _with_weights_as_inputs(model: keras.Model) -> tuple[Any, list[keras.Variable]]:
    """The model as a function of images followed by all variables, and these variables."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    trained = len(model.trainable_variables)

    def run(batch: Any, *values: Any) -> Any:
        outputs, _ = model.stateless_call(values[:trained], values[trained:], batch, training=False)
        return keras.tree.flatten(outputs)[0]

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (*model.inputs, *variables)]
    with replaced(layers_of(model), _grouped):
        return tf.function(run, autograph=False).get_concrete_function(*signature), variables


def _grouped(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """A grouped convolution as one operation; Keras's own is a function that is compiled where it runs."""
    if layer.groups == 1 or layer.data_format != "channels_last":
        return None
    return lambda x, kernel: tf.nn.conv2d(
        x, tf.convert_to_tensor(kernel), layer.strides, layer.padding.upper(), dilations=layer.dilation_rate
    )


def _fill_in(graph: Any, values: dict[str, keras.Variable]) -> None:
    """Replace the inputs that stand for variables by constants with their values."""
    from onnx.helper import np_dtype_to_tensor_dtype

    for value in [value for value in graph.input if value.name in values]:
        array = np.asarray(keras.ops.convert_to_numpy(values[value.name]))
        tensor = graph.initializer.add(name=value.name, dims=array.shape)
        tensor.data_type = np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
        graph.input.remove(value)


WRITERS = {"saved_model": saved_model, "onnx": onnx, "openvino": openvino, "litert": litert, "keras": keras_file}
