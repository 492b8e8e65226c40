"""Weight files: bytes in, canonical arrays out, without Keras.

Canonical is: layers named as Keras names them (`block1_conv1` ... `fc1`, `fc2`, `predictions`); convolution kernels
float32 (rows, columns, in, out) on RGB; dense kernels float32 (in, out), the first one's inputs flattened in rows,
columns, channels order; biases float32 (out,).
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from vggfcn.preprocessing import Preprocessing

Shape = tuple[int, ...]
# TensorFlow can use a NumPy buffer in place, without a copy, only if it begins at a multiple of so many bytes.
ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class Weights:
    """A checkpoint opened for reading, one layer at a time, so that no second copy of it is ever in memory.

    `shapes` gives canonical (kernel, bias) shapes by layer in the file's order; `read` gives that layer's arrays and
    raises `WeightsError` if the file is damaged there. `labels` are the class names, if the file carries them.
    """

    source: str
    shapes: Mapping[str, tuple[Shape, Shape]]
    read: Callable[[str], tuple[np.ndarray, np.ndarray]]
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
