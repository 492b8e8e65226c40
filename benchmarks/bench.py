"""`make bench`: full-size VGG16, fully convolutional, in every way we know, side by side in one run.

    python benchmarks/bench.py [FOLDER]

Ways take turns at each image, each in a process of its own that stays: times are medians of several rounds after a
first one, which compiles. From 2048 x 2048 on, where not all find room at once, each begins anew in each round. Crops
are Keras's own VGG16 on the 676 windows of the 1024 x 1024 map, some timed in each round. Start-up and peak memory are
those of fresh processes, as are those of an image of 4096 x 4096, whole and streamed. Weights are random. FOLDER, by
default `docs`, gets `speed.json`, the figures, as they come; at the end `speed.png`, the plot, and the tables in
`speed.md`, between its two marks.

Takes three quarters of an hour, 20 GB of memory, 2 GB of disk, and at the first time the download of PyTorch and ONNX
Runtime into `.venv-peers`.
"""

import contextlib
import itertools
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from report import BASE, CROPPED, MARKS, insert, markdown, plot
from rich.console import Console
from ways import WAYS, WINDOW

ROOT = pathlib.Path(__file__).parent.parent
PEERS = ("ONNX Runtime", "PyTorch", "PyTorch, compiled")
PACKAGES = ("torch==2.13.0", "onnx", "onnxruntime", "matplotlib")
ROUNDS = {224: 9, 512: 5, 1024: 5, 2048: 2}
# The longest side that a way is given; compiling takes longest for some of these.
LONGEST = {"tf.function": 1024, "tf.function, XLA": 1024, "PyTorch": 1024, "PyTorch, compiled": 1024, "crops": 1024}
STREAMED = 1024  # the shortest side worth while
# Where the whole image only just fits, on TensorFlow.
LARGE, LARGE_ROUNDS = 4096, 2
STARTS = 2
AT_ONCE = 32
# Crops in each round: one by one, and so many at once.
CROPS = {1: 52, AT_ONCE: 2 * AT_ONCE}
status = Console(stderr=True)


class Worker:
    """A process of `ways.py`; `start` is how long it took to be ready."""

    def __init__(self, way: str, weights: pathlib.Path, cache: pathlib.Path):
        python = peers_python() if way in PEERS else sys.executable
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "VGGFCN_CACHE": str(cache)}
        command = [python, str(ROOT / "benchmarks/ways.py"), way, str(weights)]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 Closed with the worker.
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment
        )
        self.way = way
        self.start = self._answer()

    def ask(self, **what) -> dict:
        print(json.dumps(what), file=self.process.stdin, flush=True)
        return self._answer()

    def seconds(self, **what) -> float:
        return self.ask(**what)["seconds"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"{self.way}: {self.errors.read().decode()[-3000:]}")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def peers_python() -> str:
    """An environment of its own for what this project does not need."""
    python = ROOT / ".venv-peers/bin/python"
    if not python.exists():
        status.print("setting up .venv-peers")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parent.parent)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def write_weights(path: pathlib.Path) -> None:
    """Random ones, in the published layout, and beside it as plain arrays."""
    sys.path.append(str(ROOT / "tests"))
    from writers import he_arrays, write_published_layout

    from vggfcn.networks.catalogue import ARCHITECTURES

    layers = list(he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
    write_published_layout(path, layers)
    arrays = {}
    for number, (name, kernel, bias) in enumerate(layers):
        if not number:
            kernel = kernel[:, :, ::-1]  # The published weights want blue first, these arrays red.
        size = {"fc1": 7}.get(name, 1)
        arrays[f"kernel{number}"] = kernel if kernel.ndim == 4 else kernel.reshape(size, size, -1, kernel.shape[-1])
        arrays[f"bias{number}"] = bias
    np.savez(path.with_name("arrays.npz"), **arrays)


def ways_at(side: int) -> list[str]:
    names = [name for name in (*WAYS, *PEERS) if name != "crops" and side <= LONGEST.get(name, side)]
    return [name for name in names if side >= STREAMED or "streamed" not in name]


def measure_starts(weights: pathlib.Path, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Seconds until the first 224 x 224 result, in parts, and the peak once a 1024 x 1024 image was run, in bytes.

    Where something is kept on disk, the first start of a way is called cold, and only the others count for its own row.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(STARTS):
        for way in ("crops", *ways_at(CROPPED)):
            status.print(f"start-up {number + 1} of {STARTS}: {way}")
            with Worker(way, weights, folder / "cache") as worker:
                first = worker.seconds(side=WINDOW)
                if way != "crops":
                    worker.ask(side=CROPPED)
                row = {**worker.start, "first": first, **worker.ask(memory=True)}
            cold = way == "vggfcn, OpenVINO" and not number
            found.setdefault(f"{way}, nothing kept" if cold else way, []).append(row)
    return {way: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for way, rows in found.items()}


def measure_times(weights: pathlib.Path, folder: pathlib.Path) -> Iterator[tuple[int, dict]]:
    """Each side, and by way the first seconds, all others, and the largest difference from `predict`; and crops'."""
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(way, weights, folder / "cache")) for way in ("crops", *ways_at(CROPPED))
        }
        for side in filter(together, ROUNDS):
            yield side, measure_side(side, folder, lambda way: contextlib.nullcontext(workers[way]))
    for side in itertools.filterfalse(together, ROUNDS):
        yield side, measure_side(side, folder, lambda way: Worker(way, weights, folder / "cache"))


