"""Reads Caffe's `.caffemodel`: a NetParameter whose layers hold blobs. Field numbers are those of `caffe.proto`."""

import dataclasses
import pathlib

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.protobuf import Message
from vggfcn.checkpoints.tensors import Container, FileFormat, Shape, Tensor, file_tensor
from vggfcn.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class LayerFields:
    """The field of NetParameter with the layers, the fields of a layer, and the type of a dense layer."""

    layers: int
    name: int
    type: int
    blobs: int
    dense: int | str


V1_LAYER, LAYER = LayerFields(2, 4, 5, 6, 14), LayerFields(100, 1, 2, 7, "InnerProduct")
# Fields of BlobProto: the four sizes of old files, the numbers as float or double, the shape of newer files, its sizes.
NUM, CHANNELS, HEIGHT, WIDTH = 1, 2, 3, 4
DATA, SHAPE, DIM, DOUBLE_DATA = 5, 7, 1, 8


def read(path: pathlib.Path) -> Container:
    """The blobs, named "<layer>/0" (kernel) and "<layer>/1" (bias)."""
    tensors: dict[str, Tensor] = {}
    with path.open("rb") as file:
        for fields in (V1_LAYER, LAYER):
            for layer in Message(path, file).messages(fields.layers):
                name = layer.text(fields.name)
                dense = fields.dense in [*layer.integers(fields.type), layer.text(fields.type)]
                for position, blob in enumerate(layer.messages(fields.blobs)):
                    # Old files write a dense kernel as (1, 1, out, in) and a bias as (1, 1, 1, out).
                    leading_ones = 3 if position else 2 if dense else 0
                    tensors[f"{name}/{position}"] = _tensor(path, f"{name}/{position}", blob, leading_ones)
    return Container(path, FileFormat.CAFFEMODEL, tensors)


def _tensor(path: pathlib.Path, name: str, blob: Message, leading_ones: int) -> Tensor:
    numbers = [("<f4", span) for span in blob.spans(DATA)] + [("<f8", span) for span in blob.spans(DOUBLE_DATA)]
    if len(numbers) != 1:
        raise WeightsError(f"{path}: expected the numbers of {name[:80]} in one piece, found {len(numbers)} pieces")
    dtype, span = numbers[0]
    tensor = file_tensor(path, span.offset, _shape(blob, leading_ones), dtype)
    if span.size != tensor.nbytes:
        raise damaged(path, f"{name[:80]} has {span.size} bytes, which do not fit the shape {tensor.shape}")
    return tensor


def _shape(blob: Message, leading_ones: int) -> Shape:
    for shape in blob.messages(SHAPE):
        return tuple(shape.integers(DIM))
    sizes = [next(iter(blob.integers(field)), 1) for field in (NUM, CHANNELS, HEIGHT, WIDTH)]
    return tuple(sizes[leading_ones:] if sizes[:leading_ones] == [1] * leading_ones else sizes)
