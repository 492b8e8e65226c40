"""3x3 convolutions with fewer multiplications: Winograd's minimal filtering on tiles of 4 x 4 cells.

A direct 3x3 convolution takes 144 products for 4 x 4 cells and each pair of channels. Winograd's method treats the
pixels and the kernel as polynomials, evaluates both at six points along each axis, multiplies the values, 36 products,
and transforms the result back: F(4x4, 3x3) of Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
Here all transforms are matrix products; the kernel is transformed once, in float64.

In float32 the rounding error is 2e-6 of the largest value, about six times that of the direct sums. The usual points,
0, +-1 and +-2, would quadruple it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.graph.copying import tensor_of

CELLS, KERNEL = 4, 3
TILE = CELLS + KERNEL - 1
# The sixth point is infinity. Symmetric and reciprocal points have the smallest rounding errors.
POINTS = (0, 5 / 7, -5 / 7, 7 / 5, -7 / 5)
# Least channels of the input. With fewer, the transforms take longer than they save.
CHANNELS = 128


def winograd(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """A function for a convolution with its current kernel; None where this method does not apply or does not pay."""
    simple = layer.kernel_size == (KERNEL, KERNEL) and layer.strides == layer.dilation_rate == (1, 1)
    suitable = simple and layer.groups == 1 and layer.padding in ("same", "valid") and layer.kernel.shape[2] >= CHANNELS
    if not (suitable and layer.data_format == "channels_last" and layer.compute_dtype == "float32"):
        return None
    border = 1 if layer.padding == "same" else 0
    kernel = tf.constant(transformed(np.asarray(tensor_of(layer.kernel))))
    return lambda x, _: _convolve(x, kernel, border)


def transformed(kernel: np.ndarray) -> np.ndarray:
    """Transform a kernel (3, 3, in, out) to its values at the 36 points: float32 (36, in, out)."""
    _, basis, _ = matrices()
    values = np.kron(basis, basis) @ kernel.reshape(KERNEL**2, -1).astype(np.float64)
    return values.astype(np.float32).reshape(TILE**2, *kernel.shape[2:])


def matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transforms along one axis: of six pixels (6, 6), of three kernel taps (6, 3), and back to four cells (4, 6).

    They follow the Cook-Toom algorithm, in float64. Rows are scaled by powers of 2 to values of similar size.
    """
    scales = [np.prod([point - other for other in POINTS if other != point]) for point in POINTS]
    kernel = np.array([[point**i / scale for i in range(KERNEL)] for point, scale in zip(POINTS, scales, strict=True)])
    back = np.array([[float(point) ** i for point in POINTS] for i in range(CELLS)])
    kernel = np.vstack([kernel, [0, 0, 1]])
    back = np.hstack([back, [[0], [0], [0], [1]]])
    pixels = np.array([_polynomial([other for other in POINTS if other != point]) for point in POINTS])
    pixels = np.vstack([pixels, _polynomial(POINTS)])
    scale = 2.0 ** np.round(np.log2(np.abs(pixels).sum(1, keepdims=True)))
    return pixels / scale, kernel * scale, back


def _polynomial(roots: Sequence[float]) -> np.ndarray:
    """The coefficients of the polynomial with these roots, lowest first, padded with zeros."""
    coefficients = np.polynomial.polynomial.polyfromroots(roots)
    return np.pad(coefficients, (0, TILE - len(coefficients)))


def _convolve(x: Any, kernel: Any, border: int) -> Any:
    """Convolve a batch (N, rows, columns, in) to (N, rows, columns, out), with `border` zeros on each side."""
    pixels, _, back = (np.kron(matrix, matrix).astype(np.float32) for matrix in matrices())
    channels, filters = kernel.shape[1:]
    batch = tf.shape(x)[0]
    rows, columns = (tf.shape(x)[axis] + 2 * border - KERNEL + 1 for axis in (1, 2))
    down, right = (-(-cells // CELLS) for cells in (rows, columns))
    below = (down + 1) * CELLS - tf.shape(x)[1] - border
    beside = (right + 1) * CELLS - tf.shape(x)[2] - border
    x = tf.pad(x, [[0, 0], [border, below], [border, beside], [0, 0]])
    # One map for each position in a tile, so that the rest is matrix products. Neighbouring tiles overlap: the last
    # positions of one are the first of the next.
    x = tf.reshape(x, (batch, down + 1, CELLS, right + 1, CELLS, channels))
    x = tf.transpose(x, (2, 4, 0, 1, 3, 5))
    x = tf.concat([x[:, :, :, :-1], x[: TILE - CELLS, :, :, 1:]], 0)
    tiles = tf.concat([x[:, :, :, :, :-1], x[:, : TILE - CELLS, :, :, 1:]], 1)
    values = tf.reshape(pixels @ tf.reshape(tiles, (TILE**2, -1)), (TILE**2, -1, channels))
    cells = back @ tf.reshape(values @ kernel, (TILE**2, -1))
    cells = tf.reshape(cells, (CELLS, CELLS, batch, down, right, filters))
    cells = tf.reshape(tf.transpose(cells, (2, 3, 0, 4, 1, 5)), (batch, down * CELLS, right * CELLS, filters))
    return cells[:, :rows, :columns]
