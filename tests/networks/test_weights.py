"""`read_weights`: layers in canonical form, whatever the file, and what is refused in which words."""

import dataclasses
import hashlib

import h5py
import keras
import numpy as np
import onnx
import pytest
import safetensors.numpy
import scipy.signal
from format_writers import caffe_net, keras_1, matconvnet, matconvnet_layers
from paths import DATA
from writers import MICRO, TINY, arrays_of, he_arrays, to_torch, write_published_layout

from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION, parse_preprocessing
from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import WeightsError
from vggfcn.networks import registry
from vggfcn.networks.builders.build import build
from vggfcn.networks.catalogue import ARCHITECTURES, HEAD
from vggfcn.networks.registry import KnownWeights
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
    assert (weights.dialect, weights.preprocessing) == ("torchvision", None)
    weights = weights.with_preprocessing(TORCHVISION)
    assert (weights.preprocessing, weights.preprocessing_reason) == (TORCHVISION, "as given by the caller")
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
        (
            stray_normalization,
            "has layers of vgg16, but is another network: no layer of it has the arrays features.3.running_mean; other",
        ),
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


def test_arrays_of_training_alone_are_listed(tmp_path):
    write_torchvision(tmp_path / "w.safetensors", **{"features.1.num_batches_tracked": np.int64([3])})
    assert read_weights(tmp_path / "w.safetensors").unused == ["features.1.num_batches_tracked"]


