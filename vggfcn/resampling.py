"""Maps brought from the places where their values stand to other places."""

import numpy as np


def bilinear(values: np.ndarray, centers: tuple[np.ndarray, np.ndarray], places: tuple[np.ndarray, np.ndarray]):
    """Values (rows, columns, ...) that stand at `centers`, interpolated at `places`: each by rows and by columns.

    Centres rise. Beyond the outermost ones values stay constant, and at a centre its value is kept to the last bit.
    The result has the shape (places by rows, places by columns, ...) and the dtype of `values`.
    """
    for axis in (0, 1):
        values = _along(values, axis, centers[axis], places[axis])
    return values


def _along(values: np.ndarray, axis: int, centers: np.ndarray, places: np.ndarray) -> np.ndarray:
    if np.array_equal(centers, places):
        return values
    before = np.clip(np.searchsorted(centers, places, side="right") - 1, 0, len(centers) - 1)
    after = np.minimum(before + 1, len(centers) - 1)
    gap = np.where(after > before, centers[after] - centers[before], 1)
    share = np.clip((places - centers[before]) / gap, 0, 1) * (after > before)
    share = share.reshape([-1 if other == axis else 1 for other in range(values.ndim)]).astype(values.dtype)
    return values.take(before, axis) * (1 - share) + values.take(after, axis) * share
