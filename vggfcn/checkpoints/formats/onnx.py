"""Reads ONNX files: a graph whose nodes refer to named arrays. Field numbers are those of ONNX's `onnx.proto`.

Exporters choose names of arrays freely, so arrays are named here after the nodes that use them, in the graph's order:
"conv0/0", "conv0/1", ..., "dense0/0", ... Kernels of dense layers are (out, in), whichever way the file stores them.
"""

import pathlib
import struct

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.protobuf import Message
from vggfcn.checkpoints.tensors import BFLOAT16, Container, FileFormat, FileTensor, Span, Tensor, file_tensor
from vggfcn.errors import WeightsError

IR_VERSION, GRAPH = 1, 7  # fields of ModelProto
NODE, INITIALIZER = 1, 5  # fields of GraphProto
INPUT, OP_TYPE, ATTRIBUTE = 1, 4, 5  # fields of NodeProto
ATTRIBUTE_NAME, FLOAT, INTEGER = 1, 2, 3  # fields of AttributeProto
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA, DATA_LOCATION = 1, 2, 4, 8, 9, 14  # fields of TensorProto
DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: BFLOAT16, 6: "<i4", 7: "<i8"}
# Nodes of a VGG network that have no weights. Any node that is not known here could change the meaning of the weights.
WEIGHTLESS = {"Relu", "MaxPool", "Flatten", "Reshape", "Dropout", "Identity", "Softmax", "Constant", "Shape", "Gather"}
WEIGHTLESS |= {"Unsqueeze", "Concat", "AveragePool", "GlobalAveragePool", "LogSoftmax"}
EPSILON = 1e-5  # The default of BatchNormalization, in ONNX and in torch.


def read(path: pathlib.Path) -> Container:
    """The arrays of a chain of convolutions and dense layers, named after their nodes."""
    with path.open("rb") as file:
        graphs = list(Message(path, file).messages(GRAPH))
        if len(graphs) != 1:
            raise damaged(path, f"expected an ONNX model with one graph, found {len(graphs)}")
        initializers = {tensor.text(NAME): tensor for tensor in graphs[0].messages(INITIALIZER)}
        return Container(path, FileFormat.ONNX, _GraphReader(path, initializers).read(graphs[0]))


class _GraphReader:
    """Goes through the nodes of a graph and names the arrays that they use."""

    def __init__(self, path: pathlib.Path, initializers: dict[str, Message]):
        self.path, self.initializers = path, initializers
        self.tensors: dict[str, Tensor] = {}
        self.convolutions = self.dense = 0

    def read(self, graph: Message) -> dict[str, Tensor]:
        """The arrays of all nodes."""
        for node in graph.messages(NODE):
            kind = node.text(OP_TYPE)
            if kind in WEIGHTLESS:
                continue
            visit = {
                "Conv": self._convolution,
                "BatchNormalization": self._normalization,
                "Gemm": self._gemm,
                "MatMul": self._matmul,
                "Add": self._add,
            }.get(kind)
            if visit is None:
                raise WeightsError(f"{self.path}: expected only nodes of a VGG network, found {kind[:80]!r}")
            visit(node, node.texts(INPUT)[1:])
        return self.tensors

    def _convolution(self, node: Message, names: list[str]) -> None:
        self._add_arrays(f"conv{self.convolutions}", names)
        self.convolutions += 1

    def _normalization(self, node: Message, names: list[str]) -> None:
        epsilon = self._attributes(node).get("epsilon", EPSILON)
        if not self.convolutions or abs(epsilon - EPSILON) > 1e-9:
            raise WeightsError(f"{self.path}: expected a BatchNormalization with epsilon {EPSILON}, found {epsilon}")
        self._add_arrays(f"conv{self.convolutions - 1}/normalization", names)

    def _gemm(self, node: Message, names: list[str]) -> None:
        attributes = self._attributes(node)
        factors = {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)}
        if factors != {1.0} or attributes.get("transA", 0):
            raise WeightsError(
                f"{self.path}: expected only nodes of a VGG network, found a Gemm that scales or transposes its input"
            )
        self._add_arrays(f"dense{self.dense}", names, flip=not attributes.get("transB", 0))
        self.dense += 1

    def _matmul(self, node: Message, names: list[str]) -> None:
        self._add_arrays(f"dense{self.dense}", names, flip=True)
        self.dense += 1

    def _add(self, node: Message, names: list[str]) -> None:
        if f"dense{self.dense - 1}/0" not in self.tensors or f"dense{self.dense - 1}/1" in self.tensors:
            raise WeightsError(
                f"{self.path}: expected only nodes of a VGG network, found an Add that is not a dense layer's bias"
            )
        biases = [name for name in node.texts(INPUT) if name in self.initializers]
        self._add_arrays(f"dense{self.dense - 1}", ["", *biases])

    def _add_arrays(self, layer: str, names: list[str], flip: bool = False) -> None:
        for position, name in enumerate(names):
            if name:
                if name not in self.initializers:
                    raise WeightsError(f"{self.path}: {layer} uses {name[:80]!r}, which is not stored in the file")
                self.tensors[f"{layer}/{position}"] = self._tensor(name, flip and position == 0)

    def _tensor(self, name: str, flip: bool) -> FileTensor:
        """The named array; `flip` describes a kernel that is stored as (in, out) as one of shape (out, in)."""
        message = self.initializers[name]
        shape, dtype = tuple(message.integers(DIMS)), DTYPES.get(next(iter(message.integers(DATA_TYPE)), 0))
        spans = message.spans(RAW_DATA) or (message.spans(FLOAT_DATA) if dtype == "<f4" else [])
        if dtype is None or len(spans) != 1 or any(message.integers(DATA_LOCATION)):
            raise WeightsError(
                f"{self.path}: expected {name[:80]!r} in this file with a supported dtype; save the model as one file"
            )
        tensor = self._stored(name, spans[0], shape, dtype)
        if not flip:
            return tensor
        if len(shape) != 2:
            raise damaged(self.path, f"{name[:80]!r} is not a matrix")
        return file_tensor(self.path, tensor.offset, shape[::-1], dtype, (1, 0))

    def _stored(self, name: str, span: Span, shape: tuple[int, ...], dtype: str) -> FileTensor:
        tensor = file_tensor(self.path, span.offset, shape, dtype)
        if tensor.nbytes != span.size:
            raise damaged(self.path, f"{name[:80]!r} has {span.size} bytes, which do not fit the shape {shape}")
        return tensor

    @staticmethod
    def _attributes(node: Message) -> dict[str, float]:
        """The numeric attributes of a node."""
        attributes: dict[str, float] = {}
        for attribute in node.messages(ATTRIBUTE):
            for field, value in attribute:
                if field == INTEGER and isinstance(value, int):
                    attributes[attribute.text(ATTRIBUTE_NAME)] = value
                elif field == FLOAT and isinstance(value, bytes) and len(value) == 4:
                    attributes[attribute.text(ATTRIBUTE_NAME)] = struct.unpack("<f", value)[0]
        return attributes
