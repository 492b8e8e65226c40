"""`read_weights`: layers in canonical form, whatever the file, and what is refused in which words."""

import hashlib

import h5py
import numpy as np
import pytest
import safetensors.numpy
from writers import TINY, arrays_of, to_torch, write_published_layout

from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION
from vggfcn.errors import WeightsError
from vggfcn.networks import registry
from vggfcn.networks.catalogue import HEAD
from vggfcn.networks.weights import read_weights

ARRAYS = arrays_of()


def published(path, **changes):
    """Write the tiny VGG16 as Keras publishes it, some layers changed: {name: (kernel, bias) or None for none}."""
    layers = {**ARRAYS, **changes}
    return write_published_layout(path, [(name, *pair) for name, pair in layers.items() if pair])


def test_a_published_file_is_for_bgr_and_imagenets_mean(tmp_path):
    path = published(tmp_path / "w.h5")
    weights = read_weights(path)
    assert (weights.format, weights.dialect, weights.preprocessing) == ("Keras HDF5", "Keras", IMAGENET_MEAN)
    assert list(weights) == list(TINY.parameter_shapes())
    assert weights.shapes == TINY.parameter_shapes()
    np.testing.assert_array_equal(weights["block1_conv1"][0], ARRAYS["block1_conv1"][0][:, :, [2, 1, 0]])
    np.testing.assert_array_equal(weights["block1_conv2"][0], ARRAYS["block1_conv2"][0])
    assert weights.digest("md5") == hashlib.md5(path.read_bytes()).hexdigest()


def test_a_file_that_states_its_colours_mean_and_classes_is_taken_at_its_word():
    weights = read_weights(registry.fetch("scene-digits"))
    assert weights.preprocessing.mean == (127.5,) * 3
    assert weights.labels == (*"0123456789", "none")
    with h5py.File(weights.source) as file:
        stored = file["block1_conv1/block1_conv1_W"][:]
    kernel, bias = weights["block1_conv1"]
    np.testing.assert_array_equal(kernel, stored)
    assert kernel.dtype == bias.dtype == np.float32


def torch_names(normalized):
    """torchvision's names of VGG16's layers, and of their normalisation."""
    index, names = 0, {}
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            names[f"block{block}_conv{number}"] = f"features.{index}", f"features.{index + 1}"
            index += 3 if normalized else 2
        index += 1
    return names | {name: (f"classifier.{index}", None) for name, index in zip(HEAD, (0, 3, 6), strict=True)}


def write_torchvision(path, normalized=False, bias=True, **changes):
    """The same network as torchvision's arrays, with batch normalisation after each convolution if `normalized`."""
    rng = np.random.default_rng(5)
    arrays, normalizations = {}, {}
    for name, (layer, normalization) in torch_names(normalized).items():
        arrays[f"{layer}.weight"] = to_torch(name, ARRAYS[name][0])
        if bias or name in HEAD:
            arrays[f"{layer}.bias"] = ARRAYS[name][1]
        if normalized and name not in HEAD:
            size = len(ARRAYS[name][1])
            four = [rng.uniform(0.5, 2, size).astype(np.float32) for _ in range(4)]
            normalizations[name] = four
            for part, array in zip(("weight", "bias", "running_mean", "running_var"), four, strict=True):
                arrays[f"{normalization}.{part}"] = array
    safetensors.numpy.save_file(arrays | changes, path)
    return normalizations


