"""The same network in every supported format is read as the same arrays, and written files are read by others."""

import numpy as np
import pytest
from format_writers import DATA, FORMATS, own
from writers import TINY, arrays_of, tiny_image

import vggfcn
from vggfcn.checkpoints.preprocessing import IMAGENET_MEAN, TORCHVISION, parse_preprocessing
from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.networks import registry
from vggfcn.networks.dialects import DIALECTS
from vggfcn.networks.writing import write_weights

ARRAYS = arrays_of()


@pytest.fixture(params=FORMATS, scope="module")
def file(request, tmp_path_factory):
    """(path, container, dialect) of the tiny network; the file's name does not show its format."""
    container, dialect, write = FORMATS[request.param]
    path = tmp_path_factory.mktemp("format") / "weights.bin"
    write(path, TINY)
    return path, container, dialect


def opened(path):
    """The weights for RGB; of files that do not say what they expect, what their distributions publish is asked for."""
    weights = vggfcn.read_weights(path)
    if weights.preprocessing is not None:
        return weights
    assert weights.preprocessing_reason.startswith("unknown: the file does not state it")
    choice = "caffe" if "Keras" in weights.format or weights.dialect == "MMdnn" else "torch"
    if weights.dialect == "Frossard":  # Its vgg16.py subtracts ImageNet's mean from RGB.
        choice = "mean=123.68,116.779,103.939"
    return weights.with_preprocessing(parse_preprocessing(choice))


def test_every_format_gives_the_same_arrays_to_the_last_bit(file):
    path, container, dialect = file
    weights = opened(path)
    assert (weights.format, weights.dialect) == (container, dialect)
    assert list(weights) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        for array, other, shape in zip(weights[name], expected, weights.shapes[name], strict=True):
            assert array.dtype == np.float32
            assert array.shape == shape
            np.testing.assert_array_equal(array, other)


def test_every_format_has_its_preprocessing(file):
    path, _, dialect = file
    expected = {"torchvision": TORCHVISION, "timm": TORCHVISION, "ONNX model zoo": TORCHVISION}.get(
        dialect, IMAGENET_MEAN
    )
    weights = opened(path)
    if dialect == "MatConvNet":
        assert weights.preprocessing.mean == (1.0, 2.0, 3.0)
        assert weights.labels == tuple(f"class {i}" for i in range(7))
    else:
        np.testing.assert_allclose(
            [weights.preprocessing.mean, weights.preprocessing.std], [expected.mean, expected.std], rtol=1e-6
        )


def test_every_format_belongs_to_a_distribution():
    assert {file_format for dialect in DIALECTS for file_format in dialect.formats} == set(FileFormat)


TORCH_FILES = ["tiny-torchvision.pth", "tiny-torchvision-legacy.pth", "tiny-timm.safetensors", "tiny-torch.onnx"]


@pytest.mark.parametrize("head", ["dense", "conv"])
@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((name, "plain") for name in TORCH_FILES),
        ("tiny-torchvision-bn.pth", "normalized"),
        ("tiny-zoo-bn.onnx", "normalized"),
    ],
)
def test_logits_are_those_that_torch_computed(name, network, head):
    """Order of axes, flattening, colours, preprocessing and folded normalisation, compared with another program."""
    expected = np.load(DATA / "logits.npz")[network]
    model = vggfcn.build(weights=DATA / name, head=head, preprocess="torch")
    logits = model(tiny_image()).numpy().reshape(1, 7)
    assert expected.std() > 0.01
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()


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
            for before, after in zip(source[layer], again[layer], strict=True):
                np.testing.assert_array_equal(before, after)
