"""Exports: the same network in its own runtime, at every size, or nothing at all."""

import errno
import os

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from foreign_runtimes import NAMES, assert_same, images

import vggfcn
from vggfcn.errors import ConversionError, ExportError
from vggfcn.exports import export as exports
from vggfcn.exports.formats import FORMATS

layers = keras.layers
EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def lenet():
    return vggfcn.build(weights="mnist-lenet5")


@pytest.fixture
def target(tmp_path, name):
    return tmp_path / NAMES[name]


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@EACH
def test_the_same_network_at_sizes_that_were_not_compared(lenet, name, target):
    found = vggfcn.export(lenet, target)
    assert (found.format, found.path) == (name, target)
    for shape in ((1, 32, 32, 1), (3, 61, 45, 1), (1, 33, 90, 1)):
        assert_same(name, target, lenet, images(*shape))
    assert left(target.parent) == (["x.bin", "x.xml"] if name == "openvino" else [target.name])
    files = [path for path in target.parent.rglob("*") if path.is_file()]
    assert found.size == sum(path.stat().st_size for path in files)
    assert [one.shape for one in found.comparisons] == [(1, 32, 32, 1), (2, 38, 50, 1)]
    assert [one.output_shape for one in found.comparisons] == [(1, 1, 1, 10), (2, 2, 5, 10)]
    assert all(one.max_rel_error <= found.tolerance < 1e-4 for one in found.comparisons)


def changed(lenet):
    """The same network but for one number in the first kernel."""
    other = keras.models.clone_model(lenet)
    other.set_weights(lenet.get_weights())
    kernel = other.layers[2].kernel
    values = np.array(kernel)
    values.flat[3] += 0.01
    kernel.assign(values)
    return other


@EACH
def test_another_network_is_not_put_in_place(lenet, name, target, monkeypatch):
    right, wrong = exports.WRITERS[name], changed(lenet)
    monkeypatch.setitem(exports.WRITERS, name, lambda model, path: right(wrong, path))
    with pytest.raises(ExportError, match=rf"not written, because the {name} network is not the same: on images of "):
        vggfcn.export(lenet, target)
    assert left(target.parent) == []


@pytest.mark.parametrize("name", ["onnx", "litert", "keras"])
def test_damaged_files_are_not_put_in_place(lenet, name, target, monkeypatch):
    right = exports.WRITERS[name]

    def cut(model, path):
        right(model, path)
        os.truncate(path, path.stat().st_size // 3)

    monkeypatch.setitem(exports.WRITERS, name, cut)
    with pytest.raises(ExportError, match=f"cannot be run as {name}: "):
        vggfcn.export(lenet, target)
    assert left(target.parent) == []


def test_one_that_is_the_same_at_native_size_alone_is_not_put_in_place(lenet, tmp_path, monkeypatch):
    """Here by zeros beyond the native size: the first comparison does not see them."""
    image = keras.Input((None, None, 1))
    cropped = layers.Lambda(lambda x: x * tf.cast(tf.range(tf.shape(x)[1])[:, None, None] < 32, x.dtype))(image)
    wrong = keras.Model(image, lenet(cropped))
    right = exports.WRITERS["openvino"]
    monkeypatch.setitem(exports.WRITERS, "openvino", lambda model, path: right(wrong, path))
    with pytest.raises(ExportError, match=r"network is not the same: on images of \(2, 38, 50, 1\)"):
        vggfcn.export(lenet, tmp_path / "x.xml")
    assert left(tmp_path) == []


def test_models_that_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="expected a built Keras model with one input and one output"):
        vggfcn.export(networks.shared(), tmp_path / "x.onnx")
    model = vggfcn.convert(networks.squeeze_and_excite(), keep_global=True)
    with pytest.raises(ConversionError, match="has no fixed size; pass the network"):
        vggfcn.export(model, tmp_path / "x.onnx")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("build", "input_shape", "shapes"),
    [
        pytest.param(lambda: networks.randomize(keras.Sequential([keras.Input((9,)), layers.Dense(4)])), None,
                     [(1, 9), (2, 9)], id="vectors"),
        pytest.param(lambda: vggfcn.build("lenet5", weights=None, head="dense"), None,
                     [(1, 32, 32, 1), (2, 32, 32, 1)], id="one size alone"),
        pytest.param(lambda: vggfcn.build("lenet5", weights=None), None,
                     [(1, 32, 32, 1), (2, 38, 50, 1)], id="the least image, and a larger one that is no square"),
        pytest.param(lambda: vggfcn.convert(networks.squeeze_and_excite(), keep_global=True), (16, 16, 3),
                     [(1, 16, 16, 3), (2, 19, 26, 3)], id="a native size that is given"),
        pytest.param(lambda: keras.Sequential([keras.Input((None, 8, 3), 4), layers.Conv2D(2, 3)]), (3, 8, 3),
                     [(4, 3, 8, 3), (4, 4, 8, 3)], id="a fixed batch and one fixed side"),
    ],
)  # fmt: skip
def test_the_sizes_that_are_compared(build, input_shape, shapes):
    assert exports._shapes(build(), input_shape) == shapes


@EACH
def test_a_full_disk_leaves_what_was_there(lenet, name, target, monkeypatch):
    before = [target / "saved_model.pb", target / "mine"] if name == "saved_model" else FORMATS[name].paths(target)
    for path in before:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"an earlier export")

    def full(model, path):
        path.with_suffix(".part").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setitem(exports.WRITERS, name, full)
        with pytest.raises(ExportError, match=f"cannot be written as {name}: .*No space left on device"):
            vggfcn.export(lenet, target, overwrite=True)
    assert sorted(path for path in target.parent.rglob("*") if path.is_file()) == sorted(before)
    assert {path.read_bytes() for path in before} == {b"an earlier export"}
    with pytest.raises(ExportError, match="exists already; choose another name"):
        vggfcn.export(lenet, target)
    vggfcn.export(lenet, target, overwrite=True)
    assert_same(name, target, lenet, images(1, 40, 33, 1))
    assert not (target / "mine").exists()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_saturated_outputs_hide_nothing(tmp_path, monkeypatch, activation):
    """A network that is sure of its answer on noise: a wrong one gives the same probabilities, but other logits."""
    units = 1 if activation == "sigmoid" else 3
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(units, 4, activation=activation)])
    kernel, bias = model.weights
    kernel.assign(np.random.default_rng(0).normal(0, 1, kernel.shape))
    bias.assign(np.arange(units) * 9e3 - 9e3)
    done = exports.export(model, tmp_path / "right.keras", input_shape=(4, 4, 3))
    assert all(comparison.largest > 1e3 for comparison in done.comparisons)
    write = exports.WRITERS["keras"]

    def wrong(network, path):
        changed = keras.models.clone_model(network)
        changed.set_weights([1.01 * network.weights[0].numpy(), *[weight.numpy() for weight in network.weights[1:]]])
        write(changed, path)

    monkeypatch.setitem(exports.WRITERS, "keras", wrong)
    with pytest.raises(ExportError, match="not written, because the keras network is not the same"):
        exports.export(model, tmp_path / "wrong.keras", input_shape=(4, 4, 3))
    assert not (tmp_path / "wrong.keras").exists()
