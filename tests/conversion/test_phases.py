"""Padding and pooling of finer maps, against NumPy on the coarse map and on each of its phases."""

import itertools

import keras
import numpy as np
import pytest

from vggfcn.conversion.phases import Plan, as_model, pooled, with_same_padding
from vggfcn.graph.kernels import Kernel1D

layers = keras.layers


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def same_padding(cells, kernel, stride):
    """The rule of TensorFlow's page "Notes on padding"."""
    total = max(kernel - stride if cells % stride == 0 else kernel - cells % stride, 0)
    return total // 2, total - total // 2


def pool(x, kernel, stride, same, reduce):
    """Rows and columns of (rows, columns, channels), one window after the other, cut off at the borders."""
    starts, counts = [], []
    for cells in x.shape[:2]:
        before, after = same_padding(cells, kernel, stride) if same else (0, 0)
        starts.append(-before)
        counts.append((cells + before + after - kernel) // stride + 1)
    result = np.empty((*counts, x.shape[2]), np.float32)
    for u, v in itertools.product(*map(range, counts)):
        top, left = starts[0] + u * stride, starts[1] + v * stride
        result[u, v] = reduce(x[max(top, 0) : top + kernel, max(left, 0) : left + kernel], axis=(0, 1))
    return result


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("rate", [1, 2, 4])
def test_the_coarse_map_has_its_own_same_padding(rate, stride, kernel):
    plan = Plan(Kernel1D(kernel, 1, stride), rate, 1, same=True)
    for cells in range(4, 12):
        coarse = noise(cells)
        fine = np.zeros((1, (cells - 1) * rate + 1, 3, 1), np.float32)
        fine[0, ::rate, :, 0] = coarse[:, None]
        none = Plan(Kernel1D(), 1, 1, same=False)
        padded = np.asarray(with_same_padding(fine, (plan, none)))[0, ::rate, 0, 0]
        expected = np.pad(coarse, same_padding(cells, kernel, stride))
        np.testing.assert_array_equal(padded[: len(expected)], expected)
        assert not padded[len(expected) :].any()


@pytest.mark.parametrize("same", [False, True], ids=["without padding", "SAME padding"])
@pytest.mark.parametrize(("layer", "reduce"), [(layers.MaxPooling2D, np.max), (layers.AveragePooling2D, np.mean)])
def test_a_pool_whose_stride_was_removed_contains_the_pool(layer, reduce, same):
    """Every second cell; also where the stride of an earlier layer was removed, so that there are phases already."""
    stock = layer(3, 2, "same" if same else "valid")
    for (rows, columns), rate in itertools.product([(8, 9), (7, 10)], [1, 2]):
        coarse = noise(rows, columns, 2)
        fine = np.random.default_rng(1).standard_normal((1, rate * (rows - 1) + 1, rate * (columns - 1) + 1, 2))
        fine[0, ::rate, ::rate] = coarse
        plan = Plan(Kernel1D(3, 1, 2), rate, 1, same)
        result = np.asarray(pooled(stock, fine.astype(np.float32), (plan, plan)))[0]
        expected = pool(coarse, 3, 2, same, reduce)
        found = result[:: 2 * rate, :: 2 * rate]
        np.testing.assert_allclose(found[: expected.shape[0], : expected.shape[1]], expected, rtol=1e-5, atol=1e-6)


def test_every_phase_is_pooled_by_itself():
    x = noise(1, 9, 8, 2)
    plan = Plan(Kernel1D(2, 1, 1), 3, 1, same=False)
    result = np.asarray(pooled(layers.MaxPooling2D(2, 1), x, (plan, plan)))[0]
    for i, j in itertools.product(range(3), repeat=2):
        np.testing.assert_array_equal(result[i::3, j::3], pool(x[0, i::3, j::3], 2, 1, False, np.max))


@pytest.mark.parametrize(
    ("plan", "unchanged"),
    [
        pytest.param(Plan(Kernel1D(3), 1, 1, False), True, id="before every removed stride"),
        pytest.param(Plan(Kernel1D(3, 1, 2), 1, 1, False), False, id="its stride is removed"),
        pytest.param(Plan(Kernel1D(3), 2, 1, False), False, id="it reads neighbours of the coarse map"),
        pytest.param(Plan(Kernel1D(1), 2, 1, False), True, id="it reads one cell"),
        pytest.param(Plan(Kernel1D(before=1), 2, 1, False), False, id="it pads the coarse map"),
    ],
)
def test_which_layers_stay_as_they_are(plan, unchanged):
    assert plan.unchanged is unchanged


def test_operations_in_models_of_their_own_do_not_clash():
    image = keras.Input((None, None, 3))
    one, other = (as_model(name, image, lambda x: keras.ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))) for name in "ab")
    model = keras.Model(image, other(one(image)))
    assert keras.Model.from_config(model.get_config()).compute_output_shape((1, 4, 4, 3)) == (1, 8, 4, 3)
