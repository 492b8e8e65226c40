"""Measure how fast this machine runs a network with stock Keras and with each engine, and describe the machine."""

import dataclasses
import importlib.metadata
import itertools
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from vggfcn.engines.engine import compile as compiled
from vggfcn.engines.table import AUTO, ENGINES
from vggfcn.errors import EngineError
from vggfcn.progress import Progress

PREDICT = "model.predict"
ROUNDS = 7
PACKAGES = ("vggfcn", "tensorflow", "keras", "numpy", *(name for spec in ENGINES.values() for name in spec.needs))


@dataclasses.dataclass(frozen=True)
class Timing:
    """The times of one way to run a network on one image: `way` is "model.predict" or the name of an engine.

    `start_seconds` is the time to compile the network and run it once, `seconds` the time of each later run. `ratio`
    is the median time of `model.predict` divided by this median.
    """

    way: str
    start_seconds: float
    seconds: list[float]
    median_seconds: float
    images_per_second: float
    ratio: float


def time_network(
    model: keras.Model, size: int, engine: str, progress: Progress = lambda done, total: None
) -> tuple[list[Timing], str]:
    """Time a network on a square image of random pixels, with `model.predict` and with an engine.

    Each way runs once first; this is its start. Then they take turns for `ROUNDS` rounds, so that whatever else the
    machine does slows all of them alike.

    - `model`: a fully convolutional Keras model.
    - `size`: the image's sides in pixels.
    - `engine`: a name from `engines.table.NAMES`; "auto" times every engine that can run the network here.
    - `progress`: called with the number of runs that are finished, and their total.

    Returns the timings, and a note on why an engine was left out, or "". Raises `EngineError` if the engine asked for
    by name cannot run the network.
    """
    channels = model.inputs[0].shape[-1]
    batch = np.random.default_rng(0).integers(0, 256, (1, size, size, channels)).astype(np.float32)
    ways: dict[str, Callable[[], object]] = {}
    starts: dict[str, float] = {}
    note = ""
    for name in (PREDICT, *(ENGINES if engine == AUTO else [engine])):
        start = time.perf_counter()
        try:
            ways[name] = _way(model, name, batch)
        except EngineError as error:
            if engine != AUTO:
                raise
            note = str(error)
            continue
        ways[name]()
        starts[name] = time.perf_counter() - start
    seconds = in_turns(ways, ROUNDS, progress)
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    timings = [
        Timing(name, starts[name], seconds[name], median, 1 / median, medians[PREDICT] / median)
        for name, median in medians.items()
    ]
    return timings, note


def _way(model: keras.Model, name: str, batch: np.ndarray) -> Callable[[], object]:
    if name == PREDICT:
        return lambda: model.predict(batch, verbose=0)
    run = compiled(model, name)
    return lambda: run(batch)


def in_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, progress: Progress = lambda done, total: None
) -> dict[str, list[float]]:
    """Run every way once in each round, and return the seconds of each way by round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done, (_, name) in enumerate(itertools.product(range(rounds), ways)):
        progress(done, rounds * len(ways))
        start = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - start)
    return seconds


def machine() -> dict[str, Any]:
    """The machine: the processor's name, the cores that this process may use, the system, and package versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def _processor() -> str:
    """The processor's name from /proc/cpuinfo on Linux; elsewhere what Python reports."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
