"""How a large image is cut so that a network keeps within so much memory, and how much its maps take."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.table import ENGINES
from vggfcn.errors import MemoryLimitError
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.memory import resident_bytes
from vggfcn.streaming.flat_graph import Tensor
from vggfcn.streaming.schedule import Block
from vggfcn.streaming.stream import Stream

MAX_BLOCK = 256  # rows of the image; more at once are not faster


@dataclasses.dataclass(frozen=True)
class Cut:
    """Rows of the image that are computed at once, and columns of a strip, None for all."""

    block_rows: int
    strip_columns: int | None


def cut(model: keras.Model, size: tuple[int, int], max_memory: int, kept: int = 0, engine: str = "tensorflow") -> Cut:
    """The largest blocks that an image of (height, width) can be computed in with `max_memory` bytes in all.

    In it is what this process holds already, the model's weights among it, and `kept` bytes more. Whole rows come
    first, then strips of columns. Raises `MemoryLimitError`, which says how much is needed, if that is too little.
    """
    stride = receptive_field(model, size=size).rows.stride
    spec = ENGINES[engine]
    held = resident_bytes() + kept + round(spec.weights_factor * _weights(model))
    blocks = [stride * count for count in _halves(max(1, MAX_BLOCK // stride))]
    least = 0
    for columns in [None, *_strips(model, size)]:
        for rows in blocks if columns is None else blocks[-3:]:
            least = held + round(spec.maps_factor * activation_bytes(model, columns or size[1], rows))
            if least <= max_memory:
                return Cut(rows, columns)
    raise MemoryLimitError(
        f"max_memory: expected at least {least / 1e6:,.0f} MB for this image and network, of which {held / 1e6:,.0f} "
        f"MB are taken already, got {max_memory / 1e6:,.0f} MB; allow more, or write the map to a file"
    )


def _halves(count: int) -> list[int]:
    found = [count]
    while found[-1] > 1:
        found.append(found[-1] // 2)
    return found


def _strips(model: keras.Model, size: tuple[int, int]) -> list[int]:
    """Widths of strips, from wide to narrow, none narrower than twice what a cell sees."""
    seen = receptive_field(model, size=size).columns.size
    return [width for parts in (2, 3, 4, 6, 8, 12, 16, 24, 32) if (width := size[1] // parts) >= 2 * seen]


def _weights(model: keras.Model) -> int:
    """Bytes."""
    return sum(math.prod(weight.shape) * np.dtype(weight.dtype).itemsize for weight in model.weights)


def activation_bytes(model: keras.Model, width: int, block_rows: int = 128) -> int:
    """An estimate of the most bytes that maps take at once while images of that width are streamed, at any height.

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
