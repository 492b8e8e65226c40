"""What is not a Keras model is named as what it is, with the way out."""

import errno
import gzip
import io
import json
import os
import pathlib
import pickle
import re
import zipfile

import pytest
from costly_files import many_members
from paths import DATA

from vggfcn.checkpoints import foreign_files
from vggfcn.errors import WeightsError


def archive(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return data.getvalue()


FILES = {
    "model.h5": (b"", "is empty; download it again"),
    "page.h5": (b"\n<!DOCTYPE html><html>", "is a web page: the download failed"),
    "pointer.h5": (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer.*git lfs pull"),
    "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(9), "is a TensorFlow Lite model"),
    "model.tar.gz": (gzip.compress(b"x" * 99), "is a gzip archive; unpack it"),
    "model.pkl": (pickle.dumps([1]), "is a Python pickle, which can run any code"),
    "old.pkl": (pickle.dumps([1], 0), "is a Python pickle"),
    "array.npy": (b"\x93NUMPY\x01\0", "is a NumPy array"),
    "model.json": (json.dumps({"modelTopology": {}}).encode(), "is a TensorFlow.js model.*tensorflowjs_converter"),
    "config.json": (json.dumps({"class_name": "Model"}).encode(), "is a model's configuration without weights"),
    "other.json": (b"{}", "is a JSON file"),
    "model.ckpt.index": (b"\0\0", "is part of a TensorFlow checkpoint"),
    "model.ckpt.data-00000-of-00001": (b"\0\0", "is part of a TensorFlow checkpoint"),
    "frozen.pb": (b"\x0a\x03abc", "is a TensorFlow graph"),
    "net.mlmodel": (b"\x08\x01\x12\x00", "is a Core ML model"),
    "text.h5": (b"hello", "expected a Keras model, .keras or .h5, with stock layers and no code; found"),
    "saved.zip": (archive("m/saved_model.pb", "m/variables/x"), "is a zip archive of a TensorFlow SavedModel"),
    "core.zip": (archive("m.mlpackage/Data/x"), "is a Core ML package"),
    "arrays.npz": (archive("a.npy"), "is a NumPy archive"),
    "inside.zip": (
        archive("a/keras_model.h5", "labels.txt"),
        "is a zip archive with a/keras_model.h5 inside: unpack it",
    ),
    "other.zip": (archive("a.txt"), "is a zip archive of a.txt"),
    "npz.keras": (archive("config.json", "model.weights.npz"), "keeps its weights in another format than HDF5"),
    "half.keras": (archive("config.json")[:-10], "the zip archive is damaged"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name, tmp_path):
    path = tmp_path / name
    data, message = FILES[name]
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: {message}"):
        foreign_files.refuse(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("micro-torchvision.pth", "is a torch file"),
        ("micro-torchvision-legacy.pth", "is a torch file in the legacy format"),
        ("micro-timm.safetensors", "is a safetensors file"),
        ("micro-torch.onnx", "is an ONNX model"),
    ],
)
def test_files_of_other_libraries(name, message):
    with pytest.raises(WeightsError, match=message):
        foreign_files.refuse(DATA / name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["saved_model.pb"], "is a TensorFlow SavedModel folder; load it in the TensorFlow that wrote it.*tf_keras"),
        (["a.index", "a.data-00000-of-00001"], "is a folder of TensorFlow checkpoints"),
        (["model.json", "shard1.bin"], "is a folder of a TensorFlow.js model"),
        (["model.h5"], "is a folder; give the model inside, model.h5"),
        ([], "is a folder; expected a Keras model"),
    ],
)
def test_folders(names, message, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=message):
        foreign_files.refuse(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"model\.h5: no such file; expected a Keras model"):
        foreign_files.refuse(tmp_path / "model.h5")
    (tmp_path / "model.ckpt.index").touch()
    with pytest.raises(WeightsError, match="is a TensorFlow checkpoint"):
        foreign_files.refuse(tmp_path / "model.ckpt")


def test_models_are_not_refused(tmp_path):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "m.keras").write_bytes(archive("config.json", "model.weights.h5"))
    for name in ("m.h5", "m.keras"):
        foreign_files.refuse(tmp_path / name)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name, kind in (("pipe.keras", "a pipe"), ("zero.h5", "a device")):
        with pytest.raises(WeightsError, match=f"expected a file, found {kind}"):
            foreign_files.refuse(tmp_path / name)


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
    with pytest.raises(WeightsError, match=r"cannot be read \(Permission denied\)"):
        foreign_files.refuse(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"modelTopology":' + "[]," * 3_000_000, '{"a":' + "9" * 5000 + "}"])
def test_json_that_would_cost_much_is_json_all_the_same(tmp_path, text):
    (tmp_path / "model.json").write_text("{" + text)
    with pytest.raises(WeightsError, match="is a JSON file; expected a Keras model"):
        foreign_files.refuse(tmp_path / "model.json")


def test_an_archive_of_a_million_members(tmp_path):
    many_members(100_000)(tmp_path / "m.keras")
    with pytest.raises(
        WeightsError, match=r"expected a list of members of up to 4,194,304 bytes .*; expected a Keras model"
    ):
        foreign_files.refuse(tmp_path / "m.keras")
