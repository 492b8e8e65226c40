"""Noise like photographs: its spectrum, its range, and what its channels have in common."""

import numpy as np
import pytest

from vggfcn.images.noise import image_like_noise


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (-1.0, 1.0)])
def test_values_are_spread_over_the_range(low, high):
    values = image_like_noise((160, 200, 3), (low, high))
    assert (values.shape, values.dtype) == ((160, 200, 3), np.float32)
    assert low <= values.min() < low + 0.2 * (high - low)
    assert high - 0.2 * (high - low) < values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert values.std() == pytest.approx((high - low) / 5, rel=0.1)


def test_amplitudes_fall_with_frequency_as_those_of_photographs_do():
    """The slope of the logarithms is -1; that of independent pixels is 0."""
    side = 256
    spectrum = np.abs(np.fft.fft2(image_like_noise((side, side, 1), (0, 1), seed=3)[..., 0]))
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    middle = (frequencies > 4 / side) & (frequencies < 0.4)
    slope = np.polyfit(np.log(frequencies[middle]), np.log(spectrum[middle]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


def test_channels_have_most_in_common():
    values = image_like_noise((128, 128, 3), (0, 1)).reshape(-1, 3)
    correlations = np.corrcoef(values.T)[np.triu_indices(3, 1)]
    assert all(0.8 < one < 0.999 for one in correlations)


def test_a_seed_always_gives_the_same_noise():
    one, again, other = (image_like_noise((9, 8, 3), (0, 255), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 10


def test_a_single_pixel_is_the_middle_of_the_range():
    assert image_like_noise((1, 1, 2), (0, 10)).tolist() == [[[5, 5]]]
