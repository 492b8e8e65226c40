"""The receptive fields of VGG, held against published figures, the built network and single pixels."""

import numpy as np
import pytest
from writers import write_published_layout

import vggfcn
from vggfcn.evaluation.score_map import score_map
from vggfcn.maps.geometry import Geometry, ReceptiveField, receptive_field
from vggfcn.networks.catalogue import ARCHITECTURES, vgg

VGG = ReceptiveField(404, 32, 90)


@pytest.fixture(scope="module")
def model(small_file):
    return vggfcn.build(weights=small_file)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_window_is_the_native_size_and_stride_32(name):
    field = ARCHITECTURES[name].receptive_field
    assert (field.window, field.stride) == (224, 32)


def test_published_figures():
    vgg16 = ARCHITECTURES["vgg16"]
    # google-research/receptive_field lists VGG16's pool5 with 212 / 32 / 90; Long et al. 2015 give 404 for fc6.
    assert receptive_field(row.geometry for row in vgg16.trunk) == ReceptiveField(212, 32, 90)
    assert vgg16.receptive_field == VGG


def test_cells_as_the_model_gives_them(model):
    for height, width in [(224, 224), (225, 319), (300, 411)]:
        rows, columns = model(np.zeros((1, height, width, 3), np.float32)).shape[1:3]
        assert (rows, columns) == (VGG.cells(height), VGG.cells(width))


def test_a_map_reads_its_geometry_from_the_network(model):
    scores = score_map(model, np.zeros((250, 260, 3), np.uint8))
    assert scores.field == Geometry(VGG, VGG)
    with pytest.raises(ValueError, match="expected at least 224 x 224 pixels, got 250 x 200"):
        score_map(model, np.zeros((250, 200, 3), np.uint8))


@pytest.fixture(scope="module")
def positive_model(tmp_path_factory):
    """Positive weights: no dead ReLU hides a pixel that a cell can see."""
    rng = np.random.default_rng(0)
    shapes = vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 32, classes=2).parameter_shapes()
    layers = (
        (name, rng.uniform(0.5, 1.5, kernel).astype(np.float32) / np.prod(kernel[:-1]), np.zeros(bias, np.float32))
        for name, (kernel, bias) in shapes.items()
    )
    path = write_published_layout(tmp_path_factory.mktemp("positive") / "w.h5", layers)
    return vggfcn.build(weights=path, preprocess=False)


def test_one_pixel_inside_the_field_changes_the_cell_and_one_outside_does_not(positive_model):
    size, cell = 544, 4
    start, stop = VGG.span(cell)
    center = VGG.window_span(cell)[0] + 112
    positions = (start - 1, start, stop - 1, stop)
    images = np.ones((9, size, size, 3), np.float32)
    for number, position in enumerate(positions):
        images[1 + number, position, center] += 1e6
        images[5 + number, center, position] += 1e6
    scores = positive_model.predict(images, batch_size=1, verbose=0)[:, cell, cell]
    changed = (scores[1:] != scores[0]).any(-1).tolist()
    assert changed == [False, True, True, False] * 2
