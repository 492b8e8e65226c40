"""`load` and `choose`: which weights are meant, their classes' names, and both networks from one file."""

import functools
import json
import zipfile

import keras
import numpy as np
import pytest
from own_networks import PICTURE, own_network
from paths import ROOT
from writers import TINY, arrays_of, tiny_image, write_published_layout

from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import ConversionError, LabelError, WeightsError
from vggfcn.evaluation.loading import choose, load
from vggfcn.networks import registry
from vggfcn.networks.registry import EMBEDDED_FOLDER, KnownWeights


@pytest.fixture
def tiny_file(tmp_path):
    return write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))


def test_bundled_weights_have_their_own_class_names():
    classifier = load("mnist-lenet5")
    assert classifier.source == "mnist-lenet5"
    assert (classifier.native_size, classifier.channels, classifier.classes) == ((32, 32), 1, 10)
    assert [classifier.labels[index] for index in range(10)] == list("0123456789")


def test_names_and_groups_come_from_files(tiny_file, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join("abcdefg"))
    (tmp_path / "groups.json").write_text(json.dumps({"vowels": ["a", "e"]}))
    classifier = load(tiny_file, labels=tmp_path / "labels.txt", groups=tmp_path / "groups.json")
    assert classifier.native_size == (TINY.native_size, TINY.native_size)
    assert classifier.labels[4] == "e"
    assert classifier.labels.find("vowels").members == (0, 4)


