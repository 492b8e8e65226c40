"""Run a Keras model with TensorFlow: one graph for images of all sizes, with large kernels as matrix products.

TensorFlow's convolution packs its kernel at every call and is slow on small maps. With VGG's 7x7x512x4096 kernel, that
takes half of the time. One matrix product for each row of the kernel computes the same sums without packing.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.tracing import Traced, trace

# Kernels with at least this many numbers become matrix products. VGG's 3x3x512x512 kernels are smaller, and faster as
# convolutions.
LARGE = 2**22


class TensorFlow:
    """A model's inference; it reads the model's variables at every call."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.function = trace(model, products)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The model's output on a batch of its input's shape and dtype."""
        return np.asarray(self.function(tf.constant(batch)))


def compile_model(model: keras.Model, threads: int | None) -> TensorFlow:
    """Compile a model for TensorFlow; `threads` must be None."""
    return TensorFlow(model)


def compile_step(model: keras.Model, traced: Traced) -> Callable[..., Any]:
    """Compile a traced function of several tensors, with large kernels as matrix products."""
    return traced(products)


def products(layer: keras.layers.Conv2D) -> Callable[..., Any] | None:
    """The convolution as matrix products; None unless it has a large kernel and no padding, strides or groups."""
    kernel = layer.kernel.shape
    simple = layer.padding == "valid" and tuple(layer.strides) == (1, 1) and layer.groups == 1
    large = np.prod(kernel) >= LARGE and kernel[0] * kernel[1] > 1
    if not (simple and large and layer.data_format == "channels_last" and layer.compute_dtype == "float32"):
        return None
    down, right = layer.dilation_rate

    def convolution(x: Any, kernel: Any) -> Any:
        kernel = tf.convert_to_tensor(kernel)
        height, width, channels, filters = kernel.shape
        rows, columns = tf.shape(x)[1] - (height - 1) * down, tf.shape(x)[2] - (width - 1) * right
        # The cells of one row that each output reads, side by side: as wide as the kernel, not its whole area.
        rows_read = tf.concat([x[:, :, j * right : j * right + columns] for j in range(width)], -1)
        sums = [
            tf.tensordot(
                rows_read[:, i * down : i * down + rows], tf.reshape(kernel[i], (width * channels, filters)), 1
            )
            for i in range(height)
        ]
        return tf.add_n(sums)

    return convolution
