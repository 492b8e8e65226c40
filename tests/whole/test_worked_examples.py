"""The worked examples of "a fully connected layer is a convolution", with figures others have published.

The oracles are NumPy, written out here.
"""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from writers import he_arrays

import vggfcn
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.networks.catalogue import ALEXNET, ARCHITECTURES, C3_TABLE, LENET5, infer
from vggfcn.networks.spec import Architecture, ConvSpec, DenseSpec, LocalResponseNormalization, MaxPool, Subsampling


def fully_connected(units, size=1, channels=3):
    """A network that is one fully connected layer over a size x size x channels volume."""
    return Architecture("example", (), (DenseSpec("fc", units),), native_size=size, channels=channels)


def both(architecture, parameters, **options):
    """The network with its dense layers and without, with the same parameters."""
    models = [vggfcn.build(architecture, weights=None, head=head, **options) for head in ("dense", "conv")]
    for model, (name, arrays) in itertools.product(models, parameters.items()):
        layer = model.get_layer(name)
        layer.set_weights([array.reshape(value.shape) for array, value in zip(arrays, layer.weights, strict=True)])
    return models


def test_three_inputs_two_outputs_eight_parameters():
    weights, bias = np.array([[0, 1, 1], [2, 3, 5]], np.float32), np.array([8, 13], np.float32)
    models = both(fully_connected(2), {"fc": (weights.T, bias)}, activation="relu", preprocess=False)
    assert [model.count_params() for model in models] == [8, 8]
    kernel = models[1].get_layer("fc").kernel.numpy()
    assert kernel.shape == (1, 1, 3, 2)
    assert [kernel[..., unit].ravel().tolist() for unit in (0, 1)] == [[0, 1, 1], [2, 3, 5]]
    for values, expected in {
        (1, 2, 3): (13, 36),
        (-1, -9, 0.5): (0, 0),
        (0, -10, 2): (0, 0),
        (4, 0, -3): (5, 6),
    }.items():
        by_hand = [
            max(0, sum(w * v for w, v in zip(row, values, strict=True)) + b)
            for row, b in zip(weights, bias, strict=True)
        ]
        assert by_hand == list(expected)
        for model, shape in zip(models, [(1, 2), (1, 1, 1, 2)], strict=True):
            output = model.predict(np.array(values, np.float32).reshape(1, 1, 1, 3), verbose=0)
            assert output.shape == shape
            assert output.ravel().tolist() == list(expected)