def test_names_that_are_not_as_many_as_the_classes_are_refused(tiny_file, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(LabelError, match="expected 7 class names"):
        load(tiny_file, labels=tmp_path / "labels.txt")


def test_weights_without_a_head_are_refused(tmp_path):
    layers = [(name, *pair) for name, pair in arrays_of().items() if name.startswith("block")]
    with pytest.raises(WeightsError, match='fc1, fc2, predictions missing; this looks like a "notop" file'):
        load(write_published_layout(tmp_path / "notop.h5", layers))


@pytest.fixture
def no_imagenet(tmp_path, monkeypatch):
    """No ImageNet weights of VGG on this machine, whatever it holds."""
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def imagenet(no_imagenet, tmp_path, monkeypatch):
    """Where a file of eight bytes would be known as "imagenet"."""
    known = KnownWeights("w.h5", "vgg16", FileFormat.KERAS_HDF5, 7, "none", "http://127.0.0.1:9", 8)
    monkeypatch.setitem(registry.REGISTRY, "imagenet", known)
    path = tmp_path / "KERAS_HOME" / "models" / "w.h5"
    path.parent.mkdir(parents=True)
    return path


def test_auto_means_imagenet_if_its_file_is_there_and_whole(imagenet):
    assert choose("auto")[0] == "scene-digits"
    assert choose("auto") == ("scene-digits", "bundled")
    imagenet.write_bytes(b"seven b")
    assert choose("auto")[0] == "scene-digits"
    imagenet.write_bytes(b"eight by")
    assert choose("auto") == ("imagenet", f"found at {imagenet}")


def test_what_is_named_is_used():
    assert choose("some.h5") == ("some.h5", "as asked")
    named, path = load("mnist-lenet5"), load(ROOT / "weights" / "mnist-lenet5.h5")
    assert (path.field, path.preprocessing, path.digest()) == (named.field, named.preprocessing, named.digest())


SCENE, PHOTOGRAPH = EMBEDDED_FOLDER / "scenes" / "rocket.jpg", ROOT / "tests" / "data" / "chelsea.jpg"


@pytest.mark.parametrize(
    ("packaged", "images", "weights", "reason"),
    [
        pytest.param(True, [], "scene-digits", "bundled", id="no image"),
        pytest.param(True, [SCENE], "scene-digits", "bundled, made for the sample scenes", id="a sample scene"),
        pytest.param(True, [PHOTOGRAPH], "efficientnet-lite0", "its package is installed", id="a photograph"),
        pytest.param(True, [SCENE, PHOTOGRAPH], "efficientnet-lite0", "its package is installed", id="both"),
        pytest.param(False, [PHOTOGRAPH], "scene-digits", "downloaded only if you ask", id="no package"),
        pytest.param(False, [SCENE], "scene-digits", "made for the sample scenes", id="no package, a sample scene"),
    ],
)
def test_auto_depends_on_the_images(no_imagenet, monkeypatch, packaged, images, weights, reason):
    if not packaged:
        monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    found = choose("auto", images)
    assert found[0] == weights
    assert reason in found[1]


@functools.cache
def own(units, activation, prepared=True):
    return own_network(activation, units=units, prepared=prepared)


@pytest.mark.parametrize(
    ("units", "labels", "names"),
    [
        pytest.param(1, ["cat"], ["not cat", "cat"], id="one name for one sigmoid unit"),
        pytest.param(1, ["dog", "cat"], ["dog", "cat"], id="two names for one sigmoid unit"),
        pytest.param(1, None, ["class 0", "class 1"], id="no names"),
        pytest.param(3, ("a", "b", "c"), ["a", "b", "c"], id="a tuple"),
    ],
)
def test_names_of_an_own_network(units, labels, names):
    classifier = load(own(units, "sigmoid"), labels=labels)
    assert [classifier.labels[index] for index in range(classifier.classes)] == names
    score = classifier.top(PICTURE[:24, :24], classifier.classes)
    assert sorted(one.label for one in score) == sorted(names)


@pytest.mark.parametrize("source", [None, b"net.keras", 3, ["net.keras"]], ids=repr)
def test_sources_that_are_no_network_are_refused(source):
    with pytest.raises(TypeError, match="expected the name or path of weights, or a Keras model, got"):
        load(source)


def open_network():
    """A network of open size that ends in global pooling."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)), name="open")


def test_an_open_size_must_be_said():
    with pytest.raises(ConversionError, match=r"open: .*input_shape"):
        load(open_network())


@pytest.mark.parametrize("size", [16, (16,), [16, 16], (16, 16, 3), np.int64(16), np.array([16, 16])], ids=repr)
def test_a_size_may_be_said_in_many_ways(size):
    assert load(open_network(), input_shape=size).native_size == (16, 16)


@pytest.mark.parametrize("size", ["16", 16.0, True, 0, (16, 0), (), (16.0, 16), (16, 16, 3, 1)], ids=repr)
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(ValueError, match="input_shape: expected a size such as 224"):
        load(open_network(), input_shape=size)


@pytest.mark.parametrize(("own_ending", "asked", "means"), [(None, "softmax", "none"), ("softmax", "none", "softmax")])
def test_what_was_said_of_a_network_holds_for_that_classifier_alone(own_ending, asked, means):
    """The same model, loaded again without it, means what its own layers say."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Conv2D(5, 5, activation=own_ending)(x))
    assert load(model, activation=asked).score_map(PICTURE).activation == asked
    assert load(model).activation == means
    assert load(model).score_map(PICTURE).activation == means


def test_the_original_may_be_loaded_again_after_it_was_built():
    model = own_network("softmax")
    pixels = PICTURE[:24, :24]
    first = load(model, activation="none")
    assert first.original.predict(pixels[None], verbose=0).sum() == pytest.approx(1, abs=1e-5)
    assert load(model).activation == "softmax"
    np.testing.assert_allclose(
        sorted(one.score for one in load(model).top(pixels)),
        sorted(model.predict(pixels[None], verbose=0)[0]),
        rtol=1e-4,
    )


def test_a_network_that_takes_integers_gets_pixels_as_they_are():
    inputs = keras.Input((12, 12, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3)(keras.ops.cast(inputs, "float32"))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x / 999)))
    pixels = PICTURE[:12, :12]
    classifier = load(model)
    assert classifier.input_reason == "the network takes pixels as they are (its input is uint8)"
    scores = classifier.probabilities(classifier.score_map(pixels).logits)[0, 0]
    np.testing.assert_allclose(scores, model.predict(pixels[None], verbose=0)[0], rtol=1e-5)
    with pytest.raises(ValueError, match=r"got 0\.\.1, but pixels are prepared already: .*its input is uint8"):
        load(model, preprocess="0..1")


def test_a_network_whose_only_output_has_a_name():
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, {"scores": keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))})
    classifier = load(model)
    scores = classifier.probabilities(classifier.score_map(PICTURE[:12, :12]).logits)[0, 0]
    np.testing.assert_allclose(scores, model.predict(PICTURE[None, :12, :12], verbose=0)["scores"][0], rtol=1e-4)


def test_class_indices_of_keras_are_in_the_order_of_the_indices():
    classifier = load(own(3, "softmax"), labels={"c": 2, "a": 0, "b": 1})
    assert [classifier.labels[index] for index in range(3)] == ["a", "b", "c"]


