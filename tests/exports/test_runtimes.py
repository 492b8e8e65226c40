"""Each runtime gives what a network made by hand computes: twice its input, at any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from foreign_runtimes import NAMES, images

from vggfcn.exports.runtimes import RUNTIMES


class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)], autograph=False)
    def serve(self, image):
        return {"output": 2 * image}


def make_saved_model(path):
    module = Doubling()
    tf.saved_model.save(module, str(path), signatures=module.serve)


def make_onnx(path):
    from onnx import TensorProto, helper, numpy_helper, save

    axes = ["batch", "height", "width", 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in ("in", "out")]
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    graph = helper.make_graph([helper.make_node("Mul", ["in", "two"], ["out"])], "double", ends[:1], ends[1:], [two])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def make_openvino(path):
    import openvino
    from openvino import opset13

    image = opset13.parameter([-1, -1, -1, 3], np.float32)
    openvino.save_model(openvino.Model([opset13.multiply(image, np.float32(2))], [image]), path)


def make_litert(path):
    module = Doubling()
    concrete = module.serve.get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert())


def make_keras(path):
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(2.0)]).save(path)


MAKE = {name: globals()[f"make_{name}"] for name in NAMES}


@pytest.mark.filterwarnings("ignore:.*Please use the LiteRT interpreter:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_batches_of_all_sizes(name, tmp_path):
    path = tmp_path / NAMES[name]
    MAKE[name](path)
    run = RUNTIMES[name](path)
    for shape in ((1, 4, 5, 3), (2, 7, 3, 3)):
        batch = images(*shape)
        np.testing.assert_array_equal(run(batch), 2 * batch)


def test_code_in_a_keras_file_is_not_run(tmp_path):
    x = keras.Input((3,))
    keras.Model(x, keras.layers.Lambda(lambda x: 2 * x)(x)).save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        RUNTIMES["keras"](tmp_path / "x.keras")
