"""safetensors files that their own library wrote are read as it would read them."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from raw_formats import entry
from raw_formats import safetensors as by_hand
from reader_calls import read_by

from vggfcn.checkpoints.formats import safetensors as safetensors_format
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.tensors import FileFormat, as_array
from vggfcn.errors import WeightsError

RANDOM = np.random.default_rng(0).standard_normal((3, 4))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8"]
)
def test_every_type_keeps_its_values(path, dtype):
    stored = (RANDOM * 10 + 50).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    safetensors.numpy.save_file({"a": stored}, path)
    container = read_by(safetensors_format.read, path)
    assert container.format is FileFormat.SAFETENSORS
    np.testing.assert_array_equal(as_array(container.tensors["a"]), stored.astype(np.float32))


def test_names_keep_the_order_of_the_header(path):
    by_hand({"b": entry(8, 16), "a": entry(0, 8)}, np.float32([1, 2, 3, 4]).tobytes())(path)
    tensors = read_by(safetensors_format.read, path).tensors
    assert list(tensors) == ["b", "a"]
    np.testing.assert_array_equal(as_array(tensors["b"]), [3, 4])


def test_a_file_without_metadata_states_nothing(path):
    safetensors.numpy.save_file({"a": RANDOM}, path, {"format": "pt"})
    container = read_by(safetensors_format.read, path)
    assert (container.preprocessing, container.labels) == (None, None)


@pytest.mark.parametrize("labels", [None, ("cat", "dog")])
def test_metadata_states_preprocessing_and_class_names(path, labels):
    metadata = {"mean": "[1, 2, 3]", "std": "[4, 5, 6]"} | ({"labels": json.dumps(labels)} if labels else {})
    safetensors.numpy.save_file({"a": RANDOM}, path, metadata)
    container = read_by(safetensors_format.read, path)
    assert container.preprocessing == Preprocessing((1, 2, 3), (4, 5, 6))
    assert (container.preprocessing.color_order, container.labels) == ("RGB", labels)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        pytest.param(
            {"mean": "[1]"},
            "expected a mean and a positive standard deviation .* found .1.0. and ..",
            id="no deviation",
        ),
        pytest.param({"mean": "one", "std": "[1]"}, "the metadata's mean is not valid JSON", id="no JSON"),
        pytest.param(
            {"mean": "[1]", "std": "[1]", "labels": "1"}, "the metadata has no list of labels", id="a number for labels"
        ),
        pytest.param(
            {"mean": f"[1{'0' * 400}]", "std": "[1]"}, "OverflowError: int too large", id="a number with no float"
        ),
        pytest.param({"mean": "[1, 2]", "std": "[1, 1]"}, "expected a mean and a positive", id="two channels"),
    ],
)
def test_refuses_metadata(path, metadata, message):
    safetensors.numpy.save_file({"a": RANDOM}, path, metadata)
    with pytest.raises(WeightsError, match=message):
        read_by(safetensors_format.read, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(by_hand(b"[]"), "the header is not a JSON object", id="a list for a header"),
        pytest.param(by_hand({"a": 1}), "'a' has no valid data_offsets", id="a number for an array"),
        pytest.param(by_hand({"a": entry(8, 0)}), "'a' has no valid data_offsets", id="an end before the start"),
        pytest.param(
            by_hand({"a": entry(0, 8) | {"shape": [True, 2]}}, bytes(8)),
            "'a' has an unknown dtype or an",
            id="a bad shape",
        ),
    ],
)
def test_refuses(path, write, message):
    write(path)
    with pytest.raises(WeightsError, match=message):
        read_by(safetensors_format.read, path)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param((100).to_bytes(8, "little") + b'{"a', True, id="a header"),
        pytest.param((100).to_bytes(8, "little") + b"[", False, id="another value"),
        pytest.param((1 << 40).to_bytes(8, "little") + b"{", False, id="a length beyond the format's limit"),
        pytest.param(b"", False, id="an empty file"),
    ],
)
def test_matches(start, expected):
    assert safetensors_format.matches(start) is expected
