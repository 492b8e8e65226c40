"""Models are rewritten to any depth; code and other people's classes are refused by name, wherever they are."""

import pathlib

import keras
import numpy as np
import pytest
from raw_configs import functional, image_input, layer, of_keras_3, sequential

from vggfcn.checkpoints.configurations import models
from vggfcn.checkpoints.configurations.notes import Rewriting
from vggfcn.errors import WeightsError


def rewritten(config, version=(2, 15)):
    return models.rewrite(config, Rewriting(pathlib.Path("m.h5"), version))


def kinds(config):
    return [part["class_name"] for part in config["config"]["layers"]]


@pytest.mark.parametrize(
    "config",
    [
        sequential(layer("ReLU", "relu", batch_input_shape=[None, 4])),
        {"class_name": "Sequential", "config": [layer("ReLU", "relu", batch_input_shape=[None, 4])]},
        {**sequential(layer("ReLU", "relu")), "build_config": {"input_shape": [None, 4]}},
        sequential(sequential(layer("ReLU", "relu", batch_input_shape=[None, 4]), name="inner")),
    ],
    ids=["stated in the first layer", "before Keras 2.2.3", "stated for the build", "in a nested model"],
)  # fmt: skip
def test_a_sequential_model_gets_its_input_layer(config):
    found = rewritten(config)
    assert kinds(found)[0] == "InputLayer"
    assert keras.saving.deserialize_keras_object(found).input_shape == (None, 4)


def test_hard_sigmoid_is_that_of_keras_2():
    found = rewritten(sequential(layer("Activation", "gate", activation="hard_sigmoid", batch_input_shape=[None, 5])))
    values = np.float32([[-4, -2, 0.7, 2, 4]])
    outputs = keras.saving.deserialize_keras_object(found)(values)
    np.testing.assert_allclose(outputs, np.clip(0.2 * values + 0.5, 0, 1), rtol=1e-6)
    of_3 = rewritten(sequential(layer("Activation", "gate", activation="hard_sigmoid")), (3, 0))
    assert kinds(of_3) == ["Activation"]


def test_thresholded_relu_and_layers_for_training():
    parts = layer("ThresholdedReLU", "limit", theta=0.5, batch_input_shape=[None, 3]), layer("RandomHeight", "random")
    found = rewritten(sequential(*parts))
    assert kinds(found) == ["InputLayer", "ReLU", "Identity"]
    outputs = keras.saving.deserialize_keras_object(found)(np.float32([[0.4, 0.5, 0.6]]))
    np.testing.assert_allclose(outputs, [[0, 0, 0.6]])


def test_layers_inside_layers():
    inner = {"class_name": "DepthwiseConv1D", "config": {"name": "inner", "kernel_size": 3, "groups": 1}}
    found = rewritten(sequential(layer("TimeDistributed", "steps", layer=inner)))
    assert found["config"]["layers"][0]["config"]["layer"] == of_keras_3("DepthwiseConv1D", name="inner", kernel_size=3)


CODE = {
    "Lambda": {"class_name": "Lambda", "config": {"name": "bad", "function": ["4wEAAA==", None, None]}},
    "TorchModuleWrapper": {"class_name": "TorchModuleWrapper", "config": {"name": "bad", "module": "gASV"}},
    "TFSMLayer": {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"name": "bad", "filepath": "/tmp"}},
    "MyLayer": {"class_name": "MyLayer", "config": {"name": "bad"}},
    "Dense": {"class_name": "Dense", "module": "evil", "config": {"name": "bad"}},
    "MyModel": {"class_name": "MyModel", "module": "evil", "config": {"name": "bad", "layers": []}},
    "LocallyConnected2D": {"class_name": "LocallyConnected2D", "config": {"name": "bad"}},
    "StringLookup": {"class_name": "StringLookup", "config": {"name": "bad", "vocabulary": "/etc/passwd"}},
    "WhileLoop": {"class_name": "WhileLoop", "module": "keras.src.ops.core", "config": {"name": "bad"}},
    "Activation": {"class_name": "Activation", "config": {"name": "bad", "activation": {"class_name": "__lambda__"}}},
}


@pytest.mark.parametrize("kind", CODE)
@pytest.mark.parametrize("depth", range(3))
def test_code_and_foreign_classes_are_refused_at_any_depth(kind, depth):
    item = CODE[kind]
    for _ in range(depth):
        item = {**sequential(), "config": {"name": "outer", "layers": [item]}}
    with pytest.raises(WeightsError, match=rf"^m\.h5: bad \({kind}\): "):
        rewritten(item)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "MyLayer",
            "needs the class 'MyLayer', which only its author's code has; load it yourself with custom_objects",
        ),
        ("Lambda", "code from a file does not run here (expected stock layers and no code)"),
        ("LocallyConnected2D", "is not a layer of image classifiers that Keras 3 has"),
    ],
)
def test_refusals_say_what_to_do(kind, words):
    with pytest.raises(WeightsError) as caught:
        rewritten(CODE[kind])
    assert words in str(caught.value)


def test_a_subclassed_model():
    config = {"class_name": "Model", "config": {"name": "mine"}}
    with pytest.raises(WeightsError, match=r"mine \(Model\): is a subclassed model"):
        rewritten(config)


def test_configurations_that_are_none():
    deep = sequential()
    for _ in range(60):
        deep = {"class_name": "Sequential", "config": {"name": "s", "layers": [deep]}}
    for config in (deep, {}, [], {"class_name": 3}, {"class_name": "Dense"}, {"class_name": "Sequential", "config": 3}):
        with pytest.raises(WeightsError, match="the model's configuration "):
            rewritten(config)


def test_functions_of_tensorflow_outside_a_graph():
    function = {"class_name": "TFOpLambda", "config": {"name": "f", "function": "math.add"}}
    with pytest.raises(WeightsError, match=r"f \(TFOpLambda\)"):
        rewritten(sequential(layer("ReLU", "relu"), function))


def test_slashes_in_names():
    """Keras 2 named layers of DenseNet "conv1/conv"; Keras 3 allows no slash."""
    parts = layer("ReLU", "conv1/relu", "image"), layer("Add", "sum", "image", "conv1/relu")
    found = rewritten(functional(image_input(), *parts))
    assert [part["name"] for part in found["config"]["layers"]] == ["image", "conv1_relu", "sum"]
    assert keras.saving.deserialize_keras_object(found).get_layer("conv1_relu")
    with pytest.raises(WeightsError, match="two layers of one name"):
        rewritten(functional(image_input(), *parts, layer("ReLU", "conv1_relu", "image")))


def test_options_of_models_are_kept():
    config = functional(image_input(), layer("ReLU", "relu", "image"), name="frozen")
    config["config"]["trainable"] = False
    model = keras.saving.deserialize_keras_object(rewritten(config))
    assert (model.name, model.trainable) == ("frozen", False)
