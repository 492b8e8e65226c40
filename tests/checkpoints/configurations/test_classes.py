"""What a configuration may name is told from code and from other people's classes."""

import sys

import keras
import pytest

from vggfcn.checkpoints.configurations import classes


def test_every_listed_name_is_in_keras():
    # Keras 3.12 is the last for Python 3.10, and has no adaptive pooling.
    expected = {name for name in classes.LAYERS if sys.version_info >= (3, 11) or not name.startswith("Adaptive")}
    for name in expected:
        assert issubclass(getattr(keras.layers, name), keras.layers.Layer), name
    for name in classes.ACTIVATIONS:
        assert callable(keras.activations.get(name))
    for names, module in ((classes.INITIALIZERS, keras.initializers), (classes.CONSTRAINTS, keras.constraints)):
        assert [name for name in names if not hasattr(module, name)] == []


def test_and_every_listed_operation():
    for name, module in classes.MODULE_OF_OPERATION.items():
        item = {"module": module, "class_name": name, "config": OPTIONS.get(name, {}), "registered_name": name}
        assert type(keras.saving.deserialize_keras_object(item)).__name__ == name


OPTIONS = {
    "Cast": {"dtype": "float32"},
    "Clip": {"x_min": 0, "x_max": 1},
    "ExpandDims": {"axis": 0},
    "Pad": {"pad_width": [[0, 0]]},
    "Reshape": {"newshape": [1]},
    "Resize": {"size": [2, 2]},
}


def test_no_layer_that_runs_code_or_reads_files_is_listed():
    assert not classes.LAYERS & (classes.CODE.keys() | classes.OTHER_LAYERS)


@pytest.mark.parametrize(
    ("item", "custom"),
    [
        ({"class_name": "Conv2D"}, False),
        ({"class_name": "Conv2D", "module": "keras.layers", "registered_name": None}, False),
        ({"class_name": "Conv2D", "module": "keras.src.layers.convolutional.conv2d"}, False),
        ({"class_name": "Conv2D", "module": "tensorflow.python.keras.layers.convolutional"}, False),
        (
            {"class_name": "Functional", "module": "tf_keras.src.engine.functional", "registered_name": "Functional"},
            False,
        ),
        ({"class_name": "experimental>Rescaling"}, False),
        ({"class_name": "Conv2D", "module": "my_layers"}, True),
        ({"class_name": "Conv2D", "module": "keras_hub.layers"}, True),
        ({"class_name": "Conv2D", "module": "kerasx.layers"}, True),
        ({"class_name": "Conv2D", "module": None, "registered_name": "Custom>Conv2D"}, True),
        ({"class_name": "Conv2D", "module": "keras.layers", "registered_name": "mine>Conv2D"}, True),
        ({"class_name": "Addons>GroupNormalization"}, True),
    ],
)
def test_custom_classes(item, custom):
    assert classes.is_custom(item) is custom


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dense", "Dense"),
        ("experimental>Rescaling", "Rescaling"),
        ("keras.layers.preprocessing.Rescaling", "Rescaling"),
        ("BatchNormalizationV1", "BatchNormalization"),
        ("SyncBatchNormalization", "BatchNormalization"),
        ("Model", "Functional"),
    ],
)
def test_names_of_today(name, expected):
    assert classes.class_name({"class_name": name}) == expected


def test_operations_and_layers_of_one_name():
    assert classes.is_operation({"class_name": "Add", "config": {"name": "add"}})
    assert not classes.is_operation({"class_name": "Add", "config": {"name": "add", "trainable": True}})
    assert classes.is_operation({"class_name": "Add", "module": "keras.src.ops.numpy", "config": {}})
    assert not classes.is_operation({"class_name": "Add", "module": "keras.layers", "config": {"name": "add"}})
