"""Keras model files are told from weight files, and what is added to a converted one comes back, checked."""

import json
import zipfile

import h5py
import keras
import pytest

from vggfcn.checkpoints.formats.keras_files import MEMBER, ConvertedFile, is_model_file, read_converted
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.errors import WeightsError

RECORD = ConvertedFile(
    native_size=(24, 30),
    labels=("cat", "dög"),
    groups={"pets": (0, 1)},
    activation="softmax",
    preprocessing=Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR"),
    reason="as asked",
)


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])


@pytest.fixture
def archive(tmp_path, model):
    model.save(tmp_path / "a.keras")
    return tmp_path / "a.keras"


def test_model_files(tmp_path, model, archive):
    model.save(tmp_path / "a.h5")
    model.save_weights(tmp_path / "a.weights.h5")
    assert is_model_file(archive)
    assert is_model_file(tmp_path / "a.h5")
    assert not is_model_file(tmp_path / "a.weights.h5")


def test_other_files_are_none(tmp_path):
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zip").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "hdf5").write_bytes(b"\x89HDF\r\n\x1a\n broken")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a", "b")
    for name in ("text", "empty", "zip", "hdf5", "other.zip", "missing", "."):
        assert not is_model_file(tmp_path / name), name


def test_what_is_added_comes_back_and_keras_ignores_it(archive):
    assert read_converted(archive) is None
    RECORD.add_to(archive)
    assert read_converted(archive) == RECORD
    assert keras.saving.load_model(archive).output_shape == (None, 2)


def test_files_of_other_kinds_say_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    assert read_converted(tmp_path / "a.h5") is None


GOOD = {
    "native_size": [24, 30],
    "labels": None,
    "groups": {},
    "activation": "softmax",
    "preprocessing": None,
    "reason": "as asked",
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"native_size": [0, 24]}, id="no pixels"),
        pytest.param({"native_size": [24]}, id="one side"),
        pytest.param({"native_size": [1 << 40, 24]}, id="far too large"),
        pytest.param({"native_size": ["24", 24]}, id="a text for a side"),
        pytest.param({"labels": [1, 2]}, id="numbers for names"),
        pytest.param({"labels": "ab"}, id="a text for names"),
        pytest.param({"groups": ["a"]}, id="a list of groups"),
        pytest.param({"groups": {"a": ["b"]}}, id="names in groups"),
        pytest.param({"groups": {"a": []}}, id="a group of nothing"),
        pytest.param({"groups": {"a": "12"}}, id="a text for members"),
        pytest.param({"groups": {"a": [0.9]}}, id="a fraction for a class"),
        pytest.param({"groups": {"a": [True]}}, id="a truth value for a class"),
        pytest.param({"activation": "relu"}, id="an unknown activation"),
        pytest.param({"preprocessing": {"mean": [1], "std": [0], "color_order": "RGB"}}, id="a deviation of zero"),
        pytest.param({"preprocessing": {"mean": [1], "std": [1], "color_order": "GBR"}}, id="an unknown order"),
        pytest.param({"preprocessing": 5}, id="a number for a preprocessing"),
    ],
)
def test_damaged_records(archive, change):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(MEMBER, json.dumps(GOOD | change))
    with pytest.raises(WeightsError, match=r"a\.keras: "):
        read_converted(archive)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '{"native_size": [24, 30]}'])
def test_records_that_are_none(archive, text):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(MEMBER, text)
    with pytest.raises(WeightsError, match=r"a\.keras: "):
        read_converted(archive)


def test_a_record_that_unpacks_to_far_more_than_the_file(archive):
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MEMBER, b" " * (1 << 28))
    with pytest.raises(WeightsError, match="over 128 MiB beyond twice its size"):
        read_converted(archive)
