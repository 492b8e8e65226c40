"""Caffe's files, of both of its generations, give their blobs."""

import struct

import numpy as np
import pytest
from format_writers import caffe_messages
from raw_formats import caffe_blob, proto, raw
from reader_calls import read_by

from vggfcn.checkpoints.formats import caffe
from vggfcn.checkpoints.tensors import FileFormat, as_array
from vggfcn.errors import WeightsError

KERNEL = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
DENSE = np.arange(8, dtype=np.float32).reshape(2, 4)
BIAS = np.float32([1, 2])
# An old file's dense layer with one output: its kernel looks like a bias.
ONE_OUTPUT = np.arange(4, dtype=np.float32).reshape(1, 4)
STORED = {"conv1_1": (KERNEL, BIAS), "fc6": (DENSE, BIAS), "fc7": (ONE_OUTPUT, BIAS[:1])}


def new_file(path):
    net = caffe_messages()()
    net.layer.add(name="data", type="Input")
    for name, arrays in STORED.items():
        layer = net.layer.add(name=name, type="Convolution" if name.startswith("conv") else "InnerProduct")
        for array in arrays:
            layer.blobs.add(data=array.ravel()).shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


def old_file(path):
    net = caffe_messages()()
    for name, arrays in STORED.items():
        layer = net.layers.add(name=name, type=4 if name.startswith("conv") else 14)
        for array in arrays:
            sizes = dict(
                zip(("num", "channels", "height", "width"), (1,) * (4 - array.ndim) + array.shape, strict=True)
            )
            layer.blobs.add(data=array.ravel(), **sizes)
    path.write_bytes(net.SerializeToString())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.caffemodel"


@pytest.mark.parametrize("write", [new_file, old_file], ids=["shapes", "four sizes"])
def test_blobs_are_named_by_layer_and_position(path, write):
    write(path)
    container = read_by(caffe.read, path)
    assert container.format is FileFormat.CAFFEMODEL
    assert list(container.tensors) == [f"{name}/{position}" for name in STORED for position in (0, 1)]
    for name, arrays in STORED.items():
        for position, array in enumerate(arrays):
            tensor = container.tensors[f"{name}/{position}"]
            assert tensor.shape == array.shape
            np.testing.assert_array_equal(as_array(tensor), array)


SHAPE_2 = proto(7, proto(1, b"\x02"))


def test_numbers_may_be_doubles(path):
    raw(caffe_blob(SHAPE_2, proto(8, struct.pack("<2d", 0.5, -3))))(path)
    tensor = read_by(caffe.read, path).tensors["conv1_1/0"]
    assert tensor.dtype == "<f8"
    np.testing.assert_array_equal(as_array(tensor), [0.5, -3])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param([SHAPE_2], "the numbers of 'conv1_1/0' in one piece, found 0 pieces", id="no numbers"),
        pytest.param([SHAPE_2, proto(5, bytes(8)), proto(8, bytes(16))], "found 2 pieces", id="floats and doubles"),
        pytest.param([SHAPE_2, proto(5, bytes(4))], "4 bytes, which do not fit the shape .2,.; download", id="too few"),
        pytest.param([SHAPE_2, proto(5, bytes(12))], "12 bytes, which do not fit the shape", id="too many"),
    ],
)
def test_refuses(path, fields, message):
    raw(caffe_blob(*fields) + bytes(0))(path)
    path.write_bytes(path.read_bytes() + proto(1, b"the network's name"))
    with pytest.raises(WeightsError, match=message):
        read_by(caffe.read, path)
