"""Kernels of stock layers: by hand from TensorFlow's "Notes on padding", and against the sizes that Keras gives."""

import keras
import numpy as np
import pytest
from pixels import positive

from vggfcn.graph.kernels import KERNEL_KINDS, Kernel1D, kernels_of
from vggfcn.graph.layers import kind_of

layers = keras.layers


@pytest.mark.parametrize(
    ("layer", "cells", "rows", "columns"),
    [
        pytest.param(
            layers.Conv2D(2, (3, 5), dilation_rate=(2, 1)), (9, 9), Kernel1D(3, 2), Kernel1D(5), id="no padding",
        ),
        pytest.param(
            layers.Conv2D(2, 3, padding="same"), (8, 9), Kernel1D(3, 1, 1, 1, 1), Kernel1D(3, 1, 1, 1, 1),
            id="SAME padding does not depend on the size without a stride",
        ),
        pytest.param(
            layers.Conv2D(2, 3, 2, padding="same"), (8, 9), Kernel1D(3, 1, 2, 0, 1), Kernel1D(3, 1, 2, 1, 1),
            id="SAME padding with a stride: none before even sizes",
        ),
        pytest.param(
            layers.MaxPooling2D(2, 2, padding="same"), (8, 9), Kernel1D(2, 1, 2, 0, 0), Kernel1D(2, 1, 2, 0, 1),
            id="a SAME pool of an even size has no padding",
        ),
        pytest.param(
            layers.Conv2D(2, 1, 3, padding="same"), (9, 10), Kernel1D(1, 1, 3), Kernel1D(1, 1, 3),
            id="a stride wider than the kernel",
        ),
        pytest.param(
            layers.ZeroPadding2D(((1, 2), (3, 4))), (9, 9), Kernel1D(before=1, after=2), Kernel1D(before=3, after=4),
            id="zeros",
        ),
        pytest.param(
            layers.Cropping2D(((1, 2), (3, 4))), (9, 9), Kernel1D(before=-1, after=-2), Kernel1D(before=-3, after=-4),
            id="cropping is negative padding",
        ),
        pytest.param(
            layers.Conv2DTranspose(2, (3, 4)), (9, 9), Kernel1D(3, 1, 1, 2, 2), Kernel1D(4, 1, 1, 3, 3),
            id="transposed, each cell spreads over a whole kernel",
        ),
        pytest.param(
            layers.Conv2DTranspose(2, (3, 4), padding="same"), (9, 9), Kernel1D(3, 1, 1, 1, 1), Kernel1D(4, 1, 1, 2, 1),
            id="transposed, SAME padding",
        ),
    ],
)  # fmt: skip
def test_kernels_along_rows_and_columns(layer, cells, rows, columns):
    assert kind_of(layer) in KERNEL_KINDS
    assert kernels_of(layer, cells) == (rows, columns)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_the_number_of_cells_is_keras_s(kernel, stride, padding):
    for layer in (layers.Conv2D(2, kernel, stride, padding), layers.AveragePooling2D(kernel, stride, padding)):
        for cells in range(6, 13):
            expected = layer.compute_output_shape((1, cells, cells, 2))[1]
            assert kernels_of(layer, (cells, cells))[0].cells(cells) == expected


@pytest.mark.parametrize(("cells", "kernel"), [(8, 3), (9, 3), (7, 4), (10, 5)])
def test_a_cell_reads_the_cells_that_the_formula_says(cells, kernel):
    """One cell at a time is changed: those of stride * u - before + dilation * i, and no others, change the output."""
    model = positive(keras.Sequential([keras.Input((None, 1, 1)), layers.Conv2D(1, (kernel, 1), (2, 1), "same")]))
    rows, _ = kernels_of(model.layers[-1], (cells, 1))
    images = np.concatenate([np.zeros((1, cells)), np.eye(cells)])[..., None, None].astype(np.float32)
    outputs = np.asarray(model(images))[..., 0, 0]
    for u in range(outputs.shape[1]):
        read = {rows.stride * u - rows.before + rows.dilation * i for i in range(rows.kernel)}
        assert set(np.flatnonzero(outputs[1:, u] != outputs[0, u])) == read & set(range(cells))


def test_the_size_of_a_dilated_kernel():
    assert Kernel1D(3, dilation=4).dilated_size == 9
    assert Kernel1D(3, dilation=4, stride=2, before=1, after=2).cells(10) == 3


def test_a_transposed_convolution_with_a_stride_has_no_one_kernel():
    with pytest.raises(ValueError, match="expected a transposed convolution with stride 1, got 2"):
        kernels_of(layers.Conv2DTranspose(2, 3, 2), (9, 9))