@pytest.mark.parametrize(("size", "channels", "units"), [(1, 5, 3), (2, 3, 4), (5, 2, 7)])
def test_over_a_volume_it_is_an_n_by_n_convolution(size, channels, units):
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((size * size * channels, units), np.float32), np.ones(units, np.float32)
    dense, converted = both(fully_connected(units, size, channels), {"fc": (weights, bias)}, preprocess=False)
    assert dense.count_params() == converted.count_params() == size * size * channels * units + units
    assert converted.get_layer("fc").kernel.shape == (size, size, channels, units)
    image = rng.standard_normal((size + 2, size + 1, channels), np.float32)
    scores = converted.predict(image[None], verbose=0)[0]
    assert scores.shape == (3, 2, units)
    for row, column in np.ndindex(3, 2):
        window = image[row : row + size, column : column + size]
        expected = window.astype(np.float64).ravel() @ weights + bias
        np.testing.assert_allclose(scores[row, column], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(dense.predict(window[None], verbose=0)[0], expected, rtol=0, atol=1e-5)


def test_cs231n_vggs_first_dense_layer():
    """K = 4096, F = 7, P = 0, S = 1 on 7x7x512 gives 1x1x4096; the numbers themselves: test_vgg_is_keras_vgg.py."""
    kernel, bias = ARCHITECTURES["vgg16"].parameter_shapes()["fc1"]
    assert kernel == (7 * 7 * 512, 4096)
    assert np.prod(kernel) + np.prod(bias) == 102_764_544
    layer = keras.layers.Conv2D(4096, ARCHITECTURES["vgg16"].feature_size, strides=1, padding="valid")
    assert layer.compute_output_shape((None, 7, 7, 512)) == (None, 1, 1, 4096)


def test_alexnet_is_as_published():
    counts = ALEXNET.parameters()
    # The first layer's: CS231n; all of them: what Caffe's bvlc_alexnet has.
    assert counts["conv1"] == 34_944
    assert sum(counts.values()) == 60_965_224
    # Sizes of the maps: Krizhevsky et al. 2012, figure 2, and CS231n for the pools.
    trunk = vggfcn.build("alexnet", weights=None, head=None)
    sizes = {"conv1": 55, "norm1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv5": 13, "pool5": 6}
    shape = (1, 227, 227, 3)
    for depth, row in enumerate(ALEXNET.trunk, 1):
        part = dataclasses.replace(ALEXNET, trunk=ALEXNET.trunk[:depth])
        assert part.feature_size == sizes.get(row.name, part.feature_size)
    assert trunk.compute_output_shape(shape) == (1, 6, 6, 256)
    kernels = {layer.name: layer.kernel.shape for layer in trunk.layers if isinstance(layer, keras.layers.Conv2D)}
    assert kernels["conv2"] == (5, 5, 48, 256)
    assert kernels["conv5"] == (3, 3, 192, 256)


def test_alexnets_windows():
    field = ALEXNET.receptive_field
    assert field == ReceptiveField(355, 32, 64)
    assert (field.window, ALEXNET.output_stride, ALEXNET.feature_size) == (227, 32, 6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_are_known_by_their_parameters_at_any_size(name):
    architecture = ARCHITECTURES[name]
    larger = dataclasses.replace(
        architecture.with_classes(7), native_size=architecture.native_size + 2 * architecture.output_stride
    )
    for expected in (architecture, larger):
        shapes = expected.parameter_shapes()
        assert infer(shapes) == expected
        assert sum(expected.parameters().values()) <= sum(np.prod(k) + np.prod(b) for k, b in shapes.values())
    headless = {row.name: shapes[row.name] for row in larger.trained_rows}
    assert infer(headless) == architecture


def test_alexnet_whole_is_the_same_without_its_dense_layers(one_at_a_time):
    rng = np.random.default_rng(0)
    dense = vggfcn.build("alexnet", weights=None, head="dense")
    converted = vggfcn.build("alexnet", weights=None)
    assert dense.count_params() == converted.count_params() == 60_965_224
    for name in ALEXNET.parameter_shapes():
        kernel, bias = dense.get_layer(name).get_weights()
        bias = rng.standard_normal(bias.shape, np.float32) * np.float32(0.1)
        dense.get_layer(name).bias.assign(bias)
        layer = converted.get_layer(name)
        layer.set_weights([kernel.reshape(layer.kernel.shape), bias])
    assert converted.get_layer("fc6").kernel.shape == (6, 6, 256, 4096)
    assert converted.get_layer("fc7").kernel.shape == (1, 1, 4096, 4096)
    assert converted.get_layer("fc8").kernel.shape == (1, 1, 4096, 1000)
    images = rng.integers(0, 256, (1, 227 + 32, 227 + 64, 3), np.uint8)
    logits = dense.predict(images[:, :227, :227], verbose=0)
    native = converted.predict(images[:, :227, :227], verbose=0)
    assert native.shape == (1, 1, 1, 1000)
    assert np.abs(native[0, 0] - logits).max() < 2e-5 * np.abs(logits).max()
    assert logits.std() > 1e-3
    assert converted.predict(images, verbose=0).shape == (1, 2, 3, 1000)


def convolved(x, kernel, bias, stride, zeros):
    """A convolution of one map (rows, columns, in), written out."""
    x = np.pad(x, ((zeros, zeros), (zeros, zeros), (0, 0)))
    size = kernel.shape[0]
    rows, columns = ((length - size) // stride + 1 for length in x.shape[:2])
    result = np.empty((rows, columns, kernel.shape[-1]))
    for row, column in np.ndindex(rows, columns):
        patch = x[row * stride : row * stride + size, column * stride : column * stride + size]
        result[row, column] = np.einsum("ijc,ijcf->f", patch, kernel) + bias
    return result


def pooled(x, size, stride, function):
    rows, columns = ((length - size) // stride + 1 for length in x.shape[:2])
    places = itertools.product(range(rows), range(columns))
    squares = [x[r * stride : r * stride + size, c * stride : c * stride + size] for r, c in places]
    return np.array([function(square, (0, 1)) for square in squares]).reshape(rows, columns, -1)


def normalized(x):
    """Krizhevsky et al. 2012, section 3.3, channel by channel, with its k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    result = np.empty_like(x)
    channels = x.shape[-1]
    for i in range(channels):
        neighbours = range(max(0, i - 2), min(channels - 1, i + 2) + 1)
        result[..., i] = x[..., i] / (2 + 1e-4 * sum(x[..., j] ** 2 for j in neighbours)) ** 0.75
    return result


def test_every_kind_of_row_is_what_its_paper_says():
    """Stride, no padding, groups, normalisation, overlapping pools, a table and LeNet's subsampling."""
    table = ("X.X.", ".XX.", "..XX", "X..X", "XX..", ".X.X", "....", "XXXX")
    architecture = Architecture(
        "rows",
        trunk=(
            ConvSpec("strided", 8, size=5, stride=2, padding="valid"),
            LocalResponseNormalization("norm"),
            MaxPool("pool", size=3),
            ConvSpec("grouped", 8, size=3, groups=2, activation="tanh"),
            ConvSpec("partial", 4, size=3, padding="valid", activation=None, table=table),
            Subsampling("subsampling"),
        ),
        head=(DenseSpec("fc", 3),),
        native_size=23,
        channels=2,
    )
    parameters = {
        name: (kernel, bias)
        for name, kernel, bias in he_arrays(architecture.parameter_shapes(), np.random.default_rng(0))
    }
    parameters["partial"] = (parameters["partial"][0] * architecture.trunk[4].connections(8), parameters["partial"][1])
    image = np.random.default_rng(1).uniform(0, 30000, (23, 23, 2))
    x = np.maximum(convolved(image, *parameters["strided"], stride=2, zeros=0), 0)
    assert np.abs(normalized(x) * 2**0.75 - x).max() > 0.1 * x.max()
    x = pooled(normalized(x), 3, 2, np.max)
    kernel, bias = parameters["grouped"]
    halves = [convolved(x[..., half], kernel[..., half], bias[half], 1, 1) for half in (slice(0, 4), slice(4, 8))]
    x = np.tanh(np.concatenate(halves, -1))
    kernel, bias = parameters["partial"]
    columns = [[c for c in range(8) if table[c][f] == "X"] for f in range(4)]
    x = np.concatenate(
        [convolved(x[..., read], kernel[:, :, read, f : f + 1], bias[f], 1, 0) for f, read in enumerate(columns)], -1
    )
    coefficient, bias = parameters["subsampling"]
    x = np.tanh(pooled(x, 2, 2, np.mean) * coefficient.ravel() + bias)
    assert x.shape == (1, 1, 4)
    expected = x.ravel() @ parameters["fc"][0] + parameters["fc"][1]
    for model in both(architecture, parameters, preprocess=False):
        np.testing.assert_allclose(model.predict(image[None], verbose=0).ravel(), expected, rtol=2e-5, atol=2e-5)


def test_lenet5_has_the_papers_parameters():
    """LeCun et al. 1998, section II.B: layer by layer, and 60,000 in all before the output layer."""
    counts = LENET5.parameters()
    published = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert counts == {**published, "output": 84 * 10 + 10}
    assert sum(published.values()) == 60_000
    model = vggfcn.build("lenet5", weights=None, head="dense")
    kernel = model.get_layer("c3").kernel.numpy()
    assert np.count_nonzero(kernel) == 60 * 25
    # Keras counts the zeros as well, and so more than there are to train.
    assert model.count_params() == sum(counts.values()) + 36 * 25


def test_c3s_table_follows_the_papers_rule():
    """Contiguous subsets of three, then of four, then some that are not contiguous, then all; each map alike often."""
    read = [{row for row in range(6) if C3_TABLE[row][column] == "X"} for column in range(16)]
    assert read[:6] == [{(first + i) % 6 for i in range(3)} for first in range(6)]
    assert read[6:12] == [{(first + i) % 6 for i in range(4)} for first in range(6)]
    contiguous = [{(first + i) % 6 for i in range(4)} for first in range(6)]
    assert all(len(maps) == 4 and maps not in contiguous for maps in read[12:15])
    assert read[15] == set(range(6))
    assert [row.count("X") for row in C3_TABLE] == [10] * 6
    assert sum(map(len, read)) == 60


def test_a_full_table_is_no_table():
    full = ConvSpec("c3", 16, table=("X" * 16,) * 6)
    np.testing.assert_array_equal(full.connections(6), ConvSpec("c3", 16).connections(6))
    c5 = ConvSpec("c5", 120, size=5).parameter_shapes(16)
    assert LENET5.parameter_shapes()["c5"][0] == (np.prod(c5[0][:-1]), 120)


def test_lenets_maps_grow_with_the_input():
    """C1 28, S2 14, C3 10, S4 5 and C5 1 at 32 x 32, as published; C5's maps grow with the input."""
    sizes = [dataclasses.replace(LENET5, trunk=LENET5.trunk[:depth]).feature_size for depth in range(1, 5)]
    assert sizes == [28, 14, 10, 5]
    model = vggfcn.build("lenet5", weights=None)
    c5 = keras.Model(model.input, model.get_layer("c5").output)
    assert c5.compute_output_shape((1, 32, 32, 1)) == (1, 1, 1, 120)
    assert c5.compute_output_shape((1, 36, 44, 1)) == (1, 2, 4, 120)
    assert LENET5.receptive_field == ReceptiveField(32, 4, 0)


@pytest.mark.parametrize("name", ["alexnet", "lenet5"])
def test_saves_and_loads_with_stock_layers_alone(tmp_path, name):
    model = vggfcn.build(
        dataclasses.replace(ARCHITECTURES[name], head=(DenseSpec("a", 8), DenseSpec("b", 3))), weights=None
    )
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    image = np.random.default_rng(0).integers(0, 256, (1, 250, 240, model.input_shape[-1]), np.uint8)
    np.testing.assert_array_equal(again.predict(image, verbose=0), model.predict(image, verbose=0))
    assert {type(operation).__module__.split(".")[0] for operation in again.operations} == {"keras"}
