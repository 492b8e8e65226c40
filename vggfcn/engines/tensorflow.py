"""A Keras model run by TensorFlow: one graph for images of all sizes, its large kernels as matrix products.

TensorFlow's convolution packs its kernel anew at every call and works on few places at a time slowly, which with VGG's
7x7x512x4096 kernel is half of all time. The same sums as one matrix product for each row of the kernel need no packing.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.tracing import Traced, trace

# Numbers in a kernel from which on it is worth while; VGG's 3x3x512x512 kernels are smaller, and faster as they are.
LARGE = 2**22


class TensorFlow:
    """The model's inference; its variables are read at every call."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.function = trace(model, products)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The model's output on a batch of its own shape and dtype."""
        return np.asarray(self.function(tf.constant(batch)))


def compile_model(model: keras.Model, threads: int | None) -> TensorFlow:
    """The model run by TensorFlow; `threads` can only be None."""
    return TensorFlow(model)


def compile_step(model: keras.Model, traced: Traced) -> Callable[..., Any]:
    """A traced function of several tensors, its large kernels as matrix products."""
    return traced(products)


def products(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """The convolution as matrix products, where it has a large kernel and no padding, strides or groups."""
    kernel = layer.kernel.shape
    plain = layer.padding == "valid" and tuple(layer.strides) == (1, 1) and layer.groups == 1
    wanted = np.prod(kernel) >= LARGE and kernel[0] * kernel[1] > 1
    if not (plain and wanted and layer.data_format == "channels_last" and layer.compute_dtype == "float32"):
        return None
    down, right = layer.dilation_rate

    def convolution(x: Any, kernel: Any) -> Any:
        kernel = tf.convert_to_tensor(kernel)
        height, width, channels, filters = kernel.shape
        rows, columns = tf.shape(x)[1] - (height - 1) * down, tf.shape(x)[2] - (width - 1) * right
        # What each cell sees of a row, side by side: a kernel's width of numbers, not its whole area, at once.
        seen = tf.concat([x[:, :, j * right : j * right + columns] for j in range(width)], -1)
        sums = [
            tf.tensordot(seen[:, i * down : i * down + rows], tf.reshape(kernel[i], (width * channels, filters)), 1)
            for i in range(height)
        ]
        return tf.add_n(sums)

    return convolution
