"""Keras's HDF5 layouts, written with h5py as Keras writes them, give their arrays and what they state of images."""

import dataclasses
import json
import zipfile

import h5py
import numpy as np
import pytest

from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.formats.keras_hdf5 import DatasetTensor
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.steps import Step
from vggfcn.checkpoints.tensors import FileFormat, FileTensor, as_array
from vggfcn.errors import WeightsError

KERNEL = np.arange(2000, dtype="<f4").reshape(10, 10, 4, 5)
BIAS = np.float32([1, 2, 3, 4, 5])
NORMALIZATION = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": [None, 8, 8, 3], "name": "input"}},
            {"class_name": "Normalization", "config": {"mean": [1, 2, 3], "variance": [1, 4, 9], "name": "scaled"}},
        ]
    },
}
STATED = Preprocessing((1, 2, 3), (1, 2, 3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.h5"


def legacy(file, arrays=None, **options):
    """The layout before Keras 3: {layer: {name of the array: array}}."""
    arrays = {"conv": {"conv/kernel:0": KERNEL, "conv/bias:0": BIAS}} if arrays is None else arrays
    file.attrs["layer_names"] = np.array(list(arrays), "S")
    for layer, members in arrays.items():
        group = file.create_group(layer)
        group.attrs["weight_names"] = np.array(list(members), "S")
        for name, array in members.items():
            group.create_dataset(name, data=array, **options)


def keras3(file, layers=("conv",), **options):
    """The layout of Keras 3: groups by the layer's path, with its name as an attribute."""
    for index, layer in enumerate(layers):
        variables = file.create_group(f"layers/conv2d_{index}/vars")
        variables.attrs["name"] = layer
        for number, array in enumerate((KERNEL, BIAS)):
            variables.create_dataset(str(number), data=array, **options)


def written(path, write=legacy, attributes=(), **options):
    with h5py.File(path, "w") as file:
        write(file, **options)
        for name, value in dict(attributes).items():
            file.attrs[name] = value
    return path


def archive(path, *, compression=zipfile.ZIP_STORED, config=None, write=keras3):
    weights = written(path.with_name("inner.h5"), write).read_bytes()
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("metadata.json", "{}")
        if config is not None:
            file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", weights)
    return path


def assert_holds_the_layer(container):
    assert list(container.tensors) == ["conv/0", "conv/1"]
    np.testing.assert_array_equal(as_array(container.tensors["conv/0"]), KERNEL)
    np.testing.assert_array_equal(as_array(container.tensors["conv/1"]), BIAS)


@pytest.mark.parametrize(("write", "file_format"), [(legacy, FileFormat.KERAS_HDF5), (keras3, FileFormat.KERAS_3_HDF5)])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        pytest.param({}, FileTensor, id="contiguous arrays stay in the file"),
        pytest.param({"chunks": True}, DatasetTensor, id="chunks"),
        pytest.param({"compression": "gzip", "shuffle": True, "fletcher32": True}, DatasetTensor, id="compressed"),
        pytest.param({"compression": "lzf"}, DatasetTensor, id="lzf"),
    ],
)
def test_both_layouts(path, write, file_format, options, kind):
    container = read_container(written(path, write, **options))
    assert container.format is file_format
    assert {type(tensor) for tensor in container.tensors.values()} == {kind}
    assert_holds_the_layer(container)


def test_some_rows_of_a_compressed_array(path):
    tensor = read_container(written(path, compression="gzip")).tensors["conv/0"]
    rows = np.empty((3, 10, 4, 5), np.float32)
    tensor.read_into(rows, 4)
    np.testing.assert_array_equal(rows, KERNEL[4:7])


def test_a_whole_model_keeps_its_weights_in_a_group(path):
    def whole_model(file):
        legacy(file.create_group("model_weights"))
        file.create_group("optimizer_weights")

    assert_holds_the_layer(read_container(written(path, whole_model)))


def test_layers_of_nested_models_keep_their_names(path):
    inner = {"a/kernel:0": KERNEL, "a/bias:0": BIAS, "b/kernel:0": KERNEL, "b/bias:0": BIAS}
    container = read_container(written(path, legacy, arrays={"input": {}, "vgg16": inner}))
    assert list(container.tensors) == ["a/0", "a/1", "b/0", "b/1"]


def test_the_optimizers_arrays_are_left_out(path):
    def with_optimizer(file):
        keras3(file)
        file["optimizer/vars/0"] = np.zeros(3)

    assert_holds_the_layer(read_container(written(path, with_optimizer)))


def test_a_group_without_a_name_is_named_by_its_path(path):
    def unnamed(file):
        file["dense/vars/0"] = KERNEL

    assert list(read_container(written(path, unnamed)).tensors) == ["dense/0"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "compressed"])
