"""How a large picture is cut so that a network keeps within so much memory."""

import dataclasses
import math

import keras
import numpy as np

from vggfcn.engine_table import ENGINES
from vggfcn.errors import MemoryLimitError
from vggfcn.memory import resident_bytes
from vggfcn.receptive_fields import receptive_field
from vggfcn.step_memory import activation_bytes

MAX_BLOCK = 256  # rows of the picture; more at once are not faster


@dataclasses.dataclass(frozen=True)
class Cut:
    """Rows of the picture that are computed at once, and columns of a strip, None for all."""

    block_rows: int
    strip_columns: int | None


def cut(model: keras.Model, size: tuple[int, int], max_memory: int, kept: int = 0, engine: str = "tensorflow") -> Cut:
    """The largest blocks that a picture of (height, width) can be computed in with `max_memory` bytes in all.

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
        f"max_memory: expected at least {least / 1e6:,.0f} MB for this picture and network, of which {held / 1e6:,.0f} "
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
