"""ONNX models that ONNX's own library makes give the arrays of their nodes, and nodes unknown to VGG are refused."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from reader_calls import read_by

from vggfcn.checkpoints.formats import onnx as onnx_format
from vggfcn.checkpoints.preprocessing import TORCHVISION
from vggfcn.checkpoints.tensors import FileFormat, as_array
from vggfcn.errors import WeightsError

KERNEL = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
DENSE = np.arange(8, dtype=np.float32).reshape(2, 4)  # (out, in)
BIAS = np.float32([1, 2])


def model(nodes, **arrays):
    tensors = [
        array if isinstance(array, TensorProto) else numpy_helper.from_array(array, name)
        for name, array in arrays.items()
    ]
    nodes = [followed(row, index) if row.input[0] == "x" else row for index, row in enumerate(nodes)]
    image = helper.make_tensor_value_info("x0", TensorProto.FLOAT, (1, 3, 40, 41))
    return helper.make_model(helper.make_graph(nodes, "g", [image], [], tensors))


def node(kind, *inputs, **attributes):
    """A node of a chain: it takes what the one before gives, and the arrays `inputs`."""
    return helper.make_node(kind, ["x", *inputs], ["y"], **attributes)


def followed(row, index):
    copy = onnx.NodeProto()
    copy.CopyFrom(row)
    copy.input[0], copy.output[0] = f"x{index}", f"x{index + 1}"
    return copy


@pytest.fixture
def read(tmp_path):
    def read(model):
        path = tmp_path / "w.onnx"
        path.write_bytes(model.SerializeToString())
        return read_by(onnx_format.read, path)

    return read


def test_arrays_are_named_by_node(read):
    nodes = [
        node("Conv", "a", "b"),
        node("Relu"),
        node("Conv", "a"),
        node("MaxPool", kernel_shape=[2, 2]),
        node("Flatten"),
        node("Gemm", "c", "b", transB=1),
    ]
    container = read(model(nodes, a=KERNEL, b=BIAS, c=DENSE))
    assert container.format is FileFormat.ONNX
    assert list(container.tensors) == ["conv0/0", "conv0/1", "conv1/0", "dense0/0", "dense0/1"]
    for name, expected in (("conv0/0", KERNEL), ("conv0/1", BIAS), ("conv1/0", KERNEL), ("dense0/0", DENSE)):
        np.testing.assert_array_equal(as_array(container.tensors[name]), expected)


@pytest.mark.parametrize(
    ("nodes", "stored"),
    [
        pytest.param([node("Gemm", "w", "b", transB=1)], DENSE, id="Gemm, transposed"),
        pytest.param([node("Gemm", "w", "b", transB=0)], DENSE.T, id="Gemm"),
        pytest.param([node("Gemm", "w", "b")], DENSE.T, id="Gemm by default"),
        pytest.param([node("MatMul", "w"), node("Add", "b")], DENSE.T, id="MatMul and Add"),
    ],
)
def test_dense_kernels_are_out_in(read, nodes, stored):
    tensors = read(model(nodes, w=np.ascontiguousarray(stored), b=BIAS)).tensors
    assert list(tensors) == ["dense0/0", "dense0/1"]
    assert tensors["dense0/0"].shape == (2, 4)
    np.testing.assert_array_equal(as_array(tensors["dense0/0"]), DENSE)
    np.testing.assert_array_equal(as_array(tensors["dense0/1"]), BIAS)


def test_a_normalization_belongs_to_its_convolution(read):
    nodes = [node("Conv", "a"), node("BatchNormalization", "s", "o", "m", "v", epsilon=1e-5)]
    vectors = {name: BIAS + position for position, name in enumerate("somv")}
    tensors = read(model(nodes, a=KERNEL, **vectors)).tensors
    for position, vector in enumerate(vectors.values()):
        np.testing.assert_array_equal(as_array(tensors[f"conv0/normalization/{position}"]), vector)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(numpy_helper.from_array(BIAS, "w"), id="raw float32"),
        pytest.param(helper.make_tensor("w", TensorProto.FLOAT, [2], BIAS), id="float32 in its own field"),
        pytest.param(numpy_helper.from_array(BIAS.astype("f2"), "w"), id="float16"),
        pytest.param(numpy_helper.from_array(BIAS.astype(ml_dtypes.bfloat16), "w"), id="bfloat16"),
        pytest.param(numpy_helper.from_array(BIAS.astype("f8"), "w"), id="float64"),
        pytest.param(numpy_helper.from_array(BIAS.astype("i8"), "w"), id="int64"),
    ],
)
def test_every_type_keeps_its_values(read, array):
    np.testing.assert_array_equal(as_array(read(model([node("Conv", "w")], w=array)).tensors["conv0/0"]), BIAS)


def test_states_what_the_nodes_compute(read):
    """With ONNX's defaults where a node leaves something out."""
    nodes = [
        node("Conv", "a", "b", pads=[1, 1, 1, 1], dilations=[2, 2]),
        node("BatchNormalization", *"bbbb"),
        node("Relu"),
        node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1),
        node("Conv", "a", auto_pad="SAME_UPPER", strides=[2, 1]),
        node("AveragePool", kernel_shape=[1, 1]),
        node("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Dropout"),
        node("Flatten", axis=2),
        node("Gemm", "c", "b", transB=1),
        node("Softmax"),
    ]
    convolution = {"filters": 2, "size": 3, "groups": 1}
    assert [(step.kind, step.options) for step in read(model(nodes, a=KERNEL, b=BIAS, c=DENSE)).steps] == [
        ("input", {"rows": 40, "columns": 41, "channels": 3}),
        ("convolution", {**convolution, "stride": 1, "padding": 1, "dilation": 2, "arrays": "conv0"}),
        ("batch normalization", {}),
        ("relu", {}),
        ("max pooling", {"size": 3, "stride": 2, "padding": (0, 0, 1, 1), "ceil_mode": 1}),
        ("convolution", {**convolution, "stride": (2, 1), "padding": "SAME_UPPER", "dilation": 1, "arrays": "conv1"}),
        ("average pooling", {"size": 2, "stride": 2, "padding": 0}),
        ("flatten", {"axis": 2}),
        ("dense layer", {"units": 2, "arrays": "dense0"}),
        ("softmax", {}),
    ]


