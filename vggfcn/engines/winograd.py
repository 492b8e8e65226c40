"""3x3 convolutions with fewer multiplications: Winograd's minimal filtering, 4 x 4 cells at once.

Sixteen neighbouring cells of a 3x3 convolution take 144 products for each pair of channels. Seen as polynomials, what
they see and the kernel are evaluated at six points along each axis, multiplied there, 36 products, and brought back:
F(4x4, 3x3) of Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, 2016. Here all changes of basis are
matrix products too; that of the kernel is done once, in float64.

In float32 the rounding is about six times that of the sums as they stand, 2e-6 of the largest value; the usual points,
0, +-1, +-2, would quadruple that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.graph.copying import tensor_of

CELLS, KERNEL = 4, 3
TILE = CELLS + KERNEL - 1
# And infinity. Symmetric and reciprocal points round least.
POINTS = (0, 5 / 7, -5 / 7, 7 / 5, -7 / 5)
# Channels of the input from which on it is quicker; with fewer, the changes of basis take longer than what they save.
CHANNELS = 128


def winograd(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """What gives a convolution's sums with the kernel that it has now; None where that is not worth while."""
    plain = layer.kernel_size == (KERNEL, KERNEL) and layer.strides == layer.dilation_rate == (1, 1)
    wanted = plain and layer.groups == 1 and layer.padding in ("same", "valid") and layer.kernel.shape[2] >= CHANNELS
    if not (wanted and layer.data_format == "channels_last" and layer.compute_dtype == "float32"):
        return None
    border = 1 if layer.padding == "same" else 0
    kernel = tf.constant(transformed(np.asarray(tensor_of(layer.kernel))))
    return lambda x, _: _convolve(x, kernel, border)


def transformed(kernel: np.ndarray) -> np.ndarray:
    """A kernel (3, 3, in, out) at the 36 points: float32 (36, in, out)."""
    _, basis, _ = matrices()
    there = np.kron(basis, basis) @ kernel.reshape(KERNEL**2, -1).astype(np.float64)
    return there.astype(np.float32).reshape(TILE**2, *kernel.shape[2:])


def matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What takes six pixels, three of a kernel, and six products: to the points, to the points, and back.

    Cook and Toom's: (6, 6), (6, 3) and (4, 6), float64. Rows are scaled by powers of 2 so that all are of like size.
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
    """Its coefficients, the lowest first, filled up by zeros."""
    found = np.polynomial.polynomial.polyfromroots(roots)
    return np.pad(found, (0, TILE - len(found)))


def _convolve(x: Any, kernel: Any, border: int) -> Any:
    """Of a batch (N, rows, columns, in): (N, rows, columns, out), with so many zeros on each side."""
    pixels, _, back = (np.kron(matrix, matrix).astype(np.float32) for matrix in matrices())
    channels, filters = kernel.shape[1:]
    batch = tf.shape(x)[0]
    rows, columns = (tf.shape(x)[axis] + 2 * border - KERNEL + 1 for axis in (1, 2))
    down, right = (-(-cells // CELLS) for cells in (rows, columns))
    below = (down + 1) * CELLS - tf.shape(x)[1] - border
    beside = (right + 1) * CELLS - tf.shape(x)[2] - border
    x = tf.pad(x, [[0, 0], [border, below], [border, beside], [0, 0]])
    # One map for each place in a tile, so that all else is a product of matrices. A tile's last places are the first
    # of the next one.
    x = tf.reshape(x, (batch, down + 1, CELLS, right + 1, CELLS, channels))
    x = tf.transpose(x, (2, 4, 0, 1, 3, 5))
    x = tf.concat([x[:, :, :, :-1], x[: TILE - CELLS, :, :, 1:]], 0)
    places = tf.concat([x[:, :, :, :, :-1], x[:, : TILE - CELLS, :, :, 1:]], 1)
    there = tf.reshape(pixels @ tf.reshape(places, (TILE**2, -1)), (TILE**2, -1, channels))
    made = back @ tf.reshape(there @ kernel, (TILE**2, -1))
    made = tf.reshape(made, (CELLS, CELLS, batch, down, right, filters))
    made = tf.reshape(tf.transpose(made, (2, 3, 0, 4, 1, 5)), (batch, down * CELLS, right * CELLS, filters))
    return made[:, :rows, :columns]
