"""Networks of keras.applications as people fine-tune them: in every usual wrapping, the network's own probabilities."""

import keras
import networks
import numpy as np
import pytest

import vggfcn
from vggfcn.errors import ConversionError, WeightsError

layers, applications = keras.layers, keras.applications
SIDE = 64
PICTURE = np.random.default_rng(0).integers(0, 256, (SIDE + 40, SIDE + 70, 3), np.uint8)
# The window of cell (1, 2) of mode "windows" at the networks' stride of 32.
CELL, WINDOW = (1, 2), np.s_[32 : 32 + SIDE, 64 : 64 + SIDE]


def trunk(name, **options):
    make = getattr(applications, name)
    return make(input_shape=(SIDE, SIDE, 3), weights=None, include_top=False, **options)


def sequential(base):
    return keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(3, "softmax")])


def functional(base):
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dense(8, activation="relu")(x)))


def flat(base):
    x = layers.Flatten()(base.output)
    return keras.Model(base.input, layers.Softmax()(layers.Dense(3)(layers.BatchNormalization()(x))))


def augmented(base):
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]),
            base,
            layers.GlobalMaxPooling2D(),
            layers.Dense(4, activation="sigmoid"),
        ]
    )


def teachable_machine(base):
    features = keras.Sequential([base, layers.GlobalAveragePooling2D()])
    head = keras.Sequential([layers.Dense(10, "relu"), layers.Dense(2, "softmax", use_bias=False)])
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), features, head])


WRAPPINGS = {function.__name__: function for function in (sequential, functional, flat, augmented, teachable_machine)}


def expected(model, prepare):
    crop = PICTURE[WINDOW][None].astype(np.float32)
    outputs = model.predict(prepare(crop), verbose=0)[0].astype(float)
    return np.array([1 - outputs[0], outputs[0]]) if len(outputs) == 1 else outputs


def assert_windows_are_the_networks_own(classifier, model, prepare):
    scores = classifier.score_map(PICTURE, mode="windows")
    found = np.exp(scores.log_probabilities)[CELL]
    np.testing.assert_allclose(found, expected(model, prepare), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(
    "wrapping", [pytest.param(name, marks=[] if name == "functional" else pytest.mark.slow) for name in WRAPPINGS]
)
def test_every_wrapping(wrapping):
    model = networks.randomize(WRAPPINGS[wrapping](trunk("MobileNetV2", alpha=0.35)))
    with pytest.raises(WeightsError, match=r"keras\.applications' MobileNetV2, whose preprocess_input is -1\.\.1"):
        vggfcn.load(model)
    classifier = vggfcn.load(model, preprocess="tf")
    assert classifier.native_size == (SIDE, SIDE)
    assert_windows_are_the_networks_own(classifier, model, applications.mobilenet_v2.preprocess_input)


@pytest.mark.parametrize("prepare", ["inside", "outside"])
def test_preprocess_input_inside_and_outside(prepare):
    """Of the Caffe kind, which reverses the channels."""
    base = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *_small_trunk()])
    function = applications.vgg16.preprocess_input
    if prepare == "inside":
        inputs = keras.Input((SIDE, SIDE, 3))
        model = networks.randomize(keras.Model(inputs, sequential(base)(function(inputs))))
        assert_windows_are_the_networks_own(vggfcn.load(model), model, lambda crop: crop)
    else:
        model = networks.randomize(sequential(base))
        assert_windows_are_the_networks_own(vggfcn.load(model, preprocess="caffe"), model, function)


def _small_trunk():
    return [
        layers.Conv2D(4, 3, strides=4, padding="same", activation="relu"),
        layers.Conv2D(8, 3, strides=4, padding="same", activation="relu"),
        layers.MaxPooling2D(),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"])
def test_squeeze_and_excitation_needs_a_word(name):
    model = networks.randomize(sequential(trunk(name)))
    with pytest.raises(ConversionError, match="--keep-global"):
        vggfcn.load(model)
    classifier = vggfcn.load(model, keep_global=True)
    assert any("--mode windows" in note for note in classifier.notes)
    assert_windows_are_the_networks_own(classifier, model, lambda crop: crop)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how", "module"),
    [
        ("ResNet50", "caffe", "resnet"),
        ("ResNet50V2", "-1..1", "resnet_v2"),
        ("DenseNet121", "torch", "densenet"),
        ("MobileNet", "-1..1", "mobilenet"),
        ("VGG16", "caffe", "vgg16"),
    ],
)
def test_other_families(name, how, module):
    model = networks.randomize(sequential(trunk(name)))
    prepare = getattr(applications, module).preprocess_input
    assert_windows_are_the_networks_own(vggfcn.load(model, preprocess=how), model, prepare)
