"""The two ways in which a network is evaluated all over a picture: densely, or window by window."""

from collections.abc import Callable

import keras
import numpy as np

from vggfcn.engines import Engine, engine_of
from vggfcn.geometry import Geometry, ReceptiveField
from vggfcn.output_stride import with_output_stride
from vggfcn.receptive_fields import receptive_field

# Windows that are evaluated at once.
BATCH = 32


class Dense:
    """The network is run on the whole picture; windows share what they have in common."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.model = with_output_stride(model, output_stride) if output_stride else model
        self.engine = engine_of(self.model, engine)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where cells lie on a picture of (height, width) pixels."""
        return receptive_field(self.model, size=size)

    def steps(self, size: tuple[int, int]) -> int:
        """How many steps a picture of that size takes."""
        return 1

    def run(self, picture: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is told how many steps have been made."""
        logits = self.engine(picture[None])[0]
        tick(1)
        return logits


class Windows:
    """Each window is cut out and evaluated alone. At its native size the converted network is the original."""

    def __init__(self, model: keras.Model, output_stride: int | None, engine: str | Engine):
        self.engine = engine_of(model, engine)
        seen = receptive_field(model)
        strides = (output_stride, output_stride) if output_stride else seen.stride
        # A window alone sees nothing beyond itself: padding is part of the network.
        rows, columns = (
            ReceptiveField(axis.window, stride, padding=0)
            for axis, stride in zip((seen.rows, seen.columns), strides, strict=True)
        )
        self.geometry = Geometry(rows, columns)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where windows lie; the same on pictures of all sizes."""
        return self.geometry

    def steps(self, size: tuple[int, int]) -> int:
        """How many windows there are on a picture of (height, width) pixels."""
        return self.geometry.rows.cells(size[0]) * self.geometry.columns.cells(size[1])

    def run(self, picture: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (rows, columns, classes); `tick` is told how many windows are done."""
        rows, columns = self.geometry.rows, self.geometry.columns
        cells = rows.cells(picture.shape[0]), columns.cells(picture.shape[1])
        spans = [(rows.window_span(u), columns.window_span(v)) for u, v in np.ndindex(cells)]
        logits = []
        for start in range(0, len(spans), BATCH):
            some = spans[start : start + BATCH]
            batch = np.stack([picture[top:bottom, left:right] for (top, bottom), (left, right) in some])
            logits.append(self.engine(batch)[:, 0, 0])
            tick(len(some))
        return np.concatenate(logits).reshape(*cells, -1)


EVALUATORS: dict[str, type[Dense | Windows]] = {"dense": Dense, "windows": Windows}
