"""TensorFlow's functions become operations with the same results; golden files compare the numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vggfcn.checkpoints.configurations import operations
from vggfcn.checkpoints.configurations.operations import UnsupportedError

X = {"class_name": "__keras_tensor__", "config": {}}
VALUES = np.random.default_rng(0).uniform(0.1, 3, (2, 4, 5, 3)).astype(np.float32)


def run(operation, values):
    """The operation on numbers: stands for the tensor wherever the dictionary does."""
    module = operations.module_of(operation.name)
    item = {"module": module, "class_name": operation.name, "config": operation.config, "registered_name": None}
    made = keras.saving.deserialize_keras_object(item)
    args = [_filled_in(arg, values) for arg in operation.args]
    return np.asarray(made(*args))


def _filled_in(arg, values):
    if isinstance(arg, list) and all(part is X for part in arg):
        return [values, values]
    return values if arg is X else keras.saving.deserialize_keras_object(arg)


REVERSED = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
PADDINGS = [[0, 0], [1, 2], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("function", "keywords", "expected"),
    [
        ("math.truediv", {"y": 127.5}, lambda x: x / np.float32(127.5)),
        ("math.subtract", {"y": [1.0, 2.0, 3.0]}, lambda x: x - np.float32([1, 2, 3])),
        ("__operators__.add", {"y": 2}, lambda x: x + 2),
        ("math.maximum", {"y": 1.0}, lambda x: np.maximum(x, 1)),
        ("nn.bias_add", {"bias": [1.0, 2.0, 3.0], "data_format": "NHWC"}, lambda x: x + np.float32([1, 2, 3])),
        ("reverse", {"axis": [-1]}, lambda x: x[..., ::-1]),
        ("image.flip_left_right", {}, lambda x: x[:, :, ::-1]),
        ("image.flip_up_down", {}, lambda x: x[:, ::-1]),
        ("clip_by_value", {"clip_value_min": 0.5, "clip_value_max": 1.0}, lambda x: np.clip(x, 0.5, 1)),
        ("math.reduce_mean", {"axis": [1, 2]}, lambda x: x.mean((1, 2))),
        ("math.reduce_max", {"axis": -1, "keepdims": True}, lambda x: x.max(-1, keepdims=True)),
        ("nn.leaky_relu", {"alpha": 0.3, "name": None}, lambda x: x),
        ("transpose", {"perm": [0, 3, 1, 2], "conjugate": False}, lambda x: x.transpose(0, 3, 1, 2)),
        ("compat.v1.pad", {"paddings": PADDINGS}, lambda x: np.pad(x, PADDINGS)),
        ("reshape", {"shape": [-1, 60]}, lambda x: x.reshape(-1, 60)),
        ("image.rgb_to_grayscale", {}, lambda x: tf.image.rgb_to_grayscale(x)),
        ("image.resize", {"size": [7, 3], "method": "bicubic"}, lambda x: tf.image.resize(x, (7, 3), "bicubic")),
        ("__operators__.getitem", {"slice_spec": REVERSED}, lambda x: x[..., ::-1]),
        ("__operators__.getitem", {"slice_spec": [{"start": None, "stop": None, "step": None}, 1]}, lambda x: x[:, 1]),
    ],
)
def test_same_numbers(function, keywords, expected):
    found = run(operations.rewrite(function, X, dict(keywords)), VALUES)
    np.testing.assert_allclose(found, np.asarray(expected(VALUES)), rtol=1e-6)


def test_lists_of_tensors_and_numbers_that_come_first():
    found = run(operations.rewrite("concat", [X, X], {"axis": -1}), VALUES)
    np.testing.assert_array_equal(found, np.concatenate([VALUES, VALUES], -1))
    assert operations.rewrite("math.subtract", 1.0, {"y": X}).args == [1.0, X]


@pytest.mark.parametrize(
    ("function", "keywords", "reason"),
    [
        ("image.per_image_standardization", {}, "tf.image.per_image_standardization has no counterpart"),
        ("nn.relu", {"odd": 1}, "tf.nn.relu with odd"),
        ("nn.bias_add", {"bias": [1.0], "data_format": "NCHW"}, "channels first"),
        ("cast", {"dtype": "uint8"}, "tf.cast to 'uint8'"),
        ("image.resize", {"size": [2, 2], "antialias": True}, "antialias"),
        ("image.resize", {"size": [2, 2], "method": "gaussian"}, "'gaussian'"),
        ("pad", {"paddings": [[0, 0]], "mode": "REFLECT"}, "zeros"),
        ("math.add", {"y": "text"}, "'text'"),
        ("__operators__.getitem", {"slice_spec": [{"start": X, "stop": None, "step": None}]}, "the index"),
        ("transpose", {"perm": [0], "conjugate": True}, "conjugate"),
    ],
)
def test_refusals(function, keywords, reason):
    with pytest.raises(UnsupportedError, match=reason):
        operations.rewrite(function, X, dict(keywords))


def test_an_argument_that_is_missing():
    with pytest.raises(KeyError):
        operations.rewrite("math.add", X, {})
