"""How fast this machine runs a network: stock Keras and each engine, in turns, and what machine it is."""

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
    """One way to run a network on one image.

    `start_seconds` is what it took to compile the network for it and to run it once, `seconds` each later run;
    `ratio` is the time that `model.predict` took over this one's, both medians.
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
    """Time a network on a square image of random pixels, by `model.predict` and by an engine of `engine_table.NAMES`.

    "auto" stands for all that can run the network here; the text says why one is left out, "" if none is. After a first
    run of each, which is counted as its start, the ways take turns for `ROUNDS` rounds, so that whatever else the
    machine does falls on all of them alike. Raises `EngineError` if an engine that is asked for cannot run it.
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
    medians = {name: statistics.median(some) for name, some in seconds.items()}
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
    """Seconds of each way in each round; a round runs every way once."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done, (_, name) in enumerate(itertools.product(range(rounds), ways)):
        progress(done, rounds * len(ways))
        start = time.perf_counter()
        ways[name]()
        seconds[name].append(time.perf_counter() - start)
    return seconds


def machine() -> dict[str, Any]:
    """What it was measured on: the processor's name, its cores that this process may use, the system, and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def _processor() -> str:
    """The name in Linux's list of processors; elsewhere what Python knows of it."""
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
