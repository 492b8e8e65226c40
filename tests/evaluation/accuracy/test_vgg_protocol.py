"""Evaluation as the VGG paper does it: what is averaged where, and what is counted."""

import keras
import numpy as np
import pytest
from PIL import Image
from vgg_paper import SIZES, fifty, paper, softmax
from writers import TINY, he_arrays, write_published_layout

from vggfcn.errors import EvaluationError
from vggfcn.evaluation.accuracy.dataset import LabelledImage
from vggfcn.evaluation.accuracy.vgg_protocol import PROTOCOLS, crop_posteriors, default_sizes, evaluate, posteriors
from vggfcn.evaluation.loading import load


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        pytest.param((40, 40), (16, 20, 24), id="square, shrunk"),
        pytest.param((57, 23), (19, 29, 41), id="upright, enlarged"),
        pytest.param((23, 90), (16, 23, 30), id="a strip, its own size among them"),
    ],
)
def test_each_row_is_what_the_paper_says(shape, sizes):
    """The network is one linear layer on 16 x 16 pixels, so that NumPy has it in a line."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 1e-3, (16, 16, 3, 6)).astype(np.float32)
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(6, 16, strides=4, use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    found = posteriors(model, image, 16, sizes)
    expected = paper(lambda batch: np.einsum("nhwi,hwio->no", batch.astype(float), kernel), image, 16, 4, sizes)
    assert tuple(found) == PROTOCOLS
    for values, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-4)
        assert values.sum() == pytest.approx(1)
    # Were two rows the same here, a mistake between them would not show.
    assert np.abs(np.diff(expected, axis=0)).max(1).min() > 1e-3


def test_crops_go_through_the_original_network(tmp_path):
    layers = he_arrays(TINY.parameter_shapes(), np.random.default_rng(11))
    classifier = load(write_published_layout(tmp_path / "tiny.h5", layers))
    image = np.random.default_rng(1).integers(0, 256, (240, 261, 3), np.uint8)
    found = crop_posteriors(classifier.build("conv"), image, 224)
    original = classifier.build("dense")
    np.testing.assert_allclose(found, softmax(original.predict(fifty(image, 224), verbose=0)), rtol=1e-4)


@pytest.mark.parametrize(("native", "sizes"), [(224, (256, 384, 512)), (32, SIZES), (227, (259, 389, 519))])
def test_scales_are_the_papers_in_proportion(native, sizes):
    assert default_sizes(native) == sizes


LABELS = (1, 8, 3, 0)


@pytest.fixture
def images(tmp_path):
    """Three images of noise, and one that is none."""
    rng = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (40, 46), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_text("no image")
    return [
        LabelledImage(f"{name}.png", tmp_path / f"{name}.png", label)
        for name, label in zip("abcd", LABELS, strict=True)
    ]


def test_errors_are_counted_and_unreadable_images_are_not(lenet5_classifier, images):
    told = []
    found = evaluate(lenet5_classifier, images, SIZES, progress=lambda *done: told.append(done))
    assert (found.images, found.engine, list(found.unreadable)) == (3, "tensorflow", ["d.png"])
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    model = lenet5_classifier.build("conv")
    wrong = np.zeros((5, 2), int)
    for image in images[:3]:
        pixels = np.asarray(Image.open(image.path).convert("RGB"))
        for row, values in enumerate(posteriors(model, pixels, 32, SIZES, 1).values()):
            better = (values > values[image.label]).sum()
            wrong[row] += better >= 1, better >= 5
    assert 0 < wrong.sum() < 30
    assert [(row.protocol, row.top1_errors, row.top5_errors) for row in found.rows] == [
        (protocol, *counts) for protocol, counts in zip(PROTOCOLS, wrong.tolist(), strict=True)
    ]
    assert [(row.top1_error, row.top5_error) for row in found.rows] == [(one / 3, five / 3) for one, five in wrong]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param((37, 55), "expected 3 ascending scales of at least 32 pixels, .* got 37, 55", id="two scales"),
        pytest.param((37, 73, 55), "expected 3 ascending scales", id="not ascending"),
        pytest.param((37, 55, 55), "expected 3 ascending scales", id="one of them twice"),
        pytest.param((31, 55, 73), "expected 3 ascending scales", id="smaller than a window"),
    ],
)
def test_refuses_scales(lenet5_classifier, images, sizes, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(lenet5_classifier, images, sizes)


def test_without_an_image_there_is_no_error_rate(lenet5_classifier, images):
    with pytest.raises(EvaluationError, match=r"none of 1 images could be read; for example: .*d\.png: not an image"):
        evaluate(lenet5_classifier, images[3:], SIZES)
