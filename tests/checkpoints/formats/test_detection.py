"""The format of a file is found in its content, and what is no weight file is refused with what was found."""

import io
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
from raw_formats import (
    caffe_blob,
    entry,
    npy,
    onnx_node,
    proto,
    raw,
    safetensors,
    torch_dict,
    torch_pickle,
    torch_tensor,
    torch_value,
    torch_zip,
)

from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.tensors import EXPANSION
from vggfcn.errors import WeightsError


def hdf5(attribute=True):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        if attribute:
            written.attrs["layer_names"] = np.array(["conv"], "S")
            written.create_group("conv").attrs["weight_names"] = np.array(["w"], "S")
            written["conv/w"] = np.zeros(3)
        else:
            written["conv/vars/0"] = np.zeros(3)
    return file.getvalue()


def keras_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", hdf5(attribute=False))


def mat(path):
    with path.open("wb") as file:
        scipy.io.savemat(file, {"layers": np.array([[{}]], object)})


ONNX_ARRAY = proto(1, 1) + proto(2, 1) + proto(8, b"w") + proto(9, bytes(4))
WRITERS = {
    "Keras HDF5": raw(hdf5()),
    "Keras 3 HDF5": keras_archive,
    "torch zip": torch_zip(torch_tensor((4,), (1,)), storage0=bytes(16)),
    "npy": npy(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(K\x01)N\x89]}atb."),
    "safetensors": safetensors({"a": entry(0, 8)}, bytes(8)),
    "caffemodel": raw(caffe_blob(proto(7, proto(1, b"\x01")), proto(5, bytes(4)))),
    "mat": mat,
    "onnx": raw(onnx_node(proto(1, b""), proto(4, b"Relu"))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_content_tells_the_format(tmp_path, name):
    path = tmp_path / "a file without a suffix"
    WRITERS[name](path)
    container = read_container(os.fspath(path))
    assert (container.format, container.path) == (name, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda path: None, "no such weight file", id="no file"),
        pytest.param(
            raw(b"<!DOCTYPE html>"),
            "expected a weight file .*, found one that starts with b'<!DOCTYP'",
            id="a web page",
        ),
        pytest.param(raw(pickle.dumps([1])), "expected a weight file .*, found a Python pickle", id="a pickle alone"),
        pytest.param(raw(b"PK\x03\x04"), "the zip archive is damaged", id="a damaged archive"),
    ],
)
def test_refuses(tmp_path, write, message):
    path = tmp_path / "w"
    write(path)
    with pytest.raises(WeightsError, match=f"^{path}: {message}"):
        read_container(path)


def test_another_archive_is_refused_with_its_content(tmp_path):
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("a.txt", "b"):
            archive.writestr(member, "")
    with pytest.raises(
        WeightsError, match=r"expected a zip archive from torch, Keras or NumPy, found one that contains a.txt, b"
    ):
        read_container(path)


def test_arrays_far_larger_than_the_file_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    shared = torch_dict({str(number): torch_value((1 << 14,), (1,), size=1 << 14) for number in range(200)})
    torch_zip(torch_pickle(shared), storage0=bytes(1 << 16))(path)
    assert path.stat().st_size * EXPANSION < 200 << 16
    message = f"the arrays unpack to 13,107,200 bytes, over {EXPANSION} times the file's size: a decompression bomb"
    with pytest.raises(WeightsError, match=message):
        read_container(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["saved_model.pb"], r"found a folder with a TensorFlow SavedModel, which is a program; .*model.save"),
        (["b.h5", "a.h5"], "found a folder; give the path of a file in it: a.h5, b.h5"),
        ([], "found a folder without files"),
    ],
)
def test_a_folder_is_named_as_one(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsError, match=message):
        read_container(tmp_path)


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("m.tflite", b"\x1c\0\0\0TFL3", "found a TensorFlow Lite model; use the Keras model"),
        ("m.mat", b"MATLAB 7.3 MAT-file", "found a MATLAB 7.3 file; save it again with -v7"),
        ("m.gguf", b"GGUF\x03", "found a GGUF file of a language model"),
        ("m.ckpt.index", b"\0" * 9, "found part of a TensorFlow checkpoint"),
        ("m.pkl", b"\x80\x04\x95", "found a Python pickle; save arrays only"),
    ],
)
def test_other_files_that_hold_networks_are_named(tmp_path, name, start, message):
    (tmp_path / name).write_bytes(start)
    with pytest.raises(WeightsError, match=message):
        read_container(tmp_path / name)
