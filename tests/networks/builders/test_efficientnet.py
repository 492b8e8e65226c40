"""EfficientNet-Lite0 is the PyTorch network to rounding, stays itself when converted, and finds a cat."""

import keras
import numpy as np
import pytest
from paths import DATA

import vggfcn
from vggfcn.checkpoints.formats import detection
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map
from vggfcn.images.reading import read_image
from vggfcn.networks.builders import efficientnet
from vggfcn.networks.efficientnet import LITE0, EfficientNet
from vggfcn.networks.families import BuildOptions
from vggfcn.networks.resolve import inspect

SIZE = 224
CATS = {"Egyptian cat", "tiger cat", "tabby", "lynx"}
# The stem, a block without expansion, one at stride 2, one that is residual, and few channels.
SMALL = EfficientNet("small", LITE0.blocks[:4], classes=3, native_size=64)


@pytest.fixture(scope="module")
def openings():
    """The weight files opened so far."""
    opened = []
    detect = detection._reader
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "_reader", lambda path, start: opened.append(path.name) or detect(path, start))
        yield opened


@pytest.fixture(scope="module")
def classifier(openings):
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


def output(model, pixels):
    """The model's output for one image. Called like this, nothing is traced, which would take seconds."""
    return np.asarray(model(pixels[None], training=False))[0]


def test_both_networks_come_from_one_opening(openings, original, converted):
    assert len(openings) == 1
    assert original.output_shape == (None, 1000)
    assert converted.output_shape == (None, None, None, 1000)


@pytest.mark.parametrize("name", ["cat", "noise"])
@pytest.mark.parametrize("network", ["original", "converted"])
def test_logits_are_those_that_torch_computed(name, network, request):
    expected = np.load(DATA / "efficientnet-lite0.npz")[name]
    found = output(request.getfixturevalue(network), image(name)).reshape(1000)
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_map_is_that_of_torch_too(converted):
    """On a larger image of an odd width: the zeros around a map do not move."""
    expected = np.load(DATA / "efficientnet-lite0.npz")["map"]
    found = output(converted, read_image(DATA / "chelsea.jpg"))[..., ::25]
    assert found.shape == expected.shape == (3, 8, 40)
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_conversion_passes_its_proof(original, converted):
    """`build` leaves it out."""
    assert vggfcn.verify(original, converted).ok


def test_the_cat_is_a_cat(classifier, original):
    logits = output(original, image("cat"))
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
    for cell in (0, 3):
        assert field.span(cell) == walked_back(converted, cell)


@pytest.mark.parametrize(("height", "width"), [(224, 255), (256, 257), (301, 451)])
def test_the_map_has_a_cell_for_each_window(converted, height, width):
    field = LITE0.receptive_field
    assert converted.compute_output_shape((1, height, width, 3))[1:3] == (field.cells(height), field.cells(width))


def test_it_has_the_published_number_of_parameters(original):
    """4.7 million: the README of efficientnet/lite in tensorflow/tpu."""
    assert round(sum(np.prod(variable.shape) for variable in original.trainable_variables) / 1e6, 1) == 4.7


def test_new_classes_get_a_new_head_and_keep_the_rest(classifier, converted):
    weights = inspect("efficientnet-lite0")[1]
    model = efficientnet.build(LITE0, weights, BuildOptions("dense", classes=5, activation="softmax"))
    probabilities = output(model, image("cat"))
    assert probabilities.shape == (5,)
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-6)
    names = [layer.name for layer in model.layers if layer.weights]
    assert names[-1] == "predictions"
    for name in names[:-1]:
        for one, other in zip(model.get_layer(name).weights, converted.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        pytest.param("conv", (1, 4, 2, 3), id="converted, at any size"),
        pytest.param(None, (1, 5, 3, 24), id="the trunk alone"),
        pytest.param("dense", (1, 3), id="the original"),
    ],
)
def test_a_network_of_ones_own_is_built_with_random_values(head, shape):
    """Its stride is 4, so 64 pixels make a map of 16, which the mean over the map covers."""
    model = efficientnet.build(SMALL, None, BuildOptions(head, preprocess=False))
    sides = {"conv": (76, 68), None: (20, 12), "dense": (64, 64)}[head]
    assert model(np.zeros((1, *sides, 3), np.float32)).shape == shape
    assert "preprocessing" not in [layer.name for layer in model.layers]


def test_it_saves_and_loads_as_stock_keras(tmp_path):
    model = efficientnet.build(SMALL, None, BuildOptions("conv"))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (75, 98, 3), np.uint8)
    np.testing.assert_array_equal(output(again, pixels), output(model, pixels))
