"""How far the dense map of an image is from its windows evaluated one by one, and how much faster it was."""

import dataclasses
import time
from collections.abc import Callable

import keras
import numpy as np

from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.difference import Difference
from vggfcn.engines.engine import engine_of
from vggfcn.evaluation.score_map import score_map
from vggfcn.maps.score_map import ScoreMap
from vggfcn.progress import Progress


@dataclasses.dataclass(frozen=True)
class Comparison(Difference):
    """The dense map beside the original network on each window alone.

    Differences are those of logits, over all cells and classes: `mean_abs_error`, the largest, `max_abs_error`, and
    `max_rel_error`, that over `largest`, the windows' largest absolute logit. `same_class` is the share of cells whose
    most probable class is the same. `cells` is (rows, columns), `engine` what ran both. Seconds are for all cells; what
    is done once for any number of images is left out.
    """

    cells: tuple[int, int]
    mean_abs_error: float
    same_class: float
    dense_seconds: float
    windows_seconds: float
    engine: str

    @property
    def speedup(self) -> float:
        """How many times as long the windows took."""
        return self.windows_seconds / self.dense_seconds


def compare(
    model: keras.Model,
    image: np.ndarray,
    *,
    output_stride: int | None = None,
    engine: str = "tensorflow",
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate an image densely and window by window, in batches; arguments and errors are those of `score_map`.

    Where SAME padding gives the dense map a cell for which there is no whole window, that cell is left out.
    """
    finer = with_output_stride(model, output_stride) if output_stride else model
    # Whatever is set up at the first call is not counted.
    engine_of(model, engine)
    score_map(finer, image, engine=engine)
    dense, dense_seconds = _timed(lambda: score_map(finer, image, engine=engine))
    windows, windows_seconds = _timed(
        lambda: score_map(model, image, output_stride=output_stride, mode="windows", engine=engine, progress=progress)
    )
    cells = windows.logits.shape[:2]
    ours, theirs = dense.logits[: cells[0], : cells[1]], windows.logits
    return Comparison(
        **dataclasses.asdict(Difference.between(theirs, ours)),
        cells=cells,
        mean_abs_error=float(np.abs(ours - theirs).mean()),
        same_class=float((ours.argmax(-1) == theirs.argmax(-1)).mean()),
        dense_seconds=dense_seconds,
        windows_seconds=windows_seconds,
        engine=dense.engine or engine,
    )


def _timed(job: Callable[[], ScoreMap]) -> tuple[ScoreMap, float]:
    start = time.perf_counter()
    return job(), time.perf_counter() - start
