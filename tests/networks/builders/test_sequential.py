"""Networks of layers in sequence do what their papers say, hold the file's numbers, and are stock Keras models."""

import dataclasses
import itertools

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from heads import both
from writers import TINY, arrays_of, he_arrays, write_published_layout

import vggfcn
from vggfcn.checkpoints.preprocessing import default_preprocessing
from vggfcn.memory import aligned_empty
from vggfcn.networks.builders import sequential
from vggfcn.networks.catalogue import ARCHITECTURES, C3_TABLE
from vggfcn.networks.families import BuildOptions
from vggfcn.networks.spec import Architecture, ConvSpec, DenseSpec, LocalResponseNormalization, MaxPool, Subsampling


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


def test_every_kind_of_layer_is_what_its_paper_says():
    """Stride, no padding, groups, normalisation, overlapping pools, a table and LeNet's subsampling."""
    table = ("X.X.", ".XX.", "..XX", "X..X", "XX..", ".X.X", "....", "XXXX")
    architecture = Architecture(
        "example",
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


def test_every_kernel_element_of_a_small_network(small_file):
    model = vggfcn.build(weights=small_file)
    with h5py.File(small_file) as file:
        for layer in model.layers:
            if not isinstance(layer, keras.layers.Conv2D):
                continue
            stored = file[f"{layer.name}/{layer.name}_W_1:0"][:]
            if layer.name == "block1_conv1":
                stored = stored[:, :, ::-1]  # the file is for BGR, the model for RGB
            rows, columns, channels, units = layer.kernel.shape
            expected = np.empty(layer.kernel.shape, np.float32)
            flat = stored.reshape(-1, units)
            for position in range(rows * columns * channels):
                row, column, channel = np.unravel_index(position, (rows, columns, channels))
                expected[row, column, channel] = flat[position]
            np.testing.assert_array_equal(layer.kernel.numpy(), expected)
            np.testing.assert_array_equal(layer.bias.numpy(), file[f"{layer.name}/{layer.name}_b_1:0"][:])


def with_a_small_head(name):
    return dataclasses.replace(ARCHITECTURES[name], head=(DenseSpec("a", 8), DenseSpec("b", 3)))


@pytest.mark.parametrize(
    ("architecture", "head"),
    [
        pytest.param(TINY, "conv", id="VGG, converted"),
        pytest.param(TINY, "dense", id="VGG, the original"),
        pytest.param(with_a_small_head("alexnet"), "conv", id="AlexNet"),
        pytest.param(with_a_small_head("lenet5"), "conv", id="LeNet-5"),
    ],
)
def test_models_save_and_load_with_stock_layers_alone(tmp_path, architecture, head):
    model = vggfcn.build(architecture, weights=None, head=head)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    side = architecture.native_size + (0 if head == "dense" else 23)
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, architecture.channels), np.uint8)
    np.testing.assert_array_equal(again(image), model(image))
    assert {type(operation).__module__.split(".")[0] for operation in again.operations} == {"keras"}


@pytest.fixture
def tiny_file(tmp_path):
    return write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))


@pytest.mark.parametrize("head", ["conv", "dense"])
def test_a_saved_model_does_not_hold_the_weights_twice(tmp_path, tiny_file, head):
    """A layer's configuration knows nothing of the arrays that its variables were made from."""
    model = vggfcn.build(weights=tiny_file, head=head)
    model.save(tmp_path / "x.keras")
    assert (tmp_path / "x.keras").stat().st_size < 1.5 * tiny_file.stat().st_size


class FromMemory(dict):
    """Weights that are in memory already."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.shapes = {name: (kernel.shape, bias.shape) for name, (kernel, bias) in arrays.items()}
        self.preprocessing = default_preprocessing(3)


def placed(array, offset):
    """A copy of an array, `offset` bytes after an aligned address."""
    buffer = aligned_empty((array.size + offset // 4,)).reshape(-1)[offset // 4 :]
    buffer[:] = array.ravel()
    return buffer.reshape(array.shape)


@pytest.mark.parametrize(
    ("offset", "adopted"),
    [
        pytest.param(0, True, id="an aligned array is adopted"),
        pytest.param(4, False, id="TensorFlow would abort on another, so it is copied"),
    ],
)
@pytest.mark.parametrize("head", ["conv", "dense"])
def test_no_second_copy_of_the_weights(offset, adopted, head):
    arrays = {name: (placed(kernel, offset), placed(bias, offset)) for name, (kernel, bias) in arrays_of().items()}
    model = sequential.build(TINY, FromMemory(arrays), BuildOptions(head))
    for name, (kernel, _) in arrays.items():
        variable = model.get_layer(name).kernel
        np.testing.assert_array_equal(np.ravel(variable), kernel.ravel())
        memory = np.from_dlpack(tf.convert_to_tensor(variable.value))
        assert np.shares_memory(memory, kernel) == adopted


def test_other_classes_give_a_new_last_layer_and_keep_the_rest(small_file):
    model = vggfcn.build(weights=small_file, classes=3)
    with h5py.File(small_file) as file:
        np.testing.assert_array_equal(model.get_layer("fc2").kernel.numpy()[0, 0], file["fc2/fc2_W_1:0"][:])
    assert model.output_shape == (None, None, None, 3)
    assert model.get_layer("predictions").kernel.numpy().std() > 0


def test_without_preprocessing_the_input_is_the_checkpoints(small_file, image):
    with_it = np.asarray(vggfcn.build(weights=small_file, head="dense")(image))
    without = vggfcn.build(weights=small_file, head="dense", preprocess=False)
    # ImageNet's mean as published with Keras's weights, red first.
    preprocessed = image.astype(np.float32) - np.array([123.68, 116.779, 103.939], np.float32)
    np.testing.assert_allclose(without(preprocessed), with_it, rtol=0, atol=2e-5 * np.abs(with_it).max())


def test_a_new_connection_table_starts_with_zeros():
    model = vggfcn.build("lenet5", weights=None, head=None)
    kernel = model.get_layer("c3").kernel.numpy()
    connected = np.array([[mark == "X" for mark in line] for line in C3_TABLE])
    assert np.all(kernel[:, :, ~connected] == 0)
    assert np.all(kernel[:, :, connected] != 0)


def test_inputs_that_are_no_square_map_are_refused():
    x = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="fc: expected the inputs of a square map of 3 channels, got 10"):
        sequential._dense_as_convolution(x, "fc", (10, 2), None, None)
