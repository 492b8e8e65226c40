"""Distorted digits: each map does what its limits say, on images whose answer is known."""

import numpy as np
import pytest
from distortions import Distortion, distort, sample

STILL = Distortion(rotation=0, scale=0, squeeze=0, shear=0, shift=0, elastic=0)


@pytest.fixture
def images():
    """Smooth images, zero towards the border: float32 (3, 32, 32)."""
    rows, columns = np.mgrid[:32, :32]
    blobs = [np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 18) for r, c in ((15, 15), (12, 18), (18, 13))]
    return (200 * np.stack(blobs)).astype(np.float32)


def centroid(image):
    rows, columns = np.mgrid[:32, :32]
    return np.array([(image * rows).sum(), (image * columns).sum()]) / image.sum()


def spread(image):
    """Covariance of the places of ink, (2, 2)."""
    places = np.stack(np.mgrid[:32, :32], -1) - centroid(image)
    return np.einsum("yx,yxi,yxj->ij", image, places, places) / image.sum()


def many(images, distortion):
    return np.concatenate([distort(np.random.default_rng(seed), images[:1], distortion) for seed in range(100)])


def test_nothing_to_do_changes_nothing(images):
    np.testing.assert_allclose(distort(np.random.default_rng(0), images, STILL), images, atol=1e-3)


def test_bilinear_reading_is_the_formula_and_zero_outside():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 6, 6)).astype(np.float32)
    points = rng.uniform(-3, 9, (2, 5, 4, 2)).astype(np.float32)
    found = sample(images, points)
    for n, y, x in np.ndindex(2, 5, 4):
        row, column = points[n, y, x]
        expected = sum(
            images[n, r, c] * max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c)) for r, c in np.ndindex(6, 6)
        )
        assert found[n, y, x] == pytest.approx(expected, abs=1e-2)


def test_shifts_reach_their_limit_and_no_further(images):
    limits = Distortion(rotation=0, scale=0, squeeze=0, shear=0, shift=2, elastic=0)
    moved = np.array([centroid(image) for image in many(images, limits)]) - centroid(images[0])
    assert 1.8 < np.abs(moved).max() <= 2.01
    assert np.abs(moved.mean(0)).max() < 0.5


def test_scale_changes_the_size_and_squeezing_the_shape(images):
    scaled = many(images, Distortion(rotation=0, scale=0.12, squeeze=0, shear=0, shift=0, elastic=0))
    sizes = np.array([np.sqrt(np.diag(spread(image))) for image in scaled]) / np.sqrt(np.diag(spread(images[0])))
    assert np.exp(0.12) * 0.97 < sizes.max() < np.exp(0.12) * 1.01
    np.testing.assert_allclose(sizes[:, 0], sizes[:, 1], rtol=0.02)
    squeezed = many(images, Distortion(rotation=0, scale=0, squeeze=0.1, shear=0, shift=0, elastic=0))
    sizes = np.array([np.sqrt(np.diag(spread(image))) for image in squeezed]) / np.sqrt(np.diag(spread(images[0])))
    np.testing.assert_allclose(sizes[:, 0] * sizes[:, 1], 1, rtol=0.03)  # bilinear reading widens a little
    assert np.exp(0.2) * 0.95 < (sizes[:, 0] / sizes[:, 1]).max() < np.exp(0.2) * 1.01


@pytest.mark.parametrize(
    ("limits", "reach"),
    [
        pytest.param(Distortion(rotation=0, scale=0, squeeze=0, shear=0.15, shift=0, elastic=0), 0.15, id="shear"),
        pytest.param(Distortion(rotation=0, scale=0, squeeze=0.3, shear=0, shift=0, elastic=0), 0, id="squeeze"),
    ],
)
def test_shear_leans_to_both_sides_and_nothing_else_does(images, limits, reach):
    covariances = [spread(image) for image in many(images, limits)]
    leaning = np.array([covariance[0, 1] / covariance[0, 0] for covariance in covariances])
    assert abs(leaning.max() - reach) < 0.01
    assert abs(leaning.min() + reach) < 0.01


def test_rotation_turns_a_stroke_by_as_much_as_it_may():
    rows, columns = np.mgrid[:32, :32]
    stroke = np.exp(-(((rows - 15.5) / 8) ** 2 + ((columns - 15.5) / 2) ** 2) / 2)[None].astype(np.float32)
    turned = many(stroke, Distortion(rotation=10, scale=0, squeeze=0, shear=0, shift=0, elastic=0))
    angles = [np.rad2deg(0.5 * np.arctan2(2 * c[0, 1], c[0, 0] - c[1, 1])) for c in map(spread, turned)]
    assert 9 < max(angles) < 10.2
    assert -10.2 < min(angles) < -9


def test_elastic_displacements_have_the_size_they_are_given(images):
    bumpy = Distortion(rotation=0, scale=0, squeeze=0, shear=0, shift=0, elastic=0.9)
    moved = np.array([centroid(image) for image in many(images, bumpy)]) - centroid(images[0])
    # A blob of about the smoothness's width averages a part of the displacement away.
    assert 0.3 < np.sqrt((moved**2).mean()) < 0.95


def test_each_image_is_distorted_its_own_way_and_repeatably(images):
    same = np.repeat(images[:1], 4, 0)
    one, other = (distort(np.random.default_rng(5), same, Distortion()) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.float32
    assert min(np.abs(one[i] - one[j]).max() for i in range(4) for j in range(i)) > 5
