"""Interpolating maps at other positions, such as an image's pixels, and finding the pixels that they cover."""

import math

import numpy as np

from vggfcn.maps.geometry import Field, ReceptiveField, ScaledField

Positions = tuple[np.ndarray, np.ndarray]  # Of the rows and of the columns.


def interpolate(values: np.ndarray, field: Field, height: int, width: int) -> np.ndarray:
    """Interpolate a map (rows, columns) at the pixels of an image of height x width: float32 (height, width).

    Each cell's value is placed at the centre of its receptive field. Between the centres the values are interpolated
    bilinearly, beyond the outermost centres they are constant. So the map is neither stretched to the border nor
    shifted. Values in [0, 1] stay in [0, 1]. Raises `ValueError` unless `values` is a map with at least one cell.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values: expected (rows, columns) with at least one cell, got an array {values.shape}")
    centers = field.rows.centers(values.shape[0]), field.columns.centers(values.shape[1])
    return bilinear(values.astype(np.float32), centers, (np.arange(height), np.arange(width)))


def bilinear(values: np.ndarray, centers: Positions, positions: Positions) -> np.ndarray:
    """Interpolate values (rows, columns, ...) from `centers` to `positions`; constant beyond the outermost centres.

    The centres must be ascending. Values at the centres, and constants everywhere, are exact to the last bit. The dtype
    is kept.
    """
    for axis in (0, 1):
        if not np.array_equal(centers[axis], positions[axis]):
            values = _interpolate_axis(values, axis, centers[axis], positions[axis])
    return values


def _interpolate_axis(values: np.ndarray, axis: int, centers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate along one axis."""
    index = np.interp(positions, centers, np.arange(len(centers)))
    cell = index.astype(np.intp)
    fraction = (index - cell).astype(values.dtype)
    # The value plus a fraction of the difference to the next, not two weights, so that constants stay exact.
    change = np.diff(values, axis=axis, append=values.take([-1], axis)).take(cell, axis)
    change *= fraction.reshape([-1 if other == axis else 1 for other in range(values.ndim)])
    change += values.take(cell, axis)
    return change


def covered(field: Field, cells: tuple[int, int], height: int, width: int) -> np.ndarray:
    """Whether the centre of each pixel lies in the window of a cell: bool (height, width).

    A window is the native-size square that a cell stands for (`ReceptiveField.window_span`), without the padding that
    the cell may read too. The pixels left over are a strip on the right and at the bottom, which is narrower than the
    stride if the map has all cells that fit, and gaps between windows that are smaller than the stride.

    - `field`: where the map's cells lie.
    - `cells`: the map's (rows, columns).
    - `height`, `width`: the size of the image, in pixels.
    """
    rows, columns = covered_along(field.rows, cells[0], height), covered_along(field.columns, cells[1], width)
    return rows[:, None] & columns


def covered_along(field: ReceptiveField | ScaledField, cells: int, pixels: int) -> np.ndarray:
    """Like `covered` along one axis, for a number of cells: bool (pixels,)."""
    mask = np.zeros(pixels, bool)
    for cell in range(cells):
        # Spans count from the image's edge, from which the centre of pixel i is at i + 0.5.
        start, stop = field.window_span(cell)
        mask[max(0, math.ceil(start - 0.5)) : max(0, math.ceil(stop - 0.5))] = True
    return mask
