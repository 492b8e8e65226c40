"""Arguments of single layers become those of Keras 3, or the layer is refused by name."""

import pathlib

import keras
import pytest
from raw_configs import of_keras_3

from vggfcn.checkpoints.configurations import layers
from vggfcn.checkpoints.configurations.notes import Rewriting
from vggfcn.errors import WeightsError


def rewritten(kind, version=(2, 15), **arguments):
    rewriting = Rewriting(pathlib.Path("m.h5"), version)
    found = layers.rewrite({"name": "x", **arguments}, kind, rewriting)
    again = layers.rewrite(dict(found), kind, Rewriting(pathlib.Path("m.h5"), version))
    assert again == found, "rewriting twice is rewriting once"
    return {key: value for key, value in found.items() if key != "name"}, rewriting.notes()


@pytest.mark.parametrize(
    ("kind", "arguments", "expected", "note"),
    [
        ("DepthwiseConv2D", {"groups": 1}, {}, "dropped groups=1"),
        ("Conv2D", {"groups": 2}, {"groups": 2}, ""),
        ("BatchNormalization", {"axis": [3], "fused": True}, {"axis": 3}, "axis as a number"),
        ("BatchNormalization", {"renorm": False, "renorm_momentum": 0.9, "virtual_batch_size": None}, {}, ""),
        ("LayerNormalization", {"axis": [1, 2]}, {"axis": [1, 2]}, ""),
        ("LeakyReLU", {"alpha": 0.3}, {"negative_slope": 0.3}, "alpha became negative_slope"),
        ("ReLU", {"max_value": {"type": "ndarray", "value": 6.0}}, {"max_value": 6.0}, ""),
        ("InputLayer", {"batch_input_shape": [None, 3], "ragged": False}, {"batch_shape": [None, 3]}, ""),
        ("Dense", {"batch_input_shape": [None, 3]}, {}, ""),
        (
            "Dense",
            {"kernel_initializer": {"class_name": "VarianceScaling", "config": {"distribution": "normal"}}},
            {},
            "",
        ),
        (
            "Dense",
            {"dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}},
            {"dtype": "mixed_float16"},
            "",
        ),
        ("Dense", {"kernel_constraint": {"class_name": "Mine", "config": {}}}, {"kernel_constraint": None}, "training"),
        ("GRU", {}, {"reset_after": False}, "reset_after=False"),
        ("LSTM", {"time_major": False, "implementation": 2, "unroll": True}, {"unroll": False}, "unroll"),
        ("SpatialDropout2D", {"rate": 0.1, "trainable": True, "noise_shape": None}, {"rate": 0.1}, ""),
        ("SeparableConv2D", {"kernel_regularizer": None}, {}, ""),
        ("RandomFlip", {"rng_type": "stateful"}, {}, ""),
        ("Conv2D", {"activation": {"class_name": "relu", "config": {}}}, {"activation": "relu"}, ""),
        ("Reshape", {"target_shape": {"class_name": "__tuple__", "items": [2, 3]}}, {"target_shape": [2, 3]}, ""),
    ],
)
def test_arguments(kind, arguments, expected, note):
    found, notes = rewritten(kind, **arguments)
    assert found == expected
    assert note in " ".join(notes)
    if kind in ("DepthwiseConv2D", "BatchNormalization", "LeakyReLU", "ReLU", "SeparableConv2D", "LSTM"):
        needed = {"DepthwiseConv2D": {"kernel_size": 3}, "SeparableConv2D": {"filters": 1, "kernel_size": 3}}
        getattr(keras.layers, kind)(**({"units": 1} if kind == "LSTM" else needed.get(kind, {})), **found)


def test_regularizers_are_kept():
    found, _ = rewritten("Dense", kernel_regularizer={"class_name": "L2", "config": {"l2": 0.5}})
    assert keras.layers.Dense(1, **keras.saving.deserialize_keras_object(found)).kernel_regularizer.l2 == 0.5


def test_a_layer_as_an_activation():
    inner = {"class_name": "LeakyReLU", "config": {"alpha": 0.2}}
    found, _ = rewritten("Dense", activation=inner)
    assert found["activation"] == of_keras_3("LeakyReLU", negative_slope=0.2)


@pytest.mark.parametrize("name", ["relu6", "swish", "softmax"])
def test_names_of_activations(name):
    for value in (
        name,
        {"class_name": "function", "config": name, "module": "builtins", "registered_name": "function"},
    ):
        assert rewritten("Dense", activation=value)[0] == {"activation": name}


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        ("DepthwiseConv2D", {"groups": 2}, "groups=2 is not in Keras 3"),
        ("BatchNormalization", {"virtual_batch_size": 4}, "virtual_batch_size=4"),
        ("LSTM", {"time_major": True}, "time_major=True"),
        ("LSTM", {"recurrent_activation": "hard_sigmoid"}, "hard_sigmoid is another function in Keras 3"),
        ("LSTM", {"stateful": True}, "keeps a state"),
        ("Dense", {"activation": "my_swish"}, "the activation 'my_swish', which only its author's code has"),
        ("Dense", {"activation": {"class_name": "function", "config": "mine", "module": "builtins"}}, "'mine'"),
        ("Dense", {"activation": of_keras_3("ReLU", "evil")}, "only its author's code has"),
        ("Dense", {"dtype": {"class_name": "MyPolicy", "module": "mine", "config": {"name": "float32"}}}, "the dtype"),
        ("UpSampling2D", {"interpolation": "gaussian"}, "'gaussian' is not in Keras 3"),
        ("Normalization", {"axis": [1, 2, 3], "mean": 0.0}, "several axes"),
    ],
)
def test_refusals(kind, arguments, reason):
    with pytest.raises(WeightsError, match=rf"^m\.h5: x \({kind}\): ") as caught:
        rewritten(kind, **arguments)
    assert reason in str(caught.value)


def test_bilinear_samples_of_old_versions():
    assert rewritten("UpSampling2D", interpolation="bilinear")[0]
    with pytest.raises(WeightsError, match=r"before Keras 2\.3"):
        rewritten("UpSampling2D", (2, 2), interpolation="bilinear")


def test_hard_sigmoid_of_keras_3_is_its_own():
    assert rewritten("Dense", (3, 8), activation="hard_sigmoid")[0] == {"activation": "hard_sigmoid"}
