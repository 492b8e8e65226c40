"""Reads ONNX files: a graph whose nodes refer to named arrays. Field numbers are those of ONNX's `onnx.proto`.

Exporters choose names of arrays freely, so arrays are named here after the nodes that use them, in the graph's order:
"conv0/0", "conv0/1", ..., "dense0/0", ... Kernels of dense layers are (out, in), whichever way the file stores them.
"""

import pathlib
import struct
from typing import Any

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.preprocessing import TORCHVISION
from vggfcn.checkpoints.protobuf import Message
from vggfcn.checkpoints.steps import Step
from vggfcn.checkpoints.tensors import BFLOAT16, Container, FileFormat, FileTensor, Span, Tensor, file_tensor
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular

IR_VERSION, GRAPH = 1, 7  # fields of ModelProto
NODE, INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12  # fields of GraphProto
VALUE_NAME, VALUE_TYPE = 1, 2  # fields of ValueInfoProto
INPUT, OUTPUT, OP_TYPE, ATTRIBUTE, DOMAIN = 1, 2, 4, 5, 7  # fields of NodeProto
# fields of AttributeProto
ATTRIBUTE_NAME, FLOAT, INTEGER, TEXT, FLOATS, INTEGERS = 1, 2, 3, 4, 7, 8
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, DATA_LOCATION = 1, 2, 4, 8, 9, 14  # fields of TensorProto
DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: BFLOAT16, 6: "<i4", 7: "<i8"}
# Nodes that work out the shape for a Reshape, beside the chain of layers.
SHAPES = {"Constant", "Shape", "Gather", "Unsqueeze", "Concat", "Cast", "Slice"}
ACTIVATIONS = {
    "Relu": steps.RELU,
    "Tanh": "tanh",
    "Softmax": steps.SOFTMAX,
    "LogSoftmax": "log softmax",
}
EPSILON = 1e-5  # The default of BatchNormalization, in ONNX and in torch.
# How MXNet names the arrays of the VGG networks in the ONNX model zoo; they were trained as torchvision's.
ZOO = "vgg0_conv0_weight"
# Attributes that say nothing else than the arrays and the output's names do.
_HARMLESS = {"kernel_shape", "storage_order", "momentum", "spatial", "is_test", "consumed_inputs", "broadcast"}


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The arrays of a chain of convolutions and dense layers, named after their nodes, and what the chain computes."""
    with open_regular(path) as file:
        graphs = list(Message(file, budget).messages(GRAPH))
        if len(graphs) != 1:
            raise damaged(path, f"expected an ONNX model with one graph, found {len(graphs)}")
        initializers = {tensor.text(NAME): tensor for tensor in graphs[0].messages(INITIALIZER)}
        reader = _GraphReader(path, initializers)
        tensors = reader.read(graphs[0])
        zoo = ZOO in initializers
        return Container(
            *(path, FileFormat.ONNX, tensors),
            preprocessing=TORCHVISION if zoo else None,
            preprocessing_reason="of the ONNX model zoo, by its names of arrays",
            steps=reader.steps,
        )


def _sizes(value: Message) -> dict[str, int]:
    """The channels, rows and columns of an image, as far as the graph fixes them."""
    for tensor in (tensor for kind in value.messages(VALUE_TYPE) for tensor in kind.messages(1)):
        for shape in tensor.messages(2):
            sizes = [next(iter(dimension.integers(1)), 0) for dimension in shape.messages(1)]
            named = dict(zip(("batch", "channels", "rows", "columns"), sizes, strict=False))
            return {name: size for name, size in named.items() if size and name != "batch"} if len(sizes) == 4 else {}
    return {}


class _GraphReader:
    """Goes through the nodes of a graph, each of which must take what the one before gives, and names their arrays."""

    def __init__(self, path: pathlib.Path, initializers: dict[str, Message]):
        self.path, self.initializers = path, initializers
        self.tensors: dict[str, Tensor] = {}
        self.steps: list[Step] = []
        self.attributes: dict[str, Any] = {}
        self.convolutions = self.dense = 0

    def read(self, graph: Message) -> dict[str, Tensor]:
        """The arrays of all nodes."""
        inputs = {value.text(VALUE_NAME): value for value in graph.messages(GRAPH_INPUT)}
        current = next((name for name in inputs if name not in self.initializers), "")
        if current and (sizes := _sizes(inputs[current])):
            self.steps.append(Step(steps.INPUT, sizes, current))
        for node in graph.messages(NODE):
            kind, names = node.text(OP_TYPE), node.texts(INPUT)
            if kind in SHAPES and (kind == "Shape" or current not in names):
                continue
            visit = {
                "Conv": self._convolution,
                "BatchNormalization": self._normalization,
                "Gemm": self._gemm,
                "MatMul": self._matmul,
                "Add": self._add,
                "MaxPool": self._pooling,
                "AveragePool": self._pooling,
                "Flatten": self._flatten,
                "Reshape": self._flatten,
                "Identity": self._nothing,
                "Dropout": self._nothing,
            }.get(kind, self._activation if kind in ACTIVATIONS else None)
            if visit is None or node.text(DOMAIN) not in ("", "ai.onnx"):
                raise WeightsError(
                    f"{self.path}: expected only nodes of a VGG network, found {shown(kind)}; other networks are run "
                    "from Keras models: if this one was exported from Keras, give that model"
                )
            others = [name for name in names if name != current]
            if names.count(current) != 1 or (kind != "Add" and names[0] != current):
                raise WeightsError(
                    f"{self.path}: expected nodes that follow one another, found {kind} of {shown(', '.join(names))}"
                )
            self.attributes = self._attributes(node)
            visit(node, others)
            current = next(iter(node.texts(OUTPUT)), "")
        outputs = [value.text(VALUE_NAME) for value in graph.messages(GRAPH_OUTPUT)]
        if outputs not in ([current], []):
            raise WeightsError(
                f"{self.path}: expected the last node's result as the only output, found {shown(', '.join(outputs))}"
            )
        return self.tensors

    def _step(self, kind: str, **options: Any) -> None:
        self.steps.append(Step(kind, options, f"{kind} {len(self.steps) + 1}"))

    def _window(self, size: object, known: set[str]) -> dict[str, Any]:
        """Stride, padding and whatever else the node's attributes say; the sides of uneven padding one by one."""
        attributes = self.attributes
        automatic = attributes.get("auto_pad", "NOTSET")
        padding = {"NOTSET": steps.size(attributes.get("pads", 0)), "VALID": 0}.get(automatic, automatic)
        if automatic in ("SAME_UPPER", "SAME_LOWER") and isinstance(size, int) and size % 2:
            padding = size // 2 if steps.size(attributes.get("strides", 1)) == 1 else automatic
        others = {
            name: value
            for name, value in attributes.items()
            if name not in {"pads", "strides", "auto_pad", *known, *_HARMLESS}
        }
        return {"size": size, "stride": steps.size(attributes.get("strides", 1)), "padding": padding, **others}

    def _convolution(self, node: Message, names: list[str]) -> None:
        layer = f"conv{self.convolutions}"
        self._add_arrays(layer, names)
        shape = self.tensors[f"{layer}/0"].shape if f"{layer}/0" in self.tensors else ()
        size = steps.size(shape[2:])
        self._step(
            steps.CONVOLUTION,
            filters=shape[0] if shape else 0,
            dilation=steps.size(self.attributes.get("dilations", 1)),
            groups=self.attributes.get("group", 1),
            arrays=layer,
            **self._window(size, {"dilations", "group"}),
        )
        self.convolutions += 1

    def _pooling(self, node: Message, names: list[str]) -> None:
        size = steps.size(self.attributes.get("kernel_shape", 0))
        window = self._window(size, {"ceil_mode", "dilations", "count_include_pad"})
        average = node.text(OP_TYPE) == "AveragePool"
        if average and window == {"size": 1, "stride": 1, "padding": 0}:
            return  # What torch makes of its adaptive average over a map that has the size already.
        if steps.size(self.attributes.get("dilations", 1)) != 1:
            window["dilation"] = self.attributes["dilations"]
        if self.attributes.get("ceil_mode", 0):
            window["ceil_mode"] = 1
        self._step(steps.AVERAGE_POOLING if average else steps.MAX_POOLING, **window)

    def _activation(self, node: Message, names: list[str]) -> None:
        self._step(ACTIVATIONS[node.text(OP_TYPE)])

    def _flatten(self, node: Message, names: list[str]) -> None:
        axis = self.attributes.get("axis", 1)
        self._step(steps.FLATTEN, **({} if axis == 1 else {"axis": axis}))

    def _nothing(self, node: Message, names: list[str]) -> None:
        # The third input of Dropout switches it on; so do old versions without is_test, but only in training.
        if any(names[1:]):
            self._step("dropout that may be on")

    def _normalization(self, node: Message, names: list[str]) -> None:
        epsilon = self.attributes.get("epsilon", EPSILON)
        if not self.convolutions or abs(epsilon - EPSILON) > 1e-9:
            raise WeightsError(f"{self.path}: expected a BatchNormalization with epsilon {EPSILON}, found {epsilon}")
        self._add_arrays(f"conv{self.convolutions - 1}/normalization", names)
        training = self.attributes.get("training_mode", 0)
        self._step(steps.NORMALIZATION, **({"training": training} if training else {}))

    def _gemm(self, node: Message, names: list[str]) -> None:
        attributes = self.attributes
        factors = {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)}
        if factors != {1.0} or attributes.get("transA", 0):
            raise WeightsError(
                f"{self.path}: expected only nodes of a VGG network, found a Gemm that scales or transposes its input"
            )
        self._dense(names, flip=not attributes.get("transB", 0))

    def _matmul(self, node: Message, names: list[str]) -> None:
        self._dense(names, flip=True)

    def _dense(self, names: list[str], flip: bool) -> None:
        layer = f"dense{self.dense}"
        self._add_arrays(layer, names, flip)
        shape = self.tensors[f"{layer}/0"].shape if f"{layer}/0" in self.tensors else (0,)
        self._step(steps.DENSE, units=shape[0], arrays=layer)
        self.dense += 1

    def _add(self, node: Message, names: list[str]) -> None:
        follows = self.steps and self.steps[-1].kind == steps.DENSE
        if not follows or f"dense{self.dense - 1}/1" in self.tensors:
            raise WeightsError(
                f"{self.path}: expected only nodes of a VGG network, found an Add that is not a dense layer's bias"
            )
        self._add_arrays(f"dense{self.dense - 1}", ["", *names])

    def _add_arrays(self, layer: str, names: list[str], flip: bool = False) -> None:
        for position, name in enumerate(names):
            if name:
                if name not in self.initializers:
                    raise WeightsError(f"{self.path}: {layer} uses {shown(name)}, which is not stored in the file")
                self.tensors[f"{layer}/{position}"] = self._tensor(name, flip and position == 0)

    def _tensor(self, name: str, flip: bool) -> FileTensor:
        """The named array; `flip` describes a kernel that is stored as (in, out) as one of shape (out, in)."""
        message = self.initializers[name]
        shape, dtype = tuple(message.integers(DIMS)), DTYPES.get(next(iter(message.integers(DATA_TYPE)), 0))
        spans = message.spans(RAW_DATA) or (message.spans(FLOAT_DATA) if dtype == "<f4" else [])
        if dtype is None or len(spans) != 1 or any(message.integers(DATA_LOCATION)):
            raise WeightsError(
                f"{self.path}: expected {shown(name)} in this file with a supported dtype; save the model as one file"
            )
        tensor = self._stored(name, spans[0], shape, dtype)
        if not flip:
            return tensor
        if len(shape) != 2:
            raise damaged(self.path, f"{shown(name)} is not a matrix")
        return file_tensor(self.path, tensor.offset, shape[::-1], dtype, (1, 0))

    def _stored(self, name: str, span: Span, shape: tuple[int, ...], dtype: str) -> FileTensor:
        tensor = file_tensor(self.path, span.offset, shape, dtype)
        if tensor.nbytes != span.size:
            raise damaged(self.path, f"{shown(name)} has {span.size} bytes, which do not fit the shape {shape}")
        return tensor

    @staticmethod
    def _attributes(node: Message) -> dict[str, Any]:
        """The attributes of a node: numbers, lists of integers and text. Others are kept as what they are not."""
        attributes: dict[str, Any] = {}
        for attribute in node.messages(ATTRIBUTE):
            name = attribute.text(ATTRIBUTE_NAME)
            integers, floats = attribute.integers(INTEGER), attribute.values(FLOAT)
            if integers:
                attributes[name] = integers[-1]
            elif floats and isinstance(floats[-1], bytes) and len(floats[-1]) == 4:
                attributes[name] = struct.unpack("<f", floats[-1])[0]
            elif attribute.spans(TEXT):
                attributes[name] = attribute.text(TEXT)
            elif attribute.values(INTEGERS):
                attributes[name] = tuple(attribute.integers(INTEGERS)[:16])
        return attributes
