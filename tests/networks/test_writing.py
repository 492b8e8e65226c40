"""Written weights: where they go, what is refused, and that nothing half-written stays."""

import json
import struct

import h5py
import numpy as np
import pytest
import safetensors.numpy
from writers import arrays_of, write_published_layout

from vggfcn.errors import WeightsError
from vggfcn.networks.registry import REGISTRY
from vggfcn.networks.weights import read_weights
from vggfcn.networks.writing import write_weights


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return read_weights(write_published_layout(folder / "w.h5", ((name, *pair) for name, pair in arrays_of().items())))


def test_safetensors_start_where_arrays_can_be_mapped(weights, tmp_path):
    """The format: eight bytes of length, a JSON header, then the arrays."""
    path = tmp_path / "w.safetensors"
    write_weights(weights, path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert header["__metadata__"] == {"mean": "[123.68, 116.779, 103.939]", "std": "[1.0, 1.0, 1.0]"}
    assert header["fc2.bias"]["shape"] == [24]
    start, end = (8 + length + position for position in header["fc2.bias"]["data_offsets"])
    np.testing.assert_array_equal(np.frombuffer(data[start:end], "<f4"), arrays_of()["fc2"][1])
    assert set(safetensors.numpy.load(data)) == header.keys() - {"__metadata__"}


def test_keras_numbers_layers_by_their_class(tmp_path):
    path = tmp_path / "w.weights.h5"
    write_weights(read_weights(REGISTRY["mnist-lenet5"].find()), path)
    with h5py.File(path) as file:
        names = {group: vars_["vars"].attrs["name"] for group, vars_ in file["layers"].items()}
        assert dict(file.attrs)["color_order"] == "RGB"
        assert file["layers/conv2d_1/vars/0"].shape == (5, 5, 6, 16)
    assert names == {
        "conv2d": "c1",
        "depthwise_conv2d": "s2",
        "conv2d_1": "c3",
        "depthwise_conv2d_1": "s4",
        "dense": "c5",
        "dense_1": "f6",
        "dense_2": "predictions",
    }


@pytest.mark.parametrize(
    ("name", "overwrite", "message"),
    [
        ("w.pth", False, "expected a name that ends in .safetensors or .weights.h5"),
        ("w.h5", False, "expected a name that ends in .safetensors or .weights.h5"),
        ("taken.safetensors", False, "exists already; choose another name, or --overwrite if it is not the input file"),
        ("link.safetensors", True, "exists already; choose another name, or --overwrite if it is not the input file"),
    ],
    ids=["another ending", "an ending that Keras has for whole models", "a file that is there", "the source itself"],
)
def test_what_is_refused(weights, tmp_path, name, overwrite, message):
    (tmp_path / "taken.safetensors").write_bytes(b"mine")
    (tmp_path / "link.safetensors").symlink_to(weights.source)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(WeightsError, match=f"{name}: {message}"):
        write_weights(weights, tmp_path / name, overwrite)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "taken.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["w.safetensors", "w.weights.h5"])
def test_damage_found_in_the_middle_leaves_what_was_there(tmp_path, name):
    layers = arrays_of()
    layers["fc2"][1][0] = np.nan
    (tmp_path / "source").mkdir()
    source = write_published_layout(tmp_path / "source" / "w.h5", ((name, *pair) for name, pair in layers.items()))
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(WeightsError, match="fc2/0 or its bias holds NaN"):
        write_weights(read_weights(source), tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["source", name])
