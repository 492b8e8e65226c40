"""Where a cell looks, held against published figures and against single pixels."""

import numpy as np
import pytest
from writers import write_published_layout

import vggfcn
from vggfcn.evaluation.score_map import score_map
from vggfcn.maps.geometry import Geometry, ReceptiveField, receptive_field, union
from vggfcn.maps.interpolation import interpolate
from vggfcn.maps.score_map import ScoreMap
from vggfcn.networks.catalogue import ARCHITECTURES, vgg


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_window_is_the_native_size_and_stride_32(name):
    field = ARCHITECTURES[name].receptive_field
    assert (field.window, field.stride) == (224, 32)


def test_published_figures():
    vgg16 = ARCHITECTURES["vgg16"]
    # google-research/receptive_field lists VGG16's pool5 with 212 / 32 / 90; Long et al. 2015 give 404 for fc6.
    assert receptive_field(row.geometry for row in vgg16.trunk) == ReceptiveField(212, 32, 90)
    assert vgg16.receptive_field == ReceptiveField(404, 32, 90)
    assert vgg16.receptive_field.span(3) == (6, 410)
    assert vgg16.receptive_field.window_span(3) == (96, 320)
    assert vgg16.receptive_field.centers(2).tolist() == [111.5, 143.5]


@pytest.mark.parametrize(("pixels", "cells"), [(223, 0), (224, 1), (255, 1), (256, 2), (640, 14), (1280, 34)])
def test_cells_that_fit(pixels, cells):
    assert ARCHITECTURES["vgg16"].receptive_field.cells(pixels) == cells


def test_cells_as_the_model_gives_them(small_file):
    model = vggfcn.build(weights=small_file)
    field = ARCHITECTURES["vgg16"].receptive_field
    for height, width in [(224, 224), (225, 319), (300, 411)]:
        rows, columns = model.predict(np.zeros((1, height, width, 3)), verbose=0).shape[1:3]
        assert (rows, columns) == (field.cells(height), field.cells(width))


@pytest.fixture(scope="module")
def positive_model(tmp_path_factory):
    """Positive weights: no dead ReLU hides a pixel that a cell can see."""
    rng = np.random.default_rng(0)
    shapes = vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 32, classes=2).parameter_shapes()
    layers = (
        (name, rng.uniform(0.5, 1.5, kernel).astype(np.float32) / np.prod(kernel[:-1]), np.zeros(bias, np.float32))
        for name, (kernel, bias) in shapes.items()
    )
    return write_published_layout(tmp_path_factory.mktemp("positive") / "w.h5", layers)


@pytest.mark.parametrize("axis", [0, 1])
def test_one_pixel_inside_the_field_changes_the_cell_and_one_outside_does_not(positive_model, axis):
    model = vggfcn.build(weights=positive_model, preprocess=False)
    field = ARCHITECTURES["vgg16"].receptive_field
    size, cell = 544, 4
    start, stop = field.span(cell)
    other = field.window_span(cell)[0] + 112
    images = np.ones((5, size, 300 + 244, 3), np.float32)
    for image, position in zip(images[1:], (start - 1, start, stop - 1, stop), strict=True):
        place = (position, other) if axis == 0 else (other, position)
        image[place] += 1e6
    scores = model.predict(images, batch_size=1, verbose=0)[:, cell, cell]
    changed = (scores[1:] != scores[0]).any(-1).tolist()
    assert changed == [False, True, True, False]


VGG = ReceptiveField(404, 32, 90)
FLAT = Geometry(ReceptiveField(3, 2, 0, extra_padding_after=1), ReceptiveField(8, 3, 2))


def test_a_map_knows_windows_boxes_and_middles():
    scores = ScoreMap(np.zeros((5, 7, 2), np.float32), VGG)
    assert scores.window(1, 3) == (96, 32, 320, 256)
    assert scores.box(1, 3) == (6, -58, 410, 346)
    assert scores.center(1, 3) == (207.5, 143.5)
    other = ScoreMap(np.zeros((5, 7, 2), np.float32), FLAT)
    assert other.window(1, 3) == (9, 2, 13, 4)
    assert other.box(1, 3) == (7, 2, 15, 5)
    assert other.center(1, 3) == (10.5, 3)


@pytest.mark.parametrize("field", [VGG, FLAT])
def test_the_cell_under_a_pixel_is_the_nearest(field):
    scores = ScoreMap(np.zeros((5, 7, 2), np.float32), field)
    middles = {(row, column): scores.center(row, column) for row in range(5) for column in range(7)}
    for x, y in np.random.default_rng(0).uniform(-20, 400, (200, 2)):
        distances = {cell: (x - u) ** 2 + (y - v) ** 2 for cell, (u, v) in middles.items()}
        assert scores.cell_at(x, y) == min(distances, key=distances.__getitem__)


def test_of_two_cells_as_near_the_later_one_is_meant():
    assert VGG.cell_at(111.5 + 16, 7) == 1
    assert VGG.cell_at(111.5 + 15.9, 7) == 0


def test_union_of_branches():
    wide, shifted = ReceptiveField(9, 4, 4), ReceptiveField(5, 4, -3, extra_padding_after=2)
    assert union([wide, shifted]) == ReceptiveField(12, 4, 4, extra_padding_after=-5)
    assert union([wide, shifted]).window == shifted.window == 9
    assert union([wide]) == wide


def test_rows_and_columns_of_a_heatmap_go_by_their_own_figures():
    values = np.add.outer(np.arange(4.0), 10 * np.arange(3.0))
    spread = interpolate(values, FLAT, 8, 9)
    assert spread.shape == (8, 9)
    # Middles: rows at 1, 3, 5, 7, columns at 1.5, 4.5, 7.5.
    np.testing.assert_allclose(spread[[1, 4, 7], 3], np.array([0, 1.5, 3]) + 5)
    np.testing.assert_allclose(spread[3, [0, 6, 8]], np.array([0, 15, 20]) + 1)


def test_a_map_reads_its_geometry_from_the_network(small_file):
    model = vggfcn.build(weights=small_file)
    scores = score_map(model, np.zeros((250, 260, 3), np.uint8))
    assert scores.field == Geometry(VGG, VGG)
    with pytest.raises(ValueError, match="expected at least 224 x 224 pixels, got 250 x 200"):
        score_map(model, np.zeros((250, 200, 3), np.uint8))