def test_a_native_size_of_several_windows_is_refused(tmp_path):
    load(own(3, "softmax")).save(tmp_path / "own.keras")
    with pytest.raises(ConversionError, match=r"own\.keras: returns 9 x 9 cells for its native size, 40 x 40 pixels"):
        load(tmp_path / "own.keras", input_shape=40)
    with zipfile.ZipFile(tmp_path / "own.keras") as archive:
        record = json.loads(archive.read("vggfcn.json"))
        members = {name: archive.read(name) for name in archive.namelist()}
    members["vggfcn.json"] = json.dumps(record | {"native_size": [26, 24]}).encode()
    with zipfile.ZipFile(tmp_path / "edited.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ConversionError, match=r"edited\.keras: returns 1 x 2 cells for its native size, 24 x 26"):
        load(tmp_path / "edited.keras")


def test_a_network_that_returns_a_map_at_its_fixed_size_is_refused():
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(5, 7)])
    with pytest.raises(ConversionError, match=r"returns 10 x 10 cells .* rebuild a network of fixed size with"):
        load(model)


def test_a_network_that_takes_channels_first_is_refused():
    inputs = keras.Input((3, 12, 12))
    x = keras.layers.Conv2D(4, 3, data_format="channels_first")(keras.layers.Rescaling(1 / 255)(inputs))
    with pytest.raises(ConversionError, match=r'takes images with channels first.*data_format="channels_last"'):
        load(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x))))


@pytest.mark.parametrize(("units", "labels"), [(1, ["a", "b", "c"]), (3, ["a"]), (3, ["a", "b"]), (3, [])], ids=repr)
def test_names_that_do_not_fit_an_own_network_are_refused(units, labels):
    with pytest.raises(LabelError, match="class names"):
        load(own(units, "sigmoid"), labels=labels)


def test_one_of_several_outputs_is_loaded_by_its_name(tmp_path):
    base = own(5, "softmax")
    other = keras.layers.Dense(2, activation="sigmoid", name="extra")(base.outputs[0])
    model = keras.Model(base.inputs[0], [base.outputs[0], other], name="twins")
    with pytest.raises(ConversionError, match="twins: has several outputs; choose one"):
        load(model)
    assert (load(model, output="extra").classes, load(model, output="extra").activation) == (2, "sigmoid")
    model.save(tmp_path / "twins.keras")
    assert load(tmp_path / "twins.keras", output="extra").classes == 2
    with pytest.raises(ConversionError, match=r"^.*twins\.keras: has several outputs"):
        load(tmp_path / "twins.keras")


@pytest.mark.parametrize("input_shape", [32, (32, 32), (32, 32, 1), None], ids=repr)
def test_the_size_of_known_weights_may_be_said(input_shape):
    assert load("mnist-lenet5", input_shape=input_shape).native_size == (32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"input_shape": 28}, "input_shape: got 28, but the native size of mnist-lenet5 is 32", id="size"),
        pytest.param({"output": "x"}, "output: expected none, because mnist-lenet5 has a single", id="output"),
        pytest.param({"activation": "relu"}, "activation: expected auto, softmax, .* got 'relu'", id="activation"),
        pytest.param({"preprocess": "vgg"}, "preprocess: expected raw", id="preprocessing"),
    ],
)
def test_options_that_do_not_fit_known_weights_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load("mnist-lenet5", **options)


def test_a_model_needs_no_architecture():
    with pytest.raises(ValueError, match="architecture: expected a weight file with it, got a model"):
        load(own(3, "softmax"), architecture="VGG16")
    with pytest.raises(ValueError, match="architecture: expected none for mnist-lenet5, whose network is known"):
        load("mnist-lenet5", architecture="VGG16")


def test_a_file_that_does_not_say_how_pixels_are_prepared(tmp_path):
    """Both networks do to pixels what was asked for: the same as a network for raw pixels gets them prepared."""
    layers = ((name, *pair) for name, pair in arrays_of().items())
    path = write_published_layout(tmp_path / "tiny.h5", layers, stated=False)
    with pytest.raises(WeightsError, match=r"tiny\.h5: nothing says how images were prepared"):
        load(path)
    image = tiny_image()
    raw = load(path, preprocess="raw").build("dense")
    keras_prepares = keras.applications.imagenet_utils.preprocess_input
    prepared = {mode: keras_prepares(image.astype(np.float32), mode=mode) for mode in ("caffe", "torch")}
    for how, pixels in prepared.items():
        expected = raw.predict(pixels, verbose=0)
        classifier = load(path, preprocess=how)
        for head in ("dense", "conv"):
            found = classifier.build(head).predict(image, verbose=0).reshape(1, -1)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
