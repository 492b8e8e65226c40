"""Each message that the page on trouble quotes is what the code says, and each that is provoked here is quoted."""

import pathlib
import re
import sys

import keras
import numpy as np
import pytest
from paths import ROOT
from writers import write_published_layout

import vggfcn
from vggfcn.engines import engine
from vggfcn.errors import VGGFCNError
from vggfcn.evaluation.loading import load
from vggfcn.images.reading import read_image
from vggfcn.labels.labels import imagenet_labels, labels_for
from vggfcn.networks.registry import EMBEDDED_FOLDER

PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^```text\n(.*?)\n```", PAGE.read_text("utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def lenet():
    return vggfcn.build(weights="mnist-lenet5")


def a_file_cut_short(lenet):
    pathlib.Path("vgg16.h5").write_bytes((EMBEDDED_FOLDER / "scene-digits.h5").read_bytes()[:1_000_000])
    vggfcn.build(weights="vgg16.h5")


def a_page_saved_as_weights(lenet):
    pathlib.Path("vgg16.npy").write_text("<!DOCTYPE html><html><body>404</body></html>")
    vggfcn.build(weights="vgg16.npy")


def a_file_that_is_not_there(lenet):
    vggfcn.build(weights="vgg16.h5")


def a_file_without_its_head(lenet):
    source = vggfcn.read_weights(EMBEDDED_FOLDER / "scene-digits.h5")
    trunk = [(name, *source[name]) for name in source if name.startswith("block")]
    write_published_layout(pathlib.Path("vgg16_notop.h5"), trunk)
    vggfcn.build(weights="vgg16_notop.h5")


def a_image_smaller_than_a_window(lenet):
    vggfcn.score_map(lenet, np.zeros((20, 48, 1), np.uint8))


def something_that_is_no_image(lenet):
    pathlib.Path("notes.txt").write_text("buy milk")
    read_image("notes.txt")


def a_class_that_the_weights_do_not_have(lenet):
    load("scene-digits").labels.find("cat")


def a_name_of_several_groups(lenet):
    imagenet_labels().find("car")


def other_names_than_classes(lenet):
    labels_for(11, ("cat", "dog"))


def too_little_memory(lenet):
    vggfcn.score_map(lenet, np.zeros((3000, 400, 1), np.uint8), max_memory="10MB")


def a_stride_that_does_not_divide(lenet):
    vggfcn.with_output_stride(lenet, 3)


def an_open_native_size(lenet):
    images = keras.Input((None, None, 3), name="images")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    vggfcn.convert(keras.Model(images, keras.layers.Dense(4)(pooled)))


def squeeze_and_excitation(lenet):
    images = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(8, 3)(images)
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(features)
    excited = keras.layers.Multiply()([features, keras.layers.Conv2D(8, 1, activation="sigmoid")(squeezed)])
    pooled = keras.layers.GlobalMaxPooling2D()(excited)
    vggfcn.convert(keras.Model(images, keras.layers.Dense(4)(pooled)))


def code_of_ones_own(lenet):
    layers = [keras.Input((8, 8, 3)), keras.layers.Lambda(abs, name="halves"), keras.layers.Flatten()]
    vggfcn.convert(keras.Sequential([*layers, keras.layers.Dense(2)]))


def own_classifier(outputs=("scores",), activation="softmax"):
    images = keras.Input((32, 32, 3))
    features = keras.layers.Flatten()(keras.layers.Conv2D(2, 5)(images))
    heads = [keras.layers.Dense(3, activation=activation, name=name)(features) for name in outputs]
    return keras.Model(images, heads if len(heads) > 1 else heads[0], name="classifier")


def a_classifier_that_does_not_say_what_it_takes(lenet):
    own_classifier().save("classifier.keras")
    load("classifier.keras")


def pixels_from_0_to_1(lenet):
    load(own_classifier(), preprocess="raw").score_map(np.linspace(0, 0.5, 3 * 40 * 40).reshape(40, 40, 3))


def probabilities_of_values(lenet):
    _ = vggfcn.score_map(vggfcn.convert(own_classifier(activation=None)), np.zeros((40, 40, 3))).log_probabilities


def an_activation_that_contradicts_the_network(lenet):
    own_classifier().save("classifier.keras")
    load("classifier.keras", preprocess="raw", activation="sigmoid")


def several_outputs(lenet):
    own_classifier(("scores", "boxes")).save("classifier.keras")
    load("classifier.keras", preprocess="raw")


def weights_alone(lenet):
    own_classifier().save_weights("classifier.weights.h5")
    load("classifier.weights.h5", preprocess="raw")


def weights_of_another_architecture(lenet):
    own_classifier().save_weights("classifier.weights.h5")
    load("classifier.weights.h5", preprocess="raw", architecture="MobileNetV2")


def a_saved_model(lenet):
    pathlib.Path("saved_model").mkdir()
    pathlib.Path("saved_model", "saved_model.pb").write_bytes(b"graph")
    load("saved_model", preprocess="raw")


def a_class_activation_map_of_dense_layers(lenet):
    vggfcn.cam(vggfcn.convert(own_classifier()))


def an_engine_that_is_not_there(lenet):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        engine.compile(lenet, "openvino")


CAUSES = [
    a_file_cut_short,
    a_page_saved_as_weights,
    a_file_that_is_not_there,
    a_file_without_its_head,
    a_image_smaller_than_a_window,
    something_that_is_no_image,
    a_class_that_the_weights_do_not_have,
    a_name_of_several_groups,
    other_names_than_classes,
    too_little_memory,
    a_stride_that_does_not_divide,
    an_open_native_size,
    squeeze_and_excitation,
    code_of_ones_own,
    an_engine_that_is_not_there,
    a_classifier_that_does_not_say_what_it_takes,
    pixels_from_0_to_1,
    probabilities_of_values,
    an_activation_that_contradicts_the_network,
    several_outputs,
    weights_alone,
    weights_of_another_architecture,
    a_saved_model,
    a_class_activation_map_of_dense_layers,
]


def plain(text):
    """A message on one line, without what differs between machines: amounts of memory and the words of libraries."""
    text = re.sub(r"[\d.,]+ (?=[GM]B)", "N ", " ".join(text.split()))
    return re.sub(r"damaged \(.*\);", "damaged (...);", text)


def says(message, quoted):
    """Whether a message is the quoted one, or begins like it if that ends in an ellipsis."""
    message, quoted = plain(message), plain(quoted)
    return message.startswith(quoted.removesuffix("...")) if quoted.endswith(" ...") else message == quoted


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__.replace("_", " "))
def test_what_is_said_is_quoted(cause, lenet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((VGGFCNError, ValueError)) as caught:
        cause(lenet)
    assert [quoted for quoted in QUOTED if says(str(caught.value), quoted)], str(caught.value)


def test_nothing_else_is_quoted():
    assert len(QUOTED) == len(set(map(plain, QUOTED))) == len(CAUSES)