def test_torchs_axes_are_turned(tmp_path):
    write_torchvision(tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    assert (weights.dialect, weights.preprocessing) == ("torchvision", TORCHVISION)
    for name, (kernel, bias) in ARRAYS.items():
        np.testing.assert_array_equal(weights[name][0], kernel)
        np.testing.assert_array_equal(weights[name][1], bias)


@pytest.mark.parametrize("bias", [True, False], ids=["with biases", "without biases"])
def test_batch_normalisation_is_folded_in(tmp_path, bias):
    """What comes out of a convolution is the same, written out for one window of each layer."""
    normalizations = write_torchvision(tmp_path / "w.safetensors", normalized=True, bias=bias)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.dialect == "torchvision, normalised"
    rng = np.random.default_rng(6)
    for name, (scale, offset, mean, variance) in normalizations.items():
        kernel, added = (array.astype(np.float64) for array in ARRAYS[name])
        window = rng.standard_normal(kernel.shape[:-1])
        convolved = np.tensordot(window, kernel, 3) + (added if bias else 0)
        expected = (convolved - mean) / np.sqrt(variance + 1e-5) * scale + offset
        folded_kernel, folded_bias = weights[name]
        np.testing.assert_allclose(np.tensordot(window, folded_kernel, 3) + folded_bias, expected, rtol=1e-4, atol=1e-5)


def test_a_head_of_nan_is_none(tmp_path):
    """torchvision's "features only" file: its head is there for the form."""
    nan = {name: np.full_like(array, np.nan) for name, array in head_arrays().items()}
    write_torchvision(tmp_path / "w.safetensors", **nan)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.dialect == "torchvision, features only"
    assert list(weights) == [layer.name for layer in TINY.trained_layers]
    assert weights.preprocessing.mean[0] == pytest.approx(0.48235 * 255)


def head_arrays():
    return {
        f"classifier.{index}.{part}": array
        for name, index in zip(HEAD, (0, 3, 6), strict=True)
        for part, array in (("weight", to_torch(name, ARRAYS[name][0])), ("bias", ARRAYS[name][1]))
    }


def truncated(path):
    published(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_layers(path):
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)


def name_without_data(path):
    published(path)
    with h5py.File(path, "a") as file:
        del file["fc2/fc2_W_1:0"]


def unknown_layers(path):
    write_published_layout(path, [("conv2d_1", np.zeros((3, 3, 3, 8), "f4"), np.zeros(8, "f4"))])


def stray_normalization(path):
    write_torchvision(path, **{"features.3.running_mean": np.zeros(2, np.float32)})


def integer_kernel(path):
    published(path, fc2=(np.zeros((32, 24), "i4"), np.zeros(24, "f4")))


def flat_kernel(path):
    published(path, block1_conv2=(np.zeros((3, 3), "f4"), ARRAYS["block1_conv2"][1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "the HDF5 file is damaged .*; download the file again"),
        (without_layers, "expected a Keras weight file, found HDF5 without any layer's weights"),
        (
            unknown_layers,
            r"expected the layers of vgg16, vgg19, alexnet or lenet5, starting with block1_conv1/0 \(Keras\) .*, "
            r"found 2 arrays: conv2d_1/0 \(3, 3, 3, 8\), conv2d_1/1 \(8,\)",
        ),
        (name_without_data, "'fc2_W_1:0' is missing or a link"),
        (stray_normalization, "has batch normalisation where no known network has it: features.3.running_mean"),
        (integer_kernel, "expected fc2/0 in floating point, found <i4"),
        (flat_kernel, r"block1_conv2/0 has the shape \(3, 3\), expected a kernel's"),
    ],
    ids=["truncated", "no layers", "unknown layers", "no data", "stray normalisation", "integers", "no kernel"],
)
def test_files_that_are_refused(tmp_path, make, message):
    make(tmp_path / "file.h5")
    with pytest.raises(WeightsError, match=f"file.h5: {message}"):
        read_weights(tmp_path / "file.h5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"running_mean": 3}, r"features.1.running_mean has the shape \(3,\), expected 2 numbers", id="mean"
        ),
        pytest.param({"bias": 3}, r"features.1.bias has the shape \(3,\), expected 2 numbers", id="offset"),
    ],
)
def test_normalisation_of_another_width_is_refused_when_its_layer_is_read(tmp_path, changes, message):
    arrays = {f"features.1.{part}": np.ones(size, np.float32) for part, size in changes.items()}
    write_torchvision(tmp_path / "w.safetensors", normalized=True, **arrays)
    weights = read_weights(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        weights["block1_conv1"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_layer_that_is_not_finite_is_refused_when_it_is_read(tmp_path, value):
    kernel, bias = (array.copy() for array in ARRAYS["fc2"])
    bias[3] = value
    weights = read_weights(published(tmp_path / "w.h5", fc2=(kernel, bias)))
    assert weights["fc1"][0].shape == (784, 32)
    with pytest.raises(WeightsError, match="fc2/0 or its bias holds NaN or infinite numbers"):
        weights["fc2"]


def test_arrays_that_mean_nothing_are_listed(tmp_path):
    weights = read_weights(published(tmp_path / "w.h5", extra=(np.zeros((2, 2), "f4"), np.zeros(2, "f4"))))
    assert weights.unused == ["extra/0", "extra/1"]
