"""How much memory a streamed network takes beside its weights, from its graph."""

import math

import keras
import tensorflow as tf

from vggfcn.flat_graph import Tensor
from vggfcn.receptive_fields import receptive_field
from vggfcn.row_plans import Block
from vggfcn.streaming import Stream


def activation_bytes(model: keras.Model, width: int, block_rows: int = 128) -> int:
    """An estimate of the most bytes that maps take at once while pictures of that width are streamed, at any height.

    Weights are not in it, nor what TensorFlow takes for itself, such as copies of kernels in another order. Raises what
    `Stream` does.
    """
    # High enough for blocks in the middle: what a cell sees, and a block at either end.
    height = receptive_field(model).rows.size + 4 * block_rows
    return _most_bytes(Stream(model, (height, width), block_rows))


def _most_bytes(stream: Stream) -> int:
    blocks = {scheduled.block for scheduled in stream.plan.schedule(stream.cells)}
    return max(_bytes(stream, block) for block in blocks)


def _bytes(stream: Stream, block: Block) -> int:
    """What a step takes when its layers run one after the other, and a map is let go after the last one that reads it.

    A layer's output lies beside what it reads: kept and new rows put together, and that once more with its padding.
    """
    row = [_row_bytes(tensor) for tensor in stream.network.tensors]
    calls = [(call, views) for call, views in zip(stream.network.calls, block.views, strict=True) if views]
    last = {source.number: place for place, (call, _) in enumerate(calls) for source in call.sources}
    # Kept rows are there from before until after the step; those for the next one come to be in it.
    held = sum(2 * kept * size for kept, size in zip(block.kept, row, strict=True))
    held += block.made[0] * row[0]
    most = held
    for place, (call, views) in enumerate(calls):
        given = sum(
            (view.stop - view.start + view.above + view.below) * row[source.number]
            for source, view in zip(call.sources, views, strict=True)
        )
        held += block.made[call.target.number] * row[call.target.number]
        most = max(most, held + 2 * given if call.rows.dilated_size > 1 else held)
        held -= sum(block.made[number] * row[number] for number, end in last.items() if end == place)
    return most


def _row_bytes(tensor: Tensor) -> int:
    """One row of a map."""
    return math.prod(tensor.shape(1)) * tf.as_dtype(tensor.tensor.dtype).size
