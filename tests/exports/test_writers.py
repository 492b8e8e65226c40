"""Networks of all kinds are the same in the formats' own runtimes, at a size that is not their native one."""

import functools

import foreign_runtimes
import keras
import networks
import pytest
from foreign_runtimes import NAMES, images
from writers import MICRO

import vggfcn
from vggfcn.exports.writers import WRITERS

layers = keras.layers


def depthwise():
    return keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(8, 3, strides=2, padding="same", groups=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6),
            layers.DepthwiseConv2D(5, padding="same"),
            layers.SeparableConv2D(6, 3, activation="silu"),
            layers.AveragePooling2D(2, padding="same"),
        ]
    )


# How to build it, and a batch of images.
KINDS = {
    "VGG16 as small as can be": (lambda: vggfcn.build(MICRO, weights=None), (2, 262, 338, 3)),
    "the original network, of one size": (
        lambda: vggfcn.build("lenet5", weights=None, head="dense"), (2, 32, 32, 1),
    ),
    "a finer output stride": (
        lambda: vggfcn.with_output_stride(vggfcn.build("lenet5", weights=None), 2), (2, 38, 50, 1),
    ),
    "depthwise, grouped, separable, normalised": (depthwise, (2, 25, 34, 4)),
    "converted, with dropout": (lambda: vggfcn.convert(networks.plain()), (2, 25, 29, 3)),
    "branches": (lambda: vggfcn.convert(networks.residual()), (2, 19, 26, 3)),
    "nested models": (lambda: vggfcn.convert(networks.nested()), (2, 15, 20, 3)),
    "context of the whole image": (
        lambda: vggfcn.convert(networks.squeeze_and_excite(), keep_global=True), (2, 19, 26, 3),
    ),
    "vectors": (lambda: keras.Sequential([keras.Input((9,)), layers.Dense(4), layers.Softmax()]), (2, 9)),
}  # fmt: skip


@functools.cache
def network(kind):
    return networks.randomize(KINDS[kind][0]())


@pytest.mark.parametrize("name", ["onnx", "litert", "openvino"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_for_all_networks(kind, name, tmp_path):
    path = tmp_path / NAMES[name]
    WRITERS[name](network(kind), path)
    foreign_runtimes.assert_same(name, path, network(kind), images(*KINDS[kind][1]))


def test_onnx_is_for_anybody(tmp_path):
    """Standard operations alone, weights in their own order of axes, and axes with names."""
    import onnx

    WRITERS["onnx"](vggfcn.build(weights="mnist-lenet5"), tmp_path / "x.onnx")
    graph_file = onnx.load(tmp_path / "x.onnx")
    onnx.checker.check_model(graph_file, full_check=True)
    graph = graph_file.graph
    assert {node.domain for node in graph.node} == {""}
    (image,), (output,) = graph.input, graph.output
    shapes = [[axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in (image, output)]
    assert shapes == [["batch", "height", "width", 1], ["batch", "rows", "columns", 10]]
    constant = {tensor.name for tensor in graph.initializer}
    assert not [node.name for node in graph.node if set(node.input) <= constant]
