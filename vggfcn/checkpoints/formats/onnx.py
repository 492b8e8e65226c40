"""ONNX: a graph whose nodes refer to named arrays; field numbers are those of ONNX's `onnx.proto`.

Exporters name arrays as they like, so they are named here by the node that uses them, in the graph's order: "conv0/0",
"conv0/1", ..., "dense0/0", ...; kernels of dense layers are (out, in) whichever way the file keeps them.
"""

import pathlib
import struct

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.protobuf import Message
from vggfcn.checkpoints.tensors import BFLOAT16, Container, FileFormat, FileTensor, Span, Tensor, file_tensor
from vggfcn.errors import WeightsError

IR_VERSION, GRAPH = 1, 7  # of a ModelProto
NODE, INITIALIZER = 1, 5  # of a GraphProto
INPUT, OP_TYPE, ATTRIBUTE = 1, 4, 5  # of a NodeProto
ATTRIBUTE_NAME, FLOAT, INTEGER = 1, 2, 3  # of an AttributeProto
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, DATA_LOCATION = 1, 2, 4, 8, 9, 14  # of a TensorProto
DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: BFLOAT16, 6: "<i4", 7: "<i8"}
# What a VGG network is made of besides layers with weights; anything else changes what the weights mean.
PLAIN = {"Relu", "MaxPool", "Flatten", "Reshape", "Dropout", "Identity", "Softmax", "Constant", "Shape", "Gather"}
PLAIN |= {"Unsqueeze", "Concat", "AveragePool", "GlobalAveragePool", "LogSoftmax"}
EPSILON = 1e-5  # of a BatchNormalization that says nothing; torch's too


def read(path: pathlib.Path) -> Container:
    """The arrays of a chain of convolutions and dense layers, by node."""
    with path.open("rb") as file:
        graphs = list(Message(path, file).messages(GRAPH))
        if len(graphs) != 1:
            raise damaged(path, f"expected an ONNX model with a graph, found {len(graphs)}")
        initializers = {tensor.text(NAME): tensor for tensor in graphs[0].messages(INITIALIZER)}
        return Container(path, FileFormat.ONNX, _Reader(path, initializers).read(graphs[0]))


class _Reader:
    """Walks the nodes and names the arrays that they use."""

    def __init__(self, path: pathlib.Path, initializers: dict[str, Message]):
        self.path, self.initializers = path, initializers
        self.tensors: dict[str, Tensor] = {}
        self.convolutions = self.dense = 0

    def read(self, graph: Message) -> dict[str, Tensor]:
        """All arrays of the graph's nodes."""
        for node in graph.messages(NODE):
            kind = node.text(OP_TYPE)
            if kind in PLAIN:
                continue
            visit = {
                "Conv": self._convolution,
                "BatchNormalization": self._normalization,
                "Gemm": self._gemm,
                "MatMul": self._matmul,
                "Add": self._add,
            }.get(kind)
            if visit is None:
                raise WeightsError(f"{self.path}: has a node {kind[:80]!r}, which no VGG network has")
            visit(node, node.texts(INPUT)[1:])
        return self.tensors

    def _convolution(self, node: Message, names: list[str]) -> None:
        self._put(f"conv{self.convolutions}", names)
        self.convolutions += 1

    def _normalization(self, node: Message, names: list[str]) -> None:
        epsilon = self._attributes(node).get("epsilon", EPSILON)
        if not self.convolutions or abs(epsilon - EPSILON) > 1e-9:
            raise WeightsError(f"{self.path}: expected a BatchNormalization with epsilon {EPSILON}, found {epsilon}")
        self._put(f"conv{self.convolutions - 1}/normalization", names)

    def _gemm(self, node: Message, names: list[str]) -> None:
        attributes = self._attributes(node)
        factors = {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)}
        if factors != {1.0} or attributes.get("transA", 0):
            raise WeightsError(f"{self.path}: a Gemm node scales or transposes its input, which no VGG network does")
        self._put(f"dense{self.dense}", names, flip=not attributes.get("transB", 0))
        self.dense += 1

    def _matmul(self, node: Message, names: list[str]) -> None:
        self._put(f"dense{self.dense}", names, flip=True)
        self.dense += 1

    def _add(self, node: Message, names: list[str]) -> None:
        if f"dense{self.dense - 1}/0" not in self.tensors or f"dense{self.dense - 1}/1" in self.tensors:
            raise WeightsError(f"{self.path}: has an Add that is no dense layer's bias, which no VGG network has")
        biases = [name for name in node.texts(INPUT) if name in self.initializers]
        self._put(f"dense{self.dense - 1}", ["", *biases])

    def _put(self, layer: str, names: list[str], flip: bool = False) -> None:
        for position, name in enumerate(names):
            if name:
                if name not in self.initializers:
                    raise WeightsError(f"{self.path}: {layer} takes {name[:80]!r}, which is no stored array")
                self.tensors[f"{layer}/{position}"] = self._tensor(name, flip and position == 0)

    def _tensor(self, name: str, flip: bool) -> FileTensor:
        """The initializer as it lies in the file; flipped, a kernel (in, out) is said to be (out, in)."""
        message = self.initializers[name]
        shape, dtype = tuple(message.integers(DIMS)), DTYPES.get(next(iter(message.integers(DATA_TYPE)), 0))
        spans = message.spans(RAW_DATA) or (message.spans(FLOAT_DATA) if dtype == "<f4" else [])
        if dtype is None or len(spans) != 1 or any(message.integers(DATA_LOCATION)):
            raise WeightsError(
                f"{self.path}: {name[:80]!r} is no array of a known dtype in this file; save the model in one file"
            )
        tensor = self._placed(name, spans[0], shape, dtype)
        if not flip:
            return tensor
        if len(shape) != 2:
            raise damaged(self.path, f"{name[:80]!r} is no matrix")
        return file_tensor(self.path, tensor.offset, shape[::-1], dtype, (1, 0))

    def _placed(self, name: str, span: Span, shape: tuple[int, ...], dtype: str) -> FileTensor:
        tensor = file_tensor(self.path, span.offset, shape, dtype)
        if tensor.nbytes != span.size:
            raise damaged(self.path, f"{name[:80]!r} has {span.size} bytes for the shape {shape}")
        return tensor

    @staticmethod
    def _attributes(node: Message) -> dict[str, float]:
        """The numbers among a node's attributes."""
        found: dict[str, float] = {}
        for attribute in node.messages(ATTRIBUTE):
            for field, value in attribute:
                if field == INTEGER and isinstance(value, int):
                    found[attribute.text(ATTRIBUTE_NAME)] = value
                elif field == FLOAT and isinstance(value, bytes) and len(value) == 4:
                    found[attribute.text(ATTRIBUTE_NAME)] = struct.unpack("<f", value)[0]
        return found
