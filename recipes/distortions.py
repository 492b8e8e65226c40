"""Distorted digits: planar affine maps, as LeCun et al. 1998 used, and elastic ones (Simard et al. 2003)."""

import dataclasses

import numpy as np

MARGIN = 8  # zeros around the digits that are read from, so that nothing wraps round


@dataclasses.dataclass(frozen=True)
class Distortion:
    """How far digits are distorted at most; `elastic` and `smoothness` are in pixels, as `shift` is."""

    rotation: float = 10.0  # degrees
    scale: float = 0.12
    squeeze: float = 0.1
    shear: float = 0.15
    shift: float = 2.0
    elastic: float = 0.9  # root mean square displacement
    smoothness: float = 4.5  # deviation of the Gaussian that smooths the displacements


def distort(rng, images, distortion):
    """Each image, float32 (count, size, size), distorted by its own random map; bilinear, zeros from outside."""
    count, size = images.shape[:2]
    middle = (size - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).astype(np.float32) - middle
    points = np.einsum("nij,yxj->nyxi", _matrices(rng, count, distortion), grid, optimize=True)
    points += rng.uniform(-distortion.shift, distortion.shift, (count, 1, 1, 2)).astype(np.float32)
    points += _displacements(rng, count, size, distortion)
    return sample(images, points + middle)


def _matrices(rng, count, distortion):
    """(count, 2, 2), from places in the result to places in the image, both (row, column) from the middle."""
    angle = np.deg2rad(rng.uniform(-distortion.rotation, distortion.rotation, count))
    scale, squeeze, shear = (
        rng.uniform(-limit, limit, count) for limit in (distortion.scale, distortion.squeeze, distortion.shear)
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[np.ones(count), np.zeros(count)], [shear, np.ones(count)]])
    stretch = np.array([np.exp(scale + squeeze), np.exp(scale - squeeze)])
    return np.einsum("ijn,jkn,kn->nik", turn, slant, stretch).astype(np.float32)


def _displacements(rng, count, size, distortion):
    """Smoothed white noise (count, size, size, 2) of root mean square `elastic`."""
    distance = np.arange(size)[:, None] - np.arange(size)
    blur = np.exp(-0.5 * (distance / distortion.smoothness) ** 2)
    blur /= np.sqrt((blur**2).sum(1, keepdims=True))
    noise = rng.standard_normal((count, 2, size, size), np.float32)
    blur = blur.astype(np.float32)
    return np.moveaxis(blur @ noise @ blur.T, 1, -1) * np.float32(distortion.elastic)


def sample(images, points):
    """Images (count, size, size) read at real (row, column) places (count, ..., 2), bilinear; zero outside."""
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    points = np.clip(points + MARGIN, 0, size + 2 * MARGIN - 1.001)
    corner = np.floor(points)
    v, u = np.moveaxis(points - corner, -1, 0)
    row, column = np.moveaxis(corner.astype(np.int32), -1, 0)
    each = np.arange(len(images))[:, None, None]
    top = padded[each, row, column] * (1 - u) + padded[each, row, column + 1] * u
    bottom = padded[each, row + 1, column] * (1 - u) + padded[each, row + 1, column + 1] * u
    return top * (1 - v) + bottom * v