@pytest.mark.parametrize("stated", [True, False])
def test_arrays_without_a_place_are_refused(tmp_path, stated):
    layers = [*ARRAYS.items(), ("extra", (np.zeros((2, 2), "f4"), np.zeros(2, "f4")))]
    write_published_layout(tmp_path / "w.h5", [(name, *pair) for name, pair in layers], stated)
    with pytest.raises(
        WeightsError, match=r"another network: 'extra', layer with arrays .* is one layer too many; this"
    ):
        read_weights(tmp_path / "w.h5")
    write_torchvision(tmp_path / "w.safetensors", **{"aux.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(WeightsError, match=r"no layer of it has the arrays aux.weight; other networks are run from"):
        read_weights(tmp_path / "w.safetensors")


def test_the_first_kernel_is_turned_only_if_the_images_are_bgr(tmp_path):
    path = write_published_layout(tmp_path / "w.h5", [(name, *pair) for name, pair in ARRAYS.items()], stated=False)
    weights = read_weights(path)
    assert weights.preprocessing is None
    assert weights.preprocessing_reason == "unknown: the file does not state it, and is none of the published files"
    stored = ARRAYS["block1_conv1"][0]
    for choice, expected in ((None, stored), ("0..1", stored), ("torch", stored), ("caffe", stored[:, :, ::-1])):
        given = weights if choice is None else weights.with_preprocessing(parse_preprocessing(choice))
        np.testing.assert_array_equal(given["block1_conv1"][0], expected)
        np.testing.assert_array_equal(given["block1_conv2"][0], ARRAYS["block1_conv2"][0])
        assert choice is None or given.preprocessing.color_order == "RGB"


def test_what_a_file_states_is_not_overruled(tmp_path):
    weights = read_weights(published(tmp_path / "w.h5"))
    assert weights.with_preprocessing(parse_preprocessing("caffe")) is weights
    message = "expects the preprocessing mean=123.68,.* of RGB, stated in the file, not 0..1; leave out preprocess"
    with pytest.raises(WeightsError, match=message):
        weights.with_preprocessing(parse_preprocessing("0..1"))


def test_published_weights_are_known_by_size_and_hash(tmp_path, monkeypatch):
    """Of two files of one layout and one size, only the published one is known; it need not have its name."""
    architecture = ARCHITECTURES["vgg16"].with_classes(1)
    small = dataclasses.replace(
        architecture,
        trunk=tuple(dataclasses.replace(r, filters=1) if hasattr(r, "filters") else r for r in architecture.trunk),
        head=tuple(dataclasses.replace(row, units=1) for row in architecture.head),
    )
    monkeypatch.setitem(ARCHITECTURES, "vgg16", small)
    layers = list(he_arrays(small.parameter_shapes(), np.random.default_rng(0)))
    path = write_published_layout(tmp_path / "mine.h5", layers, stated=False)
    content = path.read_bytes()
    known = KnownWeights(
        "w.h5", "vgg16", FileFormat.KERAS_HDF5, 1, "none", "http://127.0.0.1:9", len(content),
        f"md5:{hashlib.md5(content).hexdigest()}",
    )  # fmt: skip
    monkeypatch.setitem(registry.REGISTRY, "known", known)
    weights = read_weights(path)
    assert weights.preprocessing == IMAGENET_MEAN
    assert weights.preprocessing_reason == "of the published weights known, by their MD5"
    np.testing.assert_array_equal(weights["block1_conv1"][0], layers[0][1][:, :, ::-1])
    layers[-1][2][0] += 1
    assert read_weights(write_published_layout(tmp_path / "other.h5", layers, stated=False)).preprocessing is None


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("head", ["dense", "conv", None])
@pytest.mark.parametrize("name", ["scene-digits", "mnist-lenet5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_what_was_built_here_and_saved_by_keras_is_read_again(tmp_path, name, head, suffix):
    original = read_weights(registry.fetch(name))
    model = build(weights=name, head=head, preprocess=suffix != ".weights.h5")
    path = tmp_path / f"model{suffix}"
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    weights = read_weights(path)
    assert set(original) - set(weights) == (
        set() if head else {"fc1", "fc2", "predictions", "c5", "f6"} & set(original)
    )
    for layer in weights:
        for one, other in zip(weights[layer], original[layer], strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())
    if suffix != ".weights.h5":
        np.testing.assert_allclose(weights.preprocessing.std, original.preprocessing.std)


@pytest.mark.parametrize(
    ("array", "what"),
    [("layer1.0.conv1.weight", "a ResNet of torch"), ("blocks.0.attn.qkv.weight", "a vision transformer")],
)
def test_other_networks_are_named_with_a_way_out_that_fits_the_format(tmp_path, array, what):
    safetensors.numpy.save_file({array: np.zeros((2, 2), np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=f"found {what}, 1 arrays: {array}") as error:
        read_weights(tmp_path / "w.safetensors")
    assert "vggfcn.load(" not in str(error.value)


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_weights_alone_of_other_networks_can_be_run_with_their_architecture(tmp_path, name):
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(2, 3, name="own"), keras.layers.Flatten()])
    model.save_weights(tmp_path / "w.weights.h5")
    if name == "w.h5":
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["layer_names"] = ["own"]
            file.create_group("own").attrs["weight_names"] = ["own/kernel:0"]
            file["own/own/kernel:0"] = np.zeros((3, 3, 3, 2), np.float32)
    with pytest.raises(
        WeightsError, match=r"has weights alone: give the layers with --architecture \(architecture= in"
    ):
        read_weights(tmp_path / name)


def changed_caffe(change, old=False):
    def write(path):
        net = caffe_net(TINY, old)
        change({layer.name: layer for layer in (net.layers if old else net.layer)}, net)
        path.write_bytes(net.SerializeToString())

    return write


def changed_mat(change):
    def write(path):
        stored = matconvnet_layers(TINY)
        change({layer["name"]: layer for layer in stored}, stored)
        matconvnet(path, TINY, stored=stored)

    return write


def changed_onnx(change):
    def write(path):
        model = onnx.load(DATA / "tiny-torch.onnx")
        change(model.graph)
        onnx.save(model, path)

    return write


def attribute(kind, name, value):
    """Another value for an attribute of the graph's second node of this kind."""

    def change(graph):
        node = [node for node in graph.node if node.op_type == kind][1]
        kept = [item for item in node.attribute if item.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def another_kind(kind, other, **attributes):
    def change(graph):
        node = [node for node in graph.node if node.op_type == kind][1]
        node.op_type = other
        node.attribute.extend(onnx.helper.make_attribute(*item) for item in attributes.items())

    return change


def without_second(kind):
    def change(graph):
        index = [index for index, node in enumerate(graph.node) if node.op_type == kind][1]
        gone, following = graph.node[index], graph.node[index + 1]
        following.input[0] = gone.input[0]
        del graph.node[index]

    return change


def resized_image(graph):
    graph.input[0].type.tensor_type.shape.dim[2].dim_value = 230


def leak(layers, net):
    layers["reluconv1_2"].relu_param.negative_slope = 0.1


def average(layers, net):
    layers["block2_pool"].pooling_param.pool = 1


def wider_pool(layers, net):
    layers["block2_pool"].pooling_param.kernel_size = 3


def dilated(layers, net):
    layers["conv3_1"].convolution_param.dilation.append(2)


def unpadded(layers, net):
    layers["conv3_1"].convolution_param.pad[:] = [0]


def sigmoid(layers, net):
    layers["reluconv1_2"].type = "Sigmoid"


def old_sigmoid(layers, net):
    layers["reluconv1_2"].type = 19


def branch(layers, net):
    layers["conv3_1"].bottom.append("conv2_1")


def shortcut(layers, net):
    layers["conv3_2"].bottom[:] = ["block2_pool"]


def lost_relu(layers, net):
    net.layer.remove(layers["reluconv1_2"])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        *(
            (changed_caffe(change), message)
            for change, message in [
                (leak, "'reluconv1_2' has negative slope True"),
                (average, "'block2_pool', average pooling .* is where max pooling"),
                (wider_pool, "'block2_pool' has size 3, expected 2"),
                (dilated, "'conv3_1' has dilation 2, expected 1"),
                (unpadded, "'conv3_1' has padding 0, expected 1"),
                (sigmoid, "'reluconv1_2', a layer of the type 'Sigmoid', is where relu belongs"),
                (branch, "'conv3_1', a layer that takes block2_pool, conv2_1, is where"),
                (shortcut, "'conv3_2', a layer that takes block2_pool, is where"),
                (lost_relu, "'block1_pool', max pooling .* is where relu belongs"),
            ]
        ),
        (changed_caffe(old_sigmoid, old=True), "'reluconv1_2', a layer of the type 19, is where relu belongs"),
        (changed_caffe(unpadded, old=True), "'conv3_1' has padding 0, expected 1"),
        *(
            (changed_mat(change), message)
            for change, message in [
                (lambda by_name, _: by_name["reluconv1_2"].update(type="sigmoid"), "'sigmoid', is where relu belongs"),
                (lambda by_name, _: by_name["reluconv1_2"].update(leak=0.1), "'reluconv1_2' has leak True"),
                (
                    lambda by_name, _: by_name["block2_pool"].update(method="avg"),
                    "average pooling .* is where max pool",
                ),
                (lambda by_name, _: by_name["block2_pool"].update(stride=[1.0, 1.0]), "has stride 1, expected 2"),
                (lambda by_name, _: by_name["conv3_1"].update(pad=0.0), "'conv3_1' has padding 0, expected 1"),
                (lambda by_name, _: by_name["conv3_1"].update(dilate=2.0), "'conv3_1' has dilation 2, expected 1"),
                (lambda _, stored: stored.pop(1), "'conv1_2', convolution .* is where relu belongs"),
                (lambda _, stored: stored.insert(2, {"name": "n", "type": "lrn"}), "'n', a layer of the type 'lrn'"),
            ]
        ),
        *(
            (changed_onnx(change), message)
            for change, message in [
                (attribute("Conv", "dilations", [2, 2]), "has dilation 2, expected 1"),
                (attribute("Conv", "pads", [0, 0, 2, 2]), r"has padding \(0, 0, 2, 2\), expected 1"),
                (attribute("Conv", "group", 2), "has groups 2, expected 1"),
                (attribute("MaxPool", "kernel_shape", [3, 3]), "has size 3, expected 2"),
                (attribute("MaxPool", "strides", [1, 1]), "has stride 1, expected 2"),
                (attribute("MaxPool", "ceil_mode", 1), "has ceil_mode 1, expected None"),
                (another_kind("Relu", "Tanh"), "tanh, is where relu belongs"),
                (another_kind("Relu", "LeakyRelu"), "expected only nodes of a VGG network, found 'LeakyRelu'"),
                (another_kind("MaxPool", "AveragePool"), "average pooling .* is where max pooling"),
                (without_second("Relu"), "max pooling .* is where relu belongs"),
                (without_second("MaxPool"), "convolution .* is where max pooling"),
                (resized_image, "has rows 230, expected 224"),
            ]
        ),
    ],
)
def test_a_file_whose_layers_compute_something_else_is_refused(tmp_path, write, message):
    write(tmp_path / "w.bin")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "w.bin")


def test_theanos_convolutions_turn_the_kernel(tmp_path):
    """A convolution in the mathematical sense, as SciPy has it, is Keras's with the kernel turned by 180 degrees."""
    rng = np.random.default_rng(0)
    keras_1(tmp_path / "w.h5", TINY)
    with h5py.File(tmp_path / "w.h5") as file:
        stored = file["layer_3/param_0"][:]
    kernel, _ = read_weights(tmp_path / "w.h5")["block1_conv2"]
    windows = rng.standard_normal((2, 3, 3))
    for output in range(2):
        theano = sum(scipy.signal.convolve2d(windows[c], stored[output, c], "valid").item() for c in range(2))
        ours = np.sum(windows.transpose(1, 2, 0) * kernel[..., output])
        np.testing.assert_allclose(ours, theano, rtol=1e-5)


def test_a_checkpoint_of_torchs_in_wrappers(tmp_path):
    """Written by torch: dicts in dicts, DataParallel around and within, and a head with dropout first."""
    weights = read_weights(DATA / "micro-wrapped.pth")
    assert (weights.dialect, weights.preprocessing, weights.unused) == ("torch, dropout first", None, [])
    for name, expected in arrays_of(MICRO).items():
        for one, other in zip(weights[name], expected, strict=True):
            np.testing.assert_array_equal(one, other)
