"""Compare the dense map of an image with its windows evaluated one by one: the difference, and the speedup."""

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
    """How far the dense map is from the original network on each window, and the time of both.

    The errors are differences of logits over all cells and classes: their mean, `mean_abs_error`; the largest,
    `max_abs_error`; and `max_rel_error`, the largest divided by `largest`, the windows' largest absolute logit.
    `same_class` is the share of cells, in [0, 1], with the same most probable class. `cells` is (rows, columns).
    `engine` ran both. The seconds are for all cells, without what is done once for any number of images.
    """

    cells: tuple[int, int]
    mean_abs_error: float
    same_class: float
    dense_seconds: float
    windows_seconds: float
    engine: str

    @property
    def speedup(self) -> float:
        """The time of the windows divided by that of the dense map."""
        return self.windows_seconds / self.dense_seconds


def compare(
    model: keras.Model,
    image: np.ndarray,
    *,
    output_stride: int | None = None,
    native_size: tuple[int, int] | None = None,
    engine: str = "tensorflow",
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate an image densely, and window by window in batches; arguments and errors are those of `score_map`.

    With SAME padding, the dense map may have cells for which there is no whole window; these are left out.
    """
    finer = with_output_stride(model, output_stride) if output_stride else model
    # Setup at the first call is not timed.
    engine_of(model, engine)
    score_map(finer, image, engine=engine)
    dense, dense_seconds = _timed(lambda: score_map(finer, image, engine=engine))
    windows, windows_seconds = _timed(
        lambda: score_map(
            model,
            image,
            output_stride=output_stride,
            mode="windows",
            native_size=native_size,
            engine=engine,
            progress=progress,
        )
    )
    cells = windows.logits.shape[:2]
    dense_logits = dense.logits[: cells[0], : cells[1]]
    return Comparison(
        **dataclasses.asdict(Difference.between(windows.logits, dense_logits)),
        cells=cells,
        mean_abs_error=float(np.abs(dense_logits - windows.logits).mean()),
        same_class=float((dense_logits.argmax(-1) == windows.logits.argmax(-1)).mean()),
        dense_seconds=dense_seconds,
        windows_seconds=windows_seconds,
        engine=dense.engine or engine,
    )


def _timed(job: Callable[[], ScoreMap]) -> tuple[ScoreMap, float]:
    start = time.perf_counter()
    return job(), time.perf_counter() - start
