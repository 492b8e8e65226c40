"""Choose how to cut a large image so that a network stays within a memory limit, and estimate what its maps take."""

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

MAX_BLOCK = 256  # rows of the image; larger blocks are not faster


@dataclasses.dataclass(frozen=True)
class Cut:
    """Rows of the image in a block, and columns in a strip; None stands for the full width."""

    block_rows: int
    strip_columns: int | None


def cut(model: keras.Model, size: tuple[int, int], max_memory: int, kept: int = 0, engine: str = "tensorflow") -> Cut:
    """The largest blocks of an image that `max_memory` allows; strips only if whole rows take too much.

    - `model`: as for `Stream`.
    - `size`: (height, width) of the image in pixels.
    - `max_memory`: bytes for the whole process, including what it holds already, such as the model's weights.
    - `kept`: further bytes that the caller needs meanwhile.
    - `engine`: the engine that will run the model.

    Raises `MemoryLimitError`, which says how much is needed, if `max_memory` is too small.
    """
    stride = receptive_field(model, size=size).rows.stride
    spec = ENGINES[engine]
    held = resident_bytes() + kept + round(spec.weights_factor * _weights(model))
    blocks = [stride * count for count in _halves(max(1, MAX_BLOCK // stride))]
    needed = 0
    for columns in [None, *_strips(model, size)]:
        for rows in blocks if columns is None else blocks[-3:]:
            needed = held + round(spec.maps_factor * activation_bytes(model, columns or size[1], rows))
            if needed <= max_memory:
                return Cut(rows, columns)
    raise MemoryLimitError(
        f"max_memory: expected at least {needed / 1e6:,.0f} MB for this image and network, of which {held / 1e6:,.0f} "
        f"MB are in use already, got {max_memory / 1e6:,.0f} MB; allow more, or write the map to a file"
    )


def _halves(count: int) -> list[int]:
    """`count`, half of it, and so on down to 1."""
    halves = [count]
    while halves[-1] > 1:
        halves.append(halves[-1] // 2)
    return halves


def _strips(model: keras.Model, size: tuple[int, int]) -> list[int]:
    """Widths of strips to try, from wide to narrow, none less than twice the receptive field."""
    seen = receptive_field(model, size=size).columns.size
    return [width for parts in (2, 3, 4, 6, 8, 12, 16, 24, 32) if (width := size[1] // parts) >= 2 * seen]


def _weights(model: keras.Model) -> int:
    """Bytes of the model's weights."""
    return sum(math.prod(weight.shape) * np.dtype(weight.dtype).itemsize for weight in model.weights)


def activation_bytes(model: keras.Model, width: int, block_rows: int = 128) -> int:
    """Estimate the most bytes that maps take at once while an image `width` pixels wide is streamed, at any height.

    Weights are not included, nor TensorFlow's own copies, such as kernels in another order. Raises as `Stream` does.
    """
    # High enough for a block in the middle: the receptive field, and more blocks at either end.
    height = receptive_field(model).rows.size + 4 * block_rows
    return _most_bytes(Stream(model, (height, width), block_rows))


def _most_bytes(stream: Stream) -> int:
    blocks = {scheduled.block for scheduled in stream.plan.schedule(stream.cells)}
    return max(_bytes(stream, block) for block in blocks)


def _bytes(stream: Stream, block: Block) -> int:
    """The most bytes in a step whose layers run in order and which frees a map after the last layer that reads it.

    While a layer that slides runs, its output lies beside two copies of its input: kept and new rows joined, and the
    same padded.
    """
    row = [_row_bytes(tensor) for tensor in stream.network.tensors]
    calls = [(call, views) for call, views in zip(stream.network.calls, block.views, strict=True) if views]
    last = {source.number: place for place, (call, _) in enumerate(calls) for source in call.sources}
    # Rows kept from earlier steps stay until the end of the step, and those for later steps are made within it.
    live = sum(2 * kept * size for kept, size in zip(block.kept, row, strict=True))
    live += block.made[0] * row[0]
    most = live
    for place, (call, views) in enumerate(calls):
        read = sum(
            (view.stop - view.start + view.above + view.below) * row[source.number]
            for source, view in zip(call.sources, views, strict=True)
        )
        live += block.made[call.target.number] * row[call.target.number]
        most = max(most, live + 2 * read if call.rows.dilated_size > 1 else live)
        live -= sum(block.made[number] * row[number] for number, end in last.items() if end == place)
    return most


def _row_bytes(tensor: Tensor) -> int:
    """Bytes of one row of a map."""
    return math.prod(tensor.shape(1)) * tf.as_dtype(tensor.tensor.dtype).size
