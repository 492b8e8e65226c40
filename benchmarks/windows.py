"""The dense map of a picture beside its windows one by one, with full-size VGG16 on TensorFlow, in one run.

The picture is 1024 x 1024, its map 26 x 26, so there are 676 windows; weights are random. Stock `model.predict`
everywhere, on the converted network for the map, on the original for the windows. Of the windows one by one every
13th is timed, dense maps in between; batches of 32 likewise. Operations are the multiplications and additions of
convolutions and dense layers. Prints a Markdown table. Takes about three minutes and 2 GB of memory.
"""

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

import vggfcn

SIDE, WINDOW, STRIDE, BATCH = 1024, 224, 32, 32
ROUNDS = 5


def operations(model: keras.Model, side: int) -> int:
    """Multiplications and additions of the converted network on a square picture."""
    total, shape = 0, (1, side, side, 3)
    for layer in model.layers[1:]:
        shape = layer.compute_output_shape(shape)
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * int(np.prod(layer.kernel.shape)) * shape[1] * shape[2]
    return total


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main() -> None:
    converted = vggfcn.build(weights=None)
    original = vggfcn.build(weights=None, head="dense")
    picture = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    starts = range(0, SIDE - WINDOW + 1, STRIDE)
    windows = np.stack([picture[y : y + WINDOW, x : x + WINDOW] for y in starts for x in starts])
    jobs: dict[str, Callable[[], object]] = {
        "dense": lambda: converted.predict(picture[None], verbose=0),
        "one by one": lambda: [original.predict(window[None], verbose=0) for window in windows[::13]],
        "batches": lambda: original.predict(windows[: 2 * BATCH], batch_size=BATCH, verbose=0),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in track(range(ROUNDS), "rounds", console=Console(stderr=True)):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    median = {name: statistics.median(values) for name, values in times.items()}
    count = len(windows)
    whole = {
        "dense map": (median["dense"], operations(converted, SIDE)),
        f"{count} windows, {BATCH} at once": (
            median["batches"] * count / (2 * BATCH),
            count * operations(converted, WINDOW),
        ),
        f"{count} windows one by one": (
            median["one by one"] * count / len(windows[::13]),
            count * operations(converted, WINDOW),
        ),
    }
    print("| | seconds | of the dense map | GFLOP | of the dense map |\n|---|---|---|---|---|")
    base_time, base_count = whole["dense map"]
    for name, (elapsed, flops) in whole.items():
        print(f"| {name} | {elapsed:.1f} | {elapsed / base_time:.1f} | {flops / 1e9:,.0f} | {flops / base_count:.1f} |")


if __name__ == "__main__":
    main()