def test_an_archive(path, compression):
    container = read_container(archive(path, compression=compression))
    assert container.format is FileFormat.KERAS_3_HDF5
    assert_holds_the_layer(container)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, (None, None), id="nothing"),
        pytest.param({"color_order": "BGR"}, (None, None), id="a colour order alone"),
        pytest.param({"mean": [1, 2, 3], "std": [1, 2, 3]}, (None, None), id="no colour order"),
        pytest.param({"color_order": "RGB", "mean": [1, 2, 3], "std": [1, 2, 3]}, (STATED, None), id="all three"),
        pytest.param(
            {"color_order": "BGR", "mean": [1, 2, 3], "std": [1, 2, 3]},
            (dataclasses.replace(STATED, color_order="BGR"), None),
            id="for BGR",
        ),
        pytest.param({"labels": ["cat", "dog"]}, (None, ("cat", "dog")), id="class names"),
        pytest.param({"labels": np.array([b"cat"])}, (None, ("cat",)), id="class names of fixed length"),
        pytest.param({"model_config": json.dumps(NORMALIZATION)}, (STATED, None), id="a model's configuration"),
    ],
)
def test_attributes_state(path, attributes, expected):
    container = read_container(written(path, attributes=attributes))
    assert (container.preprocessing, container.labels) == expected


def test_an_archive_states_what_the_model_computes(path):
    container = read_container(archive(path, config=NORMALIZATION))
    assert container.preprocessing == STATED
    assert container.steps == [Step("input", {"rows": 8, "columns": 8, "channels": 3}, "input")]
    assert container.is_model


def outline_of(path, write):
    outline = read_container(written(path, write)).outline
    return [(step.kind, step.options.get("arrays")) for step in outline.steps], outline.ordered, outline.complete


def test_the_layers_that_are_listed_before_keras_3(path):
    def several(file):
        arrays = {"conv/kernel:0": KERNEL, "conv/bias:0": BIAS}
        inner = {"a/kernel:0": KERNEL, "b/kernel:0": KERNEL}
        legacy(
            file,
            {"input_1": {}, "conv": arrays, "block1_pool": {}, "flatten_2": {}, "dropout": {}, "gap": {}, "m": inner},
        )

    found, ordered, complete = outline_of(path, several)
    kinds = ["layer with arrays", "max pooling", "flatten", "the layer gap without arrays"]
    assert [kind for kind, _ in found[:4]] == kinds
    assert found[0][1] == "conv"
    assert found[4][0].startswith("a model within the model")
    assert (ordered, complete) == (True, True)


def test_the_layers_that_are_listed_since_keras_3(path):
    """By class, each class in the order of its numbers, which is not that of the alphabet."""

    def several(file):
        keras3(file, [f"c{number}" for number in range(11)])
        for kind in ("input_layer", "max_pooling2d", "max_pooling2d_1", "batch_normalization", "dropout"):
            file.create_group(f"layers/{kind}/vars").attrs["name"] = kind
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2)

    found, ordered, complete = outline_of(path, several)
    convolutions = [("convolution", f"c{number}") for number in range(11)]
    others = [("the layer batch_normalization without arrays", None), *[("max pooling", None)] * 2]
    assert sorted(found, key=lambda row: row[0] == "convolution")[-11:] == convolutions
    assert [row for row in found if row[1] is None] == others
    assert (ordered, complete) == (False, True)


def test_files_with_nothing_but_arrays_say_so(path):
    assert outline_of(path, legacy) == ([("layer with arrays", "conv")], True, False)
    assert outline_of(path, keras3) == ([("convolution", "conv")], False, False)


def test_two_layers_of_one_name_are_refused(path):
    with pytest.raises(WeightsError, match="has two layers of the name 'conv'; give them different names"):
        read_container(written(path, lambda file: keras3(file, ["conv", "conv"])))


def unknown_filter(file):
    """Registered as optional, HDF5 writes data without it."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((10,))
    plan.set_filter(32008, h5py.h5z.FLAG_OPTIONAL)
    group = file.create_group("layers/conv/vars")
    dataset = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((10,)), plan)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(10, "f4"))


def missing_layer(file):
    legacy(file)
    file.attrs["layer_names"] = np.array(["conv", "gone"], "S")


def group_for_an_array(file):
    legacy(file)
    del file["conv/conv/bias:0"]
    file.create_group("conv/conv/bias:0")


@pytest.mark.parametrize(
    ("write", "attributes", "message"),
    [
        pytest.param(
            unknown_filter, {}, "'/layers/conv/vars/0' uses an unsupported HDF5 filter; save it", id="a filter"
        ),
        pytest.param(missing_layer, {}, "'gone' is missing or a link; download", id="a missing layer"),
        pytest.param(group_for_an_array, {}, "'conv/bias:0' is not an array", id="a group for an array"),
        pytest.param(lambda file: None, {}, "expected a Keras weight file, found HDF5 without any", id="no layers"),
        pytest.param(
            legacy,
            {"mean": "x", "std": "y", "color_order": "RGB"},
            "expected a mean and a positive standard",
            id="text for numbers",
        ),
        pytest.param(legacy, {"model_config": "{"}, "model_config is not valid JSON", id="no JSON"),
    ],
)
def test_refuses(path, write, attributes, message):
    with pytest.raises(WeightsError, match=message):
        read_container(written(path, write, attributes))


def test_an_archive_whose_configuration_is_no_json_is_refused(path):
    archive(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("config.json", "{")
    with pytest.raises(WeightsError, match=r"config.json is not valid JSON"):
        read_container(path)
