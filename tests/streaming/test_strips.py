"""Strips of columns: each yields its part of the whole image's map."""

import dataclasses
import functools

import pytest
from pixels import positive
from streams import NETWORKS, check, image_for, without_compiling
from writers import MICRO

import vggfcn
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.streaming.strips import strips


@functools.cache
def network(name):
    return positive(NETWORKS[name]())


@functools.cache
def micro():
    """VGG16 as narrow as it can be."""
    return positive(vggfcn.build(MICRO, weights=None, preprocess=False))


@pytest.fixture
def eagerly():
    with without_compiling():
        yield


@pytest.mark.parametrize("width", range(60, 68))
@pytest.mark.parametrize("name", ["a stride and SAME padding", "branches", "zeros and crops", "output stride 2"])
def test_strips(eagerly, name, width):
    model = network(name)
    stride = receptive_field(model).columns.stride
    parts = check(model, image_for(model, 33, width), block_rows=4 * stride, strip_columns=57)
    assert len(parts) > 1
    for part in parts:
        assert part.stop - part.start <= 57
        assert part.start % stride == 0


def test_strips_of_vgg_are_those_of_its_geometry():
    """For cells [a, b): columns [32 a - 96, 32 b + 282), as far as there are any."""
    parts = strips(micro(), (224, 1600), 640)
    assert [(part.first, part.last) for part in parts] == [(0, 11), (11, 19), (19, 27), (27, 35), (35, 44)]
    for part in parts:
        assert part.start == max(0, 32 * part.first - 96)
        assert part.stop == min(1600, 32 * part.last + 282)


def test_strips_of_vgg(eagerly):
    check(micro(), image_for(micro(), 230, 701), block_rows=96, strip_columns=480)


def test_strips_that_are_too_narrow_are_refused():
    with pytest.raises(ValueError, match="strip_columns: expected at least 410, which cell 3 needs, got 409"):
        strips(micro(), (224, 1600), 409)


def test_and_these_checks_can_fail(eagerly):
    """Strips that are one stride too narrow."""
    model = network("a stride and SAME padding")
    image = image_for(model, 30, 30)
    check(model, image, block_rows=4, strip_columns=16)

    def narrow(*arguments):
        parts = strips(*arguments)
        return [*parts[:-1], dataclasses.replace(parts[-1], start=parts[-1].start + 4, cut=parts[-1].cut - 1)]

    with pytest.raises(AssertionError):
        check(model, image, block_rows=4, strip_columns=16, cut=narrow)
