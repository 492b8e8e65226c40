"""A Keras model written in each format, by the libraries that know the formats."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.tracing import replaced
from vggfcn.graph.walking import layers_of

# Names of the input and the output, and in ONNX of their axes.
INPUT, OUTPUT = "image", "output"
AXES = {INPUT: ("batch", "height", "width"), OUTPUT: ("batch", "rows", "columns")}


def saved_model(model: keras.Model, path: pathlib.Path) -> None:
    """TensorFlow's folder: the function `serve`, which is the signature `serving_default` too."""
    (given,) = model.inputs

    def serve(image: Any) -> dict[str, Any]:
        return {OUTPUT: keras.tree.flatten(model(image, training=False))[0]}

    # Keras's own export holds the weights twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(serve, input_signature=[tf.TensorSpec(given.shape, given.dtype, INPUT)], autograph=False)
    with replaced(layers_of(model), _grouped):
        tf.saved_model.save(module, str(path), signatures=module.serve)


def keras_file(model: keras.Model, path: pathlib.Path) -> None:
    """Keras's own file."""
    model.save(path)


def openvino(model: keras.Model, path: pathlib.Path) -> None:
    """OpenVINO's network, and its weights in a file beside it, in float32."""
    import openvino

    from vggfcn.engines.openvino import converted

    openvino.save_model(converted(model), path, compress_to_fp16=False)


def litert(model: keras.Model, path: pathlib.Path) -> None:
    """LiteRT's (TensorFlow Lite's) file, of its own operations alone."""
    # A frozen graph would do as well, and takes three times the memory.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        saved_model(model, pathlib.Path(folder))
        written = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    path.write_bytes(written)


def onnx(model: keras.Model, path: pathlib.Path) -> None:
    """ONNX's file, of standard operations alone."""
    import onnxruntime
    import tf2onnx

    # With the weights in the graph, tf2onnx takes twenty times their memory: so they are inputs until it is done.
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
    # What can be computed from weights alone is computed once, here: ONNX has its kernels in another order of axes.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _with_weights_as_inputs(model: keras.Model) -> tuple[Any, list[keras.Variable]]:
    """The model's graph as a function of images and then of all variables, and those variables."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    trained = len(model.trainable_variables)

    def run(batch: Any, *values: Any) -> Any:
        outputs, _ = model.stateless_call(values[:trained], values[trained:], batch, training=False)
        return keras.tree.flatten(outputs)[0]

    (given,) = model.inputs
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (given, *variables)]
    with replaced(layers_of(model), _grouped):
        return tf.function(run, autograph=False).get_concrete_function(*signature), variables


def _grouped(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """A grouped convolution as one operation; Keras's is a function that is compiled where it runs."""
    if layer.groups == 1 or layer.data_format != "channels_last":
        return None
    return lambda x, kernel: tf.nn.conv2d(
        x, tf.convert_to_tensor(kernel), layer.strides, layer.padding.upper(), dilations=layer.dilation_rate
    )


def _fill_in(graph: Any, values: dict[str, keras.Variable]) -> None:
    """Make initializers of the inputs that stand for variables."""
    from onnx.helper import np_dtype_to_tensor_dtype

    for value in [value for value in graph.input if value.name in values]:
        array = np.asarray(keras.ops.convert_to_numpy(values[value.name]))
        tensor = graph.initializer.add(name=value.name, dims=array.shape)
        tensor.data_type = np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
        graph.input.remove(value)


WRITERS = {"saved_model": saved_model, "onnx": onnx, "openvino": openvino, "litert": litert, "keras": keras_file}
