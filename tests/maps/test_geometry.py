"""Where cells lie on the image, worked out by hand and held against figures of papers."""

import numpy as np
import pytest

from vggfcn.maps.geometry import Geometry, ReceptiveField, ScaledField, ScaledGeometry, receptive_field, scaled, union

VGG = ReceptiveField(404, 32, 90)
# Kernel size, stride and padding of VGG16's layers, as Simonyan & Zisserman 2015 describe them.
CONV, POOL = (3, 1, 1), (2, 2, 0)
VGG16 = [*[CONV, CONV, POOL] * 2, *[CONV, CONV, CONV, POOL] * 3]


def test_the_field_of_vgg16_is_the_published_one():
    """google-research/receptive_field lists pool5 with 212 / 32 / 90; Long et al. 2015 give 404 for fc6."""
    pool5 = receptive_field(VGG16)
    assert pool5 == ReceptiveField(212, 32, 90)
    assert pool5.then(7, 1, 0, 0) == VGG


def test_spans_windows_and_centers_of_vgg16():
    assert VGG.span(3) == (6, 410)
    assert VGG.window_span(3) == (96, 320)
    assert VGG.centers(2).tolist() == [111.5, 143.5]
    assert (VGG.window, VGG.rows, VGG.columns) == (224, VGG, VGG)


@pytest.mark.parametrize(("pixels", "cells"), [(223, 0), (224, 1), (255, 1), (256, 2), (640, 14), (1280, 34)])
def test_cells_that_fit(pixels, cells):
    assert VGG.cells(pixels) == cells


def test_a_layer_padded_after_its_cells_alone():
    """As SAME padding at a stride of 2 on an even side: cell u reads cells [2 u, 2 u + 3)."""
    field = receptive_field([CONV]).then(3, 2, 0, 1)
    assert field == ReceptiveField(size=5, stride=2, padding=1, extra_padding_after=1)
    assert field.window == 2
    assert [field.span(cell) for cell in (0, 1)] == [(-1, 4), (1, 6)]
    assert field.centers(2).tolist() == [1, 3]


def test_cropping_is_negative_padding():
    assert receptive_field([(1, 1, 0)]).then(1, 1, -2, -3).span(0) == (2, 3)


def test_a_geometry_has_figures_along_both_axes():
    geometry = Geometry(ReceptiveField(5, 2, 1), ReceptiveField(8, 3, 2))
    assert (geometry.size, geometry.stride, geometry.padding) == ((5, 8), (2, 3), (1, 2))


def test_of_two_cells_as_near_the_later_one_is_meant():
    assert VGG.cell_at(111.5 + 16, 7) == 1
    assert VGG.cell_at(111.5 + 15.9, 7) == 0


def test_union_of_branches():
    wide, shifted = ReceptiveField(9, 4, 4), ReceptiveField(5, 4, -3, extra_padding_after=2)
    assert union([wide, shifted]) == ReceptiveField(12, 4, 4, extra_padding_after=-5)
    assert union([wide, shifted]).window == shifted.window == 9
    assert union([wide]) == wide


def test_an_image_that_was_not_scaled_keeps_its_geometry():
    assert scaled(VGG, (300, 400), (300, 400)) is VGG


def test_cells_of_a_scaled_image_in_pixels_of_the_original():
    """100 x 60 pixels became 200 x 90, so a pixel of the original takes 2 of the rows and 1.5 of the columns."""
    geometry = scaled(ReceptiveField(6, 3, 0), (100, 60), (200, 90))
    assert geometry == ScaledGeometry(
        ScaledField(ReceptiveField(6, 3, 0), 100, 200), ScaledField(ReceptiveField(6, 3, 0), 60, 90)
    )
    assert geometry.rows.span(2) == geometry.rows.window_span(2) == (3, 6)
    assert geometry.columns.span(2) == pytest.approx((4, 8))
    # The middle of [3, 6), counted from the edge, is 4.5, where pixel 4 has its centre.
    np.testing.assert_allclose(geometry.rows.centers(3), [1, 2.5, 4])
    np.testing.assert_allclose(geometry.columns.centers(3), [1.5, 3.5, 5.5])
    assert [geometry.rows.cell_at(pixel, 3) for pixel in (-5, 1.7, 1.8, 99)] == [0, 0, 1, 2]
