"""Maps brought to other places, such as an image's pixels, and which of the pixels they speak of."""

import math

import numpy as np

from vggfcn.maps.geometry import Field, ReceptiveField, ScaledField

Places = tuple[np.ndarray, np.ndarray]  # by rows and by columns


def interpolate(values: np.ndarray, field: Field, height: int, width: int) -> np.ndarray:
    """Bring a map (rows, columns) to an image of height x width pixels: float32 (height, width).

    Each cell's value stands at the middle of what it sees; between middles it is interpolated bilinearly, beyond the
    outermost ones it stays constant. So the map is neither stretched to the border nor shifted. Values in [0, 1] stay
    in [0, 1]. Raises `ValueError` if `values` is no map of at least one cell.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values: expected (rows, columns) with at least one cell, got an array {values.shape}")
    centers = field.rows.centers(values.shape[0]), field.columns.centers(values.shape[1])
    return bilinear(values.astype(np.float32), centers, (np.arange(height), np.arange(width)))


def bilinear(values: np.ndarray, centers: Places, places: Places) -> np.ndarray:
    """Values (rows, columns, ...) that stand at `centers`, brought to `places`; constant beyond the outermost.

    Centres rise. At a centre its value is kept to the last bit, and so is a constant everywhere. The dtype stays.
    """
    for axis in (0, 1):
        if not np.array_equal(centers[axis], places[axis]):
            values = _stretch(values, axis, centers[axis], places[axis])
    return values


def _stretch(values: np.ndarray, axis: int, centers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """One axis of a map brought to other places."""
    position = np.interp(places, centers, np.arange(len(centers)))
    cell = position.astype(np.intp)
    beyond = (position - cell).astype(values.dtype)
    # A cell's value and its way to the next one's, rather than two weights: a constant stays constant to the last bit.
    change = np.diff(values, axis=axis, append=values.take([-1], axis)).take(cell, axis)
    change *= beyond.reshape([-1 if other == axis else 1 for other in range(values.ndim)])
    change += values.take(cell, axis)
    return change


def covered(field: Field, cells: tuple[int, int], height: int, width: int) -> np.ndarray:
    """Whether a pixel's middle lies in some cell's window: bool (height, width), for a map of `cells`, (rows, columns).

    A window is the native-size square that a cell stands for (`ReceptiveField.window_span`), not all that its cell
    reads where the network is padded. What is left over is a strip on the right and at the bottom, narrower than the
    stride where the map has all the cells that fit, and gaps between windows if they are smaller than the stride.
    """
    rows, columns = covered_along(field.rows, cells[0], height), covered_along(field.columns, cells[1], width)
    return rows[:, None] & columns


def covered_along(field: ReceptiveField | ScaledField, cells: int, pixels: int) -> np.ndarray:
    """The same along one side, for a map of so many cells there: bool (pixels,)."""
    found = np.zeros(pixels, bool)
    for cell in range(cells):
        # Spans count from the image's edge, where pixel i's middle is at i + 0.5.
        start, stop = field.window_span(cell)
        found[max(0, math.ceil(start - 0.5)) : max(0, math.ceil(stop - 0.5))] = True
    return found
