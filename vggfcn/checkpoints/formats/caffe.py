"""Reads Caffe's `.caffemodel`: a NetParameter whose layers hold blobs. Field numbers are those of `caffe.proto`."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from vggfcn.checkpoints import steps
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.protobuf import Message
from vggfcn.checkpoints.steps import Step
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, file_tensor
from vggfcn.errors import WeightsError, shown
from vggfcn.files import open_regular


@dataclasses.dataclass(frozen=True)
class LayerFields:
    """The field of NetParameter with the layers, and the fields of a layer: those of its parameters by kind of step.

    `kinds` gives the kind of step for each type of layer, "" for those that change nothing about the result.
    """

    layers: int
    name: int
    type: int
    blobs: int
    bottom: int
    top: int
    parameters: Mapping[str, int]
    kinds: Mapping[int | str, str]


# Layers of training: they give images and labels, or compare the result with the labels.
_TRAINING = "training"
V1_LAYER = LayerFields(
    *(2, 4, 5, 6, 2, 3),
    parameters={steps.CONVOLUTION: 10, steps.DENSE: 17, "pooling": 19, steps.RELU: 30},
    kinds={
        4: steps.CONVOLUTION,
        14: steps.DENSE,
        17: "pooling",
        18: steps.RELU,
        23: "tanh",
        20: steps.SOFTMAX,
        8: steps.FLATTEN,
        6: "",
        22: "",
        **dict.fromkeys((1, 5, 9, 12, 21, 24, 29, 32), _TRAINING),
    },
)
LAYER = LayerFields(
    *(100, 1, 2, 7, 3, 4),
    parameters={steps.CONVOLUTION: 106, steps.DENSE: 117, "pooling": 121, steps.RELU: 123},
    kinds={
        "Convolution": steps.CONVOLUTION,
        "InnerProduct": steps.DENSE,
        "Pooling": "pooling",
        "ReLU": steps.RELU,
        "TanH": "tanh",
        "Softmax": steps.SOFTMAX,
        "Flatten": steps.FLATTEN,
        "Dropout": "",
        "Split": "",
        **dict.fromkeys(("Data", "Input", "ImageData", "HDF5Data", "MemoryData", "DummyData"), _TRAINING),
        **dict.fromkeys(("SoftmaxWithLoss", "Accuracy", "Silence"), _TRAINING),
    },
)
# Fields of ConvolutionParameter and PoolingParameter: number, and the names in a step.
CONVOLUTION_FIELDS = {"filters": 1, "bias": 2, "padding": 3, "size": 4, "groups": 5, "stride": 6, "dilation": 18}
POOLING_FIELDS = {"padding": 4, "size": 2, "stride": 3}
# The same by rows and columns, and what else would change the result.
CONVOLUTION_OTHERS = {"padding": (9, 10), "size": (11, 12), "stride": (13, 14), "other": (16, 17)}
POOLING_OTHERS = {"padding": (9, 10), "size": (5, 6), "stride": (7, 8), "other": (12, 13)}
POOL = 1
# Fields of BlobProto: the four sizes of old files, the numbers as float or double, the shape of newer files, its sizes.
NUM, CHANNELS, HEIGHT, WIDTH = 1, 2, 3, 4
DATA, SHAPE, DIM, DOUBLE_DATA = 5, 7, 1, 8


def read(path: pathlib.Path, budget: Budget) -> Container:
    """The blobs, named "<layer>/0" (kernel) and "<layer>/1" (bias), and what the layers compute."""
    tensors: dict[str, Tensor] = {}
    found: list[Step] = []
    with open_regular(path) as file:
        network = Message(file, budget)
        for fields in (V1_LAYER, LAYER):
            layers = list(network.messages(fields.layers))
            for layer in layers:
                dense, own_name = _kind(layer, fields) == steps.DENSE, layer.text(fields.name)
                for position, blob in enumerate(layer.messages(fields.blobs)):
                    # Old files write a dense kernel as (1, 1, out, in) and a bias as (1, 1, 1, out).
                    leading_ones = 3 if position else 2 if dense else 0
                    name = budget.name(own_name, position)
                    tensors[name] = _tensor(path, name, blob, leading_ones)
            found += _chain(layers, fields)
    return Container(path, FileFormat.CAFFEMODEL, tensors, steps=found)


def _kind(layer: Message, fields: LayerFields) -> str:
    """The kind of step of a layer, or its type if there is none."""
    text = layer.text(fields.type)
    types: list[int | str] = [text] if text else [*layer.integers(fields.type), ""]
    unknown = f"a layer of the type {shown(types[0])}"
    return next((fields.kinds[value] for value in types if value in fields.kinds), unknown)


def _chain(layers: list[Message], fields: LayerFields) -> Iterator[Step]:
    """The steps of the layers; each must take what the one before gives."""
    current: set[str] = set()
    flat = False
    for layer in layers:
        kind, name = _kind(layer, fields), layer.text(fields.name)
        bottoms, tops = set(layer.texts(fields.bottom)), set(layer.texts(fields.top))
        if kind == _TRAINING:
            current = current or tops
            continue
        if current and not (len(bottoms) == 1 and bottoms <= current):
            yield Step(f"a layer that takes {', '.join(sorted(bottoms))[:80] or 'nothing'}", {}, name)
            return
        if kind:
            current = tops
        else:
            current |= tops
        if kind == steps.DENSE and not flat:
            yield Step(steps.FLATTEN)  # Caffe's dense layers do so themselves.
        flat |= kind in (steps.DENSE, steps.FLATTEN)
        yield from _steps(layer, kind, name, fields)


def _steps(layer: Message, kind: str, name: str, fields: LayerFields) -> Iterator[Step]:
    parameters = next(layer.messages(fields.parameters.get(kind, 0)), None) if kind in fields.parameters else None
    if kind == steps.CONVOLUTION:
        yield Step(kind, {**_window(parameters, CONVOLUTION_FIELDS, CONVOLUTION_OTHERS), "arrays": name}, name)
    elif kind == "pooling":
        average = parameters is not None and parameters.integers(POOL) not in ([], [0])
        options = _window(parameters, POOLING_FIELDS, POOLING_OTHERS)
        yield Step(steps.AVERAGE_POOLING if average else steps.MAX_POOLING, options, name)
    elif kind == steps.DENSE:
        yield Step(kind, {"arrays": name}, name)
    elif kind:
        # The only parameter of ReLU is the slope below zero; the other field chooses between implementations.
        slope = parameters.values(1) if parameters is not None else []
        options = {"negative slope": True} if any(any(value) for value in slope if isinstance(value, bytes)) else {}
        yield Step(kind, options, name)


def _window(
    parameters: Message | None, fields: Mapping[str, int], others: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """What a layer's parameters say, with Caffe's defaults. Very old files were saved without parameters."""
    if parameters is None:
        return {}
    defaults = {"padding": 0, "groups": 1, "stride": 1, "dilation": 1, "bias": 1}
    options = {name: steps.size(parameters.integers(field)) for name, field in fields.items()}
    options = {name: defaults.get(name) if value in ([], ()) else value for name, value in options.items()}
    for name, pair in others.items():
        sides = [value for field in pair for value in parameters.integers(field)]
        if any(sides) or (sides and name != "other"):
            options[name] = steps.size(sides)
    options["bias"] = bool(options["bias"]) if "bias" in options else None
    return {name: value for name, value in options.items() if value is not None}


def _tensor(path: pathlib.Path, name: str, blob: Message, leading_ones: int) -> Tensor:
    numbers = [("<f4", span) for span in blob.spans(DATA)] + [("<f8", span) for span in blob.spans(DOUBLE_DATA)]
    if len(numbers) != 1:
        raise WeightsError(f"{path}: expected the numbers of {shown(name)} in one piece, found {len(numbers)} pieces")
    dtype, span = numbers[0]
    tensor = file_tensor(path, span.offset, _shape(blob, leading_ones), dtype)
    if span.size != tensor.nbytes:
        raise damaged(path, f"{shown(name)} has {span.size} bytes, which do not fit the shape {tensor.shape}")
    return tensor


def _shape(blob: Message, leading_ones: int) -> Shape:
    for shape in blob.messages(SHAPE):
        return tuple(shape.integers(DIM))
    sizes = [next(iter(blob.integers(field)), 1) for field in (NUM, CHANNELS, HEIGHT, WIDTH)]
    return tuple(sizes[leading_ones:] if sizes[:leading_ones] == [1] * leading_ones else sizes)
