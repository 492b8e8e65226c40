"""Exports: the same network in its own runtime, at every size, or nothing at all."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import keras
import networks
import numpy as np
import onnxruntime
import openvino
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner
from writers import MICRO

import vggfcn
from vggfcn.cli.main import app
from vggfcn.errors import ConversionError, ExportError
from vggfcn.exports import export as exports
from vggfcn.exports import formats
from vggfcn.exports.formats import FORMATS, format_of

layers = keras.layers
NAMES = {"saved_model": "x", "onnx": "x.onnx", "openvino": "x.xml", "litert": "x.tflite", "keras": "x.keras"}
EACH = pytest.mark.parametrize("name", NAMES)


def run_saved_model(path, batch):
    loaded = tf.saved_model.load(str(path))
    (output,) = loaded.signatures["serving_default"](tf.constant(batch)).values()
    return output.numpy()


def run_onnx(path, batch):
    session = onnxruntime.InferenceSession(path)
    return session.run(["output"], {"image": batch})[0]


def run_openvino(path, batch):
    return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(batch)[0]


def run_litert(path, batch):
    interpreter = Interpreter(model_path=str(path))
    (given_,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given_["index"], batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given_["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(output["index"])


def run_keras(path, batch):
    return np.asarray(keras.saving.load_model(path, safe_mode=True)(batch, training=False))


RUN = {name: globals()[f"run_{name}"] for name in NAMES}


def images(*shape):
    return np.random.default_rng(9).uniform(0, 255, shape).astype(np.float32)


def assert_same(name, path, model, batch):
    expected, found = np.asarray(model(batch, training=False)), RUN[name](path, batch)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


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


def depthwise():
    return keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(8, 3, strides=2, padding="same", groups=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6),
            layers.DepthwiseConv2D(5, padding="same"),
            layers.SeparableConv2D(6, 3, activation="silu"),
            layers.AveragePooling2D(2, padding="same"),
        ]
    )


KINDS = {
    "VGG16 as small as can be": (lambda: vggfcn.build(MICRO, weights=None), None),
    "the original network, of one size": (lambda: vggfcn.build("lenet5", weights=None, head="dense"), None),
    "a finer output stride": (lambda: vggfcn.with_output_stride(vggfcn.build("lenet5", weights=None), 2), None),
    "depthwise, grouped, separable, normalised": (depthwise, None),
    "converted, with dropout": (lambda: vggfcn.convert(networks.plain()), (21, 18, 3)),
    "branches": (lambda: vggfcn.convert(networks.residual()), (16, 16, 3)),
    "nested models": (lambda: vggfcn.convert(networks.nested()), (12, 12, 3)),
    "context of the whole image": (
        lambda: vggfcn.convert(networks.squeeze_and_excite(), keep_global=True), (16, 16, 3),
    ),
    "vectors": (lambda: keras.Sequential([keras.Input((9,)), layers.Dense(4), layers.Softmax()]), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ["onnx", "litert", "openvino"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_for_all_networks(kind, name, target):
    build, shape = KINDS[kind]
    model = networks.randomize(build())
    found = vggfcn.export(model, target, input_shape=shape)
    first, second = (one.shape for one in found.comparisons)
    assert_same(name, target, model, images(*second))
    open_sizes = None in model.inputs[0].shape[1:3]
    assert (first[1:] != second[1:]) == open_sizes
    assert not open_sizes or second[1] != second[2]


def test_onnx_is_for_anybody(lenet, tmp_path):
    """Standard operations alone, weights in their own order of axes, and axes with names."""
    import onnx

    vggfcn.export(lenet, tmp_path / "x.onnx")
    network = onnx.load(tmp_path / "x.onnx")
    onnx.checker.check_model(network, full_check=True)
    assert {node.domain for node in network.graph.node} == {""}
    (given_,), (output,) = network.graph.input, network.graph.output
    shapes = [[axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in (given_, output)]
    assert shapes == [["batch", "height", "width", 1], ["batch", "rows", "columns", 10]]
    constant = {tensor.name for tensor in network.graph.initializer}
    assert not [node.name for node in network.graph.node if set(node.input) <= constant]


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
    with pytest.raises(ExportError, match=rf"not written, since as {name} it is not the same network: on images of "):
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
    with pytest.raises(ExportError, match=r"not the same network: on images of \(2, 38, 50, 1\)"):
        vggfcn.export(lenet, tmp_path / "x.xml")
    assert left(tmp_path) == []


@EACH
def test_a_full_disk_leaves_what_was_there(lenet, name, target, monkeypatch):
    vggfcn.export(lenet, target)
    before = {path: path.read_bytes() for path in target.parent.rglob("*") if path.is_file()}

    def full(model, path):
        path.with_suffix(".part").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setitem(exports.WRITERS, name, full)
        with pytest.raises(ExportError, match=f"cannot be written as {name}: .*No space left on device"):
            vggfcn.export(lenet, target, overwrite=True)
    assert {path: path.read_bytes() for path in target.parent.rglob("*") if path.is_file()} == before
    with pytest.raises(ExportError, match="exists; choose another name"):
        vggfcn.export(lenet, target)
    if name == "saved_model":
        (target / "mine").touch()
    vggfcn.export(lenet, target, overwrite=True)
    assert_same(name, target, lenet, images(1, 40, 33, 1))
    assert not (target / "mine").exists()


@given(st.from_regex(r"[a-z0-9][a-z0-9 ._-]{0,6}", fullmatch=True), st.sampled_from(list(FORMATS.values())))
def test_a_name_and_its_format_agree(stem, wanted):
    path = pathlib.Path("nowhere") / (stem + wanted.ending)
    others = {one.ending for one in FORMATS.values()} - {wanted.ending, ""}
    if wanted.ending:
        assert format_of(path) is format_of(path, wanted.name) is wanted
    elif path.suffix not in others:
        assert format_of(path, wanted.name) is wanted
    for other in others:
        with pytest.raises(ExportError, match="choose another format"):
            format_of(path.with_name(stem + other), wanted.name)


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("x.onnx", "openvino", "expected a name that ends in .xml for openvino"),
        ("x.onnx", "saved_model", "expected the name of a folder for saved_model"),
        ("x", "onnx", "expected a name that ends in .onnx for onnx"),
        ("x.pb", None, "expected a name that ends in .onnx, .xml, .tflite, .keras, or a folder's"),
        ("x.onnx", "ONNX", "format: expected saved_model, onnx, openvino, litert, keras, got 'ONNX'"),
        ("nowhere/x.onnx", None, "nowhere/x.onnx: there is no folder nowhere; make it"),
        ("tests", None, "tests: exists; choose another name, or replace it with overwrite=True or --overwrite"),
    ],
)
def test_refusals(lenet, path, name, message):
    with pytest.raises(ExportError) as error:
        vggfcn.export(lenet, path, format=name)
    assert message in str(error.value)


def test_only_saved_models_are_replaced(lenet, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "image.jpg").touch()
    with pytest.raises(ExportError, match="is no SavedModel and not empty, so it is not replaced"):
        vggfcn.export(lenet, tmp_path / "holiday", overwrite=True)
    (tmp_path / "x.onnx").mkdir()
    with pytest.raises(ExportError, match="is a folder, and onnx is a file"):
        vggfcn.export(lenet, tmp_path / "x.onnx", overwrite=True)
    assert (tmp_path / "holiday" / "image.jpg").exists()


@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_a_library_that_is_missing_is_named_with_its_extra(lenet, name, target, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ExportError) as error:
        vggfcn.export(lenet, target)
    assert str(error.value).endswith(f'not installed here; get it with: pip install "vggfcn[{name}]"')


def test_models_that_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="expected a built Keras model with one input and one output"):
        vggfcn.export(networks.shared(), tmp_path / "x.onnx")
    model = vggfcn.convert(networks.squeeze_and_excite(), keep_global=True)
    with pytest.raises(ConversionError, match="has no fixed size; pass the network"):
        vggfcn.export(model, tmp_path / "x.onnx")
    assert left(tmp_path) == []


def call(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_reports_or_prints_json_or_is_quiet(tmp_path):
    out = tmp_path / "x.keras"
    said = call(out, "--weights", "mnist-lenet5").output.splitlines()
    assert said[0] == "weights   mnist-lenet5 (as asked)"
    assert said[1] == f"written   {out}, keras, {out.stat().st_size / 1e6:.1f} MB"
    assert said[3] == "compared  2 of 50 x 38 pixels: logits differ by at most 0.0e+00, 0.0e+00 of the largest"
    done = call(out, "--weights", "mnist-lenet5", "--json", "--overwrite")
    found = json.loads(done.output)
    assert (found["weights"], found["format"], found["path"]) == ("mnist-lenet5", "keras", str(out))
    assert found["comparisons"][1]["shape"] == [2, 38, 50, 1]
    assert call(out, "--weights", "mnist-lenet5", "--quiet", "--overwrite").output == ""
    assert call(out, "--weights", "mnist-lenet5", "--format", "tflight").exit_code == 2


RUN_MAIN = """
import sys
from vggfcn.cli.main import main
try:
    main()
finally:
    print("tensorflow" in sys.modules)
"""


def in_a_process(*arguments, cwd):
    command = [sys.executable, "-c", RUN_MAIN, "export", *arguments, "--weights", "mnist-lenet5"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)


def test_in_a_process_of_its_own_nothing_else_is_said(tmp_path):
    done = in_a_process("x.onnx", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert left(tmp_path) == ["x.onnx"]


def test_refusals_come_before_tensorflow(tmp_path):
    done = in_a_process("nowhere/x.onnx", cwd=tmp_path)
    expected = "vggfcn: nowhere/x.onnx: there is no folder nowhere; make it, or choose another place\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "False\n", expected)
