"""The loader: what it understands, what it refuses and in which words."""

import h5py
import numpy as np
import pytest
from writers import he_arrays, write_published_layout

import vggfcn
from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN
from vggfcn.errors import WeightsError
from vggfcn.networks import registry
from vggfcn.networks.catalogue import vgg
from vggfcn.networks.resolve import inspect
from vggfcn.networks.weights import read_weights


def layers_of(architecture, leave_out=(), reshape=None):
    for name, kernel, bias in he_arrays(architecture.parameter_shapes(), np.random.default_rng(0)):
        if name not in leave_out:
            yield name, (reshape or {}).get(name, lambda k: k)(kernel), bias


@pytest.fixture
def notop(tmp_path, small_architecture):
    head = ("fc1", "fc2", "predictions")
    return write_published_layout(tmp_path / "notop.h5", layers_of(small_architecture, leave_out=head))


def test_a_notop_file_says_so_when_the_head_is_asked_for(notop):
    message = (
        r"notop.h5: expected 16 layers, found 13: fc1, fc2, predictions missing; "
        r'this looks like a "notop" file: use a file with the head, or head=None for the trunk alone'
    )
    for head in ("conv", "dense"):
        with pytest.raises(WeightsError, match=message):
            vggfcn.build(weights=notop, head=head)


def test_a_head_of_another_depth_says_so(tmp_path, small_architecture):
    layers = list(layers_of(small_architecture, leave_out=("fc1", "fc2", "predictions")))
    layers += [
        ("dense", np.zeros((7 * 7 * 32, 5), "f4"), np.zeros(5, "f4")),
        ("out", np.zeros((5, 2), "f4"), np.zeros(2, "f4")),
    ]
    path = write_published_layout(tmp_path / "w.h5", layers)
    message = (
        "found 14: fc2, predictions missing; its head has another number of layers: .*; not understood: out/0, out/1"
    )
    with pytest.raises(WeightsError, match=message):
        vggfcn.build(weights=path)


def test_a_notop_file_gives_the_trunk(notop, small_file):
    model = vggfcn.build(weights=notop, head=None)
    assert model.output_shape == (None, None, None, 32)


def test_every_wrong_shape_is_listed(tmp_path, small_architecture):
    shapes = {"fc2": lambda k: k[:-1], "block2_conv1": lambda k: k[:, :, :-1]}
    path = write_published_layout(tmp_path / "w.h5", layers_of(small_architecture, reshape=shapes))
    with pytest.raises(WeightsError, match=r"shapes do not fit: block2_conv1 .* instead of .*; fc2 .* instead of"):
        vggfcn.build(weights=path)


def test_another_architecture_is_named(small_file):
    with pytest.raises(WeightsError, match="expected weights of vgg19, got weights of vgg16"):
        vggfcn.build("vgg19", weights=small_file)


def test_weights_of_another_width_do_not_fit_a_given_architecture(small_file):
    with pytest.raises(WeightsError, match=r"block1_conv1 .* instead of \(\(3, 3, 3, 64\), \(64,\)\)"):
        vggfcn.build(vgg("vgg16", (2, 2, 3, 3, 3)), weights=small_file)


def test_width_head_and_classes_are_understood_from_the_shapes(small_file, small_architecture):
    architecture, weights = inspect(small_file)
    assert architecture == small_architecture
    assert weights.labels is None


def write_bytes(path, content):
    path.write_bytes(content)


def unknown_layers(path, _):
    write_published_layout(path, [("conv2d_1", np.zeros((3, 3, 3, 8), "f4"), np.zeros(8, "f4"))])


def without_layers(path, _):
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)


def kernel_without_bias(path, architecture):
    write_published_layout(path, layers_of(architecture))
    with h5py.File(path, "a") as file:
        file["fc2"].attrs["weight_names"] = np.array(["fc2_W_1:0"], "S")


def truncated(path, architecture):
    write_published_layout(path, layers_of(architecture))
    write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])


def name_without_data(path, architecture):
    write_published_layout(path, layers_of(architecture))
    with h5py.File(path, "a") as file:
        del file["fc2/fc2_W_1:0"]


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
        (kernel_without_bias, "expected 16 layers, found 15: fc2 missing"),
        (name_without_data, "'fc2_W_1:0' is missing or a link"),
        (
            lambda path, _: None,
            "no such weight file, and not a known name: scene-digits, mnist-lenet5, imagenet",
        ),
    ],
    ids=["truncated", "no layers", "unknown layers", "no bias", "no data", "missing"],
)
def test_refuses(tmp_path, small_architecture, make, message):
    path = tmp_path / "file.h5"
    make(path, small_architecture)
    with pytest.raises(WeightsError, match=f"file.h5: {message}"):
        vggfcn.build(weights=path)


def test_reads_rgb_and_preprocessing_only_where_the_file_says_so(small_file, tmp_path):
    with h5py.File(small_file) as file:
        stored = file["block1_conv1/block1_conv1_W_1:0"][:]
    weights = read_weights(small_file)
    assert weights.preprocessing == IMAGENET_MEAN
    np.testing.assert_array_equal(weights["block1_conv1"][0], stored[:, :, [2, 1, 0]])
    weights = read_weights(registry.fetch("scene-digits"))
    assert weights.preprocessing.mean == (127.5,) * 3
    assert weights.labels == (*"0123456789", "none")
    with h5py.File(weights.source) as file:
        stored = file["block1_conv1/block1_conv1_W"][:]
    kernel, bias = weights["block1_conv1"]
    np.testing.assert_array_equal(kernel, stored)
    assert kernel.dtype == bias.dtype == np.float32
