"""Noise that is more like a photograph than independent pixels are."""

import math

import numpy as np


def image_like_noise(shape: tuple[int, int, int], value_range: tuple[float, float], seed: int = 0) -> np.ndarray:
    """Smooth noise, float32 (height, width, channels), whose amplitudes fall as 1 / frequency.

    So do those of photographs (Field 1987, "Relations between the statistics of natural images and the response
    properties of cortical cells"). As in photographs, the channels have most in common. The values have the middle of
    the range as their mean and a fifth of it as their standard deviation, and are clipped to it.
    """
    height, width, channels = shape
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequencies[0, 0] = math.inf
    white = np.random.default_rng(seed).standard_normal((height, width, 1 + channels))
    spectrum = np.fft.rfft2(white, axes=(0, 1)) / frequencies[..., None]
    smooth = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    values = smooth[..., :1] + smooth[..., 1:] / 4
    low, high = value_range
    scaled = 0.5 + values / (5 * (values.std() or 1))
    return (low + (high - low) * np.clip(scaled, 0, 1)).astype(np.float32)
