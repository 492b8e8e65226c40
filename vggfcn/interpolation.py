"""A map brought to the size of its picture, and which of the picture's pixels it speaks of."""

import numpy as np

from vggfcn.geometry import Geometry, ReceptiveField


def interpolate(values: np.ndarray, field: ReceptiveField | Geometry, height: int, width: int) -> np.ndarray:
    """Bring a map (rows, columns) to a picture of height x width pixels: float32 (height, width).

    Each cell's value stands at the middle of what it sees; between middles it is interpolated bilinearly, beyond the
    outermost ones it stays constant. So the map is neither stretched to the border nor shifted. Values in [0, 1] stay
    in [0, 1]. Raises `ValueError` if `values` is no map of at least one cell.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values: expected (rows, columns) with at least one cell, got an array {values.shape}")
    tall = _stretch(values.astype(np.float32), 0, field.rows, height)
    return _stretch(tall, 1, field.columns, width)


def _stretch(values: np.ndarray, axis: int, field: ReceptiveField, pixels: int) -> np.ndarray:
    """One axis of a map brought to so many pixels."""
    cells = values.shape[axis]
    position = np.interp(np.arange(pixels), field.centers(cells), np.arange(cells))
    cell = position.astype(np.intp)
    beyond = (position - cell).astype(np.float32)
    # A cell's value and its way to the next one's, rather than two weights: a constant stays constant to the last bit.
    change = np.diff(values, axis=axis, append=values.take([-1], axis)).take(cell, axis)
    change *= beyond[:, None] if axis == 0 else beyond
    change += values.take(cell, axis)
    return change


def covered(field: ReceptiveField | Geometry, cells: tuple[int, int], height: int, width: int) -> np.ndarray:
    """Whether a pixel lies in some cell's window: bool (height, width), for a map of `cells`, (rows, columns).

    A window is the native-size square that a cell stands for (`ReceptiveField.window_span`), not all that its cell
    reads where the network is padded. What is left over is a strip on the right and at the bottom, narrower than the
    stride where the map has all the cells that fit, and gaps between windows if they are smaller than the stride.
    """
    rows, columns = _covered(field.rows, cells[0], height), _covered(field.columns, cells[1], width)
    return rows[:, None] & columns


def _covered(field: ReceptiveField, cells: int, pixels: int) -> np.ndarray:
    """Of the windows that begin at a pixel or before, the last one reaches farthest."""
    position = np.arange(pixels)
    last = np.minimum(position // field.stride, cells - 1)
    return (last >= 0) & (position - field.stride * last < field.window)