def together(side: int) -> bool:
    """Whether all ways find room beside each other; else each begins anew in each round."""
    return side <= CROPPED


def measure_side(side: int, folder: pathlib.Path, worker: Callable) -> dict:
    expected = np.zeros(())  # until BASE, which is the first way, has run
    first: dict[str, float] = {}
    different: dict[str, float] = {}
    seconds: dict[str, list[float]] = {way: [] for way in ways_at(side)}
    crops: dict[int, list[float]] = {at_once: [] for at_once in CROPS if side == CROPPED}
    for number in range(ROUNDS[side]):
        status.print(f"{side} x {side}: round {number + 1} of {ROUNDS[side]}")
        for way, values in seconds.items():
            with worker(way) as process:
                if way not in first or not together(side):
                    path = folder / "logits.npy"
                    first[way] = process.seconds(side=side, save=str(path))
                    logits = np.load(path)
                    expected = logits if way == BASE else expected
                    different[way] = float(np.abs(logits - expected).max())
                values.append(process.seconds(side=side))
        for at_once, values in crops.items():
            with worker("crops") as process:
                if not values:
                    process.ask(crops=at_once, at_once=at_once)
                # One crop's, from as many as are given in a round.
                values.append(process.seconds(crops=CROPS[at_once], at_once=at_once) / CROPS[at_once])
    return {
        "first": first,
        "seconds": seconds,
        "difference": different,
        "largest logit": float(np.abs(expected).max()),
        "one crop": crops,
        "load": os.getloadavg()[0],
    }


def measure_large(weights: pathlib.Path, folder: pathlib.Path) -> dict[str, dict]:
    """By way, the seconds of each round and the peak in bytes; `difference` is that of the streamed map."""
    ways = ("vggfcn, TensorFlow", "vggfcn, TensorFlow, streamed")
    save = [folder / "whole.npy", folder / "streamed.npy"]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(way, weights, folder / "cache")) for way in ways]
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(LARGE_ROUNDS):
            status.print(f"{LARGE} x {LARGE}: round {number + 1} of {LARGE_ROUNDS}")
            for worker, path in zip(workers, save, strict=True):
                seconds[worker.way].append(worker.seconds(side=LARGE, save=str(path)))
        peaks = {worker.way: worker.ask(memory=True)["bytes"] for worker in workers}
    whole, streamed = map(np.load, save)
    return {
        "side": LARGE,
        "seconds": seconds,
        "bytes": peaks,
        "difference": float(np.abs(whole - streamed).max()),
        "largest logit": float(np.abs(whole).max()),
    }


def machine() -> dict[str, str]:
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    names = re.findall(r"model name\s*: (.*)", cpuinfo) or [platform.processor()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    listed = subprocess.run(
        [peers_python(), "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    ).stdout
    peers = {item["name"].lower(): item["version"] for item in json.loads(listed)}
    return {
        "processor": f"{os.cpu_count()} cores of {names[0]}, AVX-512: {'yes' if 'avx512f' in cpuinfo else 'no'}",
        "memory": f"{memory:.0f} GiB",
        "python": platform.python_version(),
        **{name: version(name) for name in ("tensorflow", "keras", "openvino", "numpy")},
        **{name: peers[name] for name in ("torch", "onnxruntime")},
    }


def main() -> None:
    to = pathlib.Path(sys.argv[1] if sys.argv[1:] else ROOT / "docs")
    page = to / "speed.md"
    if not page.exists() or any(mark not in page.read_text() for mark in MARKS):
        raise SystemExit(f"{page}: expected a page with the lines {' and '.join(map(str.strip, MARKS))}")
    peers_python()
    figures: dict[str, Any] = {"machine": machine(), "starts of each": STARTS, "times": {}}

    def keep(**found: Any) -> None:
        figures.update(found)
        (to / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        weights = folder / "vgg16.h5"
        write_weights(weights)
        keep(starts=measure_starts(weights, folder))
        for side, times in measure_times(weights, folder):
            keep(times=figures["times"] | {str(side): times})
        keep(large=measure_large(weights, folder))
    plot(figures, to / "speed.png", peers_python())
    text = markdown(figures)
    insert(text, page)
    print(text)


if __name__ == "__main__":
    main()
