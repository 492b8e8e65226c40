"""Engines beside stock Keras on full-size VGG16, fully convolutional: time for each picture, start-up and memory.

Times: `model.predict`, both engines, and OpenVINO driven by hand (`openvino.convert_model`, compiled for that one size)
in one process and in turns, after a first round that is shown apart. Start-up and memory: each way in fresh processes,
from the imports to the first result at 224 x 224, then one picture of 1024 x 1024; with OpenVINO once with nothing kept
on disk and once with what the first left. Needs 1.8 GB of disk in a temporary folder for a weight file of random
numbers and the kept network.

Prints Markdown; with a path as its argument it also writes the figures there as JSON.
"""

import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console

SIZES = {224: 15, 512: 9, 1024: 5}  # rounds
STARTS = 3
TESTS = pathlib.Path(__file__).parent.parent / "tests"
WAYS = ("predict", "tensorflow", "openvino", "openvino by hand")
STARTED = ("predict", "tensorflow", "openvino, cold", "openvino, warm", "openvino by hand")
WRITE = """
import sys; sys.path.insert(0, {tests!r})
import numpy as np
from writers import he_arrays, write_published_layout
from vggfcn.architectures import ARCHITECTURES
write_published_layout({path!r}, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
"""


def picture(size):
    import numpy as np

    return np.random.default_rng(size).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


def by_hand(model, shape):
    import openvino

    network = openvino.convert_model(model)
    network.reshape(shape)
    configuration = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(network, "CPU", configuration)
    return lambda batch: compiled(batch)[0]


def runner(way, model, shape=(-1, -1, -1, 3)):
    from vggfcn.engines import compile as compiled

    if way == "predict":
        return lambda batch: model.predict(batch, verbose=0)
    return by_hand(model, list(shape)) if way.endswith("by hand") else compiled(model, way.split(",")[0])


def measure_times(path):
    """{size: {way: [first, median of the others, largest relative difference from predict]}}"""
    import numpy as np

    from vggfcn import build

    model, found = build(weights=path), {}
    engines = {way: runner(way, model) for way in WAYS[:3]}
    for size, rounds in SIZES.items():
        batch, seconds, outputs = picture(size), {way: [] for way in WAYS}, {}
        jobs = {**engines, WAYS[3]: runner(WAYS[3], model, batch.shape)}
        for _ in range(rounds + 1):
            for way, job in jobs.items():
                start = time.perf_counter()
                outputs[way] = job(batch)
                seconds[way].append(time.perf_counter() - start)
        expected = outputs["predict"]
        found[size] = {
            way: [
                values[0],
                statistics.median(values[1:]),
                float(np.abs(outputs[way] - expected).max() / np.abs(expected).max()),
            ]
            for way, values in seconds.items()
        }
        del jobs
    return found


def memory():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    values = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
    return [values[name] * 1024 for name in ("VmHWM", "VmRSS", "RssAnon")]


def measure_start(way, path):
    """Seconds of imports, building, making ready and the first result; memory after the imports and at the end."""
    clock = [time.perf_counter()]
    import tensorflow as tf

    from vggfcn import build

    tf.constant(0.0)
    if way.startswith("openvino"):
        import openvino  # noqa: F401
    clock.append(time.perf_counter())
    before = memory()
    model = build(weights=path)
    clock.append(time.perf_counter())
    run = runner(way, model)
    clock.append(time.perf_counter())
    run(picture(224))
    clock.append(time.perf_counter())
    run(picture(1024))
    after = memory()
    parts = [end - start for start, end in itertools.pairwise(clock)]
    return [*parts, *(now - then for now, then in zip(after, before, strict=True))]


def fresh(what, path, environment):
    command = [sys.executable, __file__, "--measure", what, path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measure_all():
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "vgg16.h5")
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        write = WRITE.format(tests=str(TESTS), path=path)
        subprocess.run([sys.executable, "-c", write], check=True, env=environment)
        figures = {"load": [os.getloadavg()], "weights": pathlib.Path(path).stat().st_size}
        starts = {way: [] for way in STARTED}
        for number in range(STARTS):
            for way in STARTED:  # "cold" before "warm", in a cache folder of this round.
                cache = {"VGGFCN_CACHE": str(pathlib.Path(folder) / f"cache{number}")}
                starts[way].append(fresh(way, path, environment | cache))
            figures["load"].append(os.getloadavg())
        figures["times"] = fresh("times", path, environment | {"VGGFCN_CACHE": str(pathlib.Path(folder) / "cache0")})
        figures["load"].append(os.getloadavg())
    figures["starts"] = {
        way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in starts.items()
    }
    return figures


def markdown(figures):
    lines = [
        "| picture | | first, s | median, s | times as fast as `predict` | difference |",
        "|---|---|---|---|---|---|",
    ]
    for size, ways in figures["times"].items():
        for way, (first, median, difference) in ways.items():
            ratio = ways["predict"][1] / median
            lines.append(f"| {size} | {way} | {first:.3f} | {median:.3f} | {ratio:.2f} | {difference:.1e} |")
    columns = ("imports, s", "build, s", "compile, s", "first 224 x 224, s", "peak", "at the end", "of it not a file's")
    lines += ["", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for way, values in figures["starts"].items():
        seconds = (f"{value:.2f}" for value in values[:4])
        sizes = (f"{value / figures['weights']:.2f}" for value in values[4:])
        lines.append(f"| {way} | {' | '.join((*seconds, *sizes))} |")
    loads = ", ".join(f"{load[0]:.1f}" for load in figures["load"])
    return "\n".join(
        [*lines, "", f"Memory in multiples of the weights, beyond what the imports took. Load of the machine: {loads}."]
    )


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        what, path = sys.argv[2:]
        print(json.dumps(measure_times(path) if what == "times" else measure_start(what, path)))
        return
    figures = measure_all()
    Console(soft_wrap=True).print(markdown(figures), markup=False, highlight=False)
    if sys.argv[1:]:
        pathlib.Path(sys.argv[1]).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