def test_the_zoos_files_are_known_by_their_names_of_arrays(read):
    arrays = {"vgg0_conv0_weight": KERNEL}
    assert read(model([node("Conv", *arrays)], **arrays)).preprocessing == TORCHVISION
    assert read(model([node("Conv", "w")], w=KERNEL)).preprocessing is None


def external():
    array = numpy_helper.from_array(BIAS, "w")
    array.data_location = TensorProto.EXTERNAL
    return array


def too_short():
    array = numpy_helper.from_array(BIAS, "w")
    array.dims[:] = [3]
    return array


CONV = node("Conv", "w")


@pytest.mark.parametrize(
    ("nodes", "array", "message"),
    [
        pytest.param([node("Gemm", "w", alpha=2.0)], DENSE, "found a Gemm that scales or transposes", id="a factor"),
        pytest.param([node("Gemm", "w", transA=1)], DENSE, "found a Gemm that scales or", id="a transposed input"),
        pytest.param([CONV, node("Add", "w")], BIAS, "found an Add that is not a dense layer's bias", id="a shortcut"),
        pytest.param(
            [node("MatMul", "w"), node("Add", "w"), node("Add", "w")], DENSE, "found an Add that is", id="a second bias"
        ),
        pytest.param(
            [CONV, node("BatchNormalization", "w", "w", "w", "w", epsilon=1e-3)],
            BIAS,
            "expected a BatchNormalization with epsilon 1e-05, found 0.001",
            id="another epsilon",
        ),
        pytest.param([node("BatchNormalization", *"wwww")], BIAS, "expected a Batch", id="a normalization first"),
        pytest.param([CONV], external(), "expected 'w' in this file with a supported dtype", id="another file"),
        pytest.param(
            [CONV], np.array(["text"], object), "with a supported dtype; save the model as one file", id="text"
        ),
        pytest.param([CONV], too_short(), r"'w' has 8 bytes, which do not fit the shape \(3,\)", id="too few numbers"),
        pytest.param([node("MatMul", "w")], BIAS, "'w' is not a matrix", id="a vector for a dense kernel"),
        pytest.param(
            [CONV, helper.make_node("Relu", ["x0"], ["z"])], BIAS, "that follow one another, found Relu", id="a branch"
        ),
        pytest.param([node("Conv", "w", domain="mine")], BIAS, "only nodes of a VGG network, found 'Conv'", id="own"),
        pytest.param([node("HardSwish")], BIAS, "only nodes of a VGG network, found 'HardSwish'", id="activation"),
    ],
)
def test_refuses(read, nodes, array, message):
    with pytest.raises(WeightsError, match=message):
        read(model(nodes, w=array))


def test_a_file_without_a_graph_is_refused(tmp_path):
    path = tmp_path / "w.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8, producer_name="nobody").SerializeToString())
    with pytest.raises(WeightsError, match="expected an ONNX model with one graph, found 0"):
        read_by(onnx_format.read, path)
