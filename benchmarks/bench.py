"""`make bench`: full-size VGG16, fully convolutional, in every way we know, side by side in one run.

    python benchmarks/bench.py [FOLDER]

Ways take turns at each picture, each in a process of its own that stays: times are medians of several rounds after a
first one, which compiles. Crops are Keras's own VGG16 on the 676 windows of the 1024 x 1024 map, some timed in
each round. Start-up and peak memory are those of fresh processes. Weights are random. FOLDER, by default `docs`,
gets `speed.json`, the figures; `speed.png`, the plot; and the tables in `speed.md`, between its two marks.

Takes half an hour, 20 GB of memory, 2 GB of disk, and at the first time the download of PyTorch and ONNX Runtime into
`.venv-peers`.
"""

import contextlib
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version

import numpy as np
from rich.console import Console
from ways import BLOCK_ROWS, WAYS, WINDOW

ROOT = pathlib.Path(__file__).parent.parent
PEERS = ("ONNX Runtime", "PyTorch", "PyTorch, compiled")
PACKAGES = ("torch==2.13.0", "onnx", "onnxruntime", "matplotlib")
ROUNDS = {224: 15, 512: 9, 1024: 7, 2048: 3}
# The longest side that a way is given: compiling takes longest for these.
LONGEST = {"tf.function": 1024, "tf.function, XLA": 1024, "PyTorch, compiled": 1024, "crops": 1024}
STREAMED = 1024  # the shortest side worth while
STARTS = 3
CROPPED, STRIDE, AT_ONCE = 1024, 32, 32
# Crops in each round: one by one, and so many at once.
CROPS = {1: 52, AT_ONCE: 2 * AT_ONCE}
MARKS = "<!-- measured -->\n", "<!-- end of measured -->\n"
BASE = "model.predict"
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

    from vggfcn.architectures import ARCHITECTURES

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
    """Seconds until the first 224 x 224 result, in parts, and the peak once a 1024 x 1024 picture was run, in bytes.

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


def measure_times(weights: pathlib.Path, folder: pathlib.Path) -> dict[str, dict]:
    """By side: by way, the first seconds, all others, and the largest difference from `predict`; and those of crops."""
    found = {}
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(way, weights, folder / "cache")) for way in ("crops", *ways_at(CROPPED))
        }
        for side, rounds in ROUNDS.items():
            ways = ways_at(side)
            for way in [way for way in workers if side > LONGEST.get(way, side)]:
                workers.pop(way).__exit__()  # It will not be asked again, and holds memory.
            save = {way: folder / f"{way}.npy" for way in ways}
            first = {way: workers[way].seconds(side=side, save=str(save[way])) for way in ways}
            expected = np.load(save[BASE])
            different = {way: float(np.abs(np.load(save[way]) - expected).max()) for way in ways}
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            crops: dict[int, list[float]] = {at_once: [] for at_once in CROPS if side == CROPPED}
            for at_once in crops:
                workers["crops"].ask(crops=at_once, at_once=at_once)
            for number in range(rounds):
                status.print(f"{side} x {side}: round {number + 1} of {rounds}")
                for way in ways:
                    seconds[way].append(workers[way].seconds(side=side))
                for at_once, values in crops.items():
                    # One crop's, from as many as are given in a round.
                    values.append(workers["crops"].seconds(crops=CROPS[at_once], at_once=at_once) / CROPS[at_once])
            found[str(side)] = {
                "first": first,
                "seconds": seconds,
                "difference": different,
                "largest logit": float(np.abs(expected).max()),
                "one crop": crops,
                "load": os.getloadavg()[0],
            }
    return found


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


def medians(times: dict) -> dict[str, float]:
    return {way: statistics.median(values) for way, values in times["seconds"].items()}


def speed_table(figures: dict) -> list[str]:
    sides = list(figures["times"])
    lines = [f"| | {' | '.join(f'{side} x {side}' for side in sides)} |", "|---" * (len(sides) + 1) + "|"]
    for way in figures["times"][str(CROPPED)]["seconds"]:
        cells = []
        for side in sides:
            seconds = medians(figures["times"][side])
            cells.append(f"{seconds[way]:.2f} s, **{seconds[BASE] / seconds[way]:.2f}**" if way in seconds else "")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def crops_table(figures: dict) -> list[str]:
    times = figures["times"][str(CROPPED)]
    seconds = medians(times)
    count = ((CROPPED - WINDOW) // STRIDE + 1) ** 2
    ours = [way for way in seconds if way.startswith("vggfcn") and "streamed" not in way]
    lines = [f"| | seconds | {' | '.join(f'of {way}' for way in (BASE, *ours))} |", "|---" * (len(ours) + 3) + "|"]
    for at_once, values in times["one crop"].items():
        whole = statistics.median(values) * count
        ratios = " | ".join(f"**{whole / seconds[way]:.1f}**" for way in (BASE, *ours))
        lines.append(
            f"| {count} crops, {'one by one' if int(at_once) == 1 else f'{at_once} at once'} | {whole:.1f} | {ratios} |"
        )
    return lines


def starts_table(figures: dict) -> list[str]:
    lines = [
        "| | imports, s | build, s | make ready, s | first 224 x 224, s | in all, s | peak memory, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, row in figures["starts"].items():
        parts = [row[name] for name in ("imports", "build", "ready", "first")]
        name = "VGG16 on a crop" if way == "crops" else way
        lines.append(
            f"| {name} | {' | '.join(f'{part:.2f}' for part in parts)} | {sum(parts):.2f} | {row['bytes'] / 1e9:.2f} |"
        )
    return lines


def markdown(figures: dict) -> str:
    rounds = ", ".join(str(count) for count in ROUNDS.values())
    loads = ", ".join(f"{times['load']:.1f}" for times in figures["times"].values())
    described = ", ".join(f"{name} {value}" for name, value in figures["machine"].items() if name != "processor")
    worst = max(
        difference / times["largest logit"]
        for times in figures["times"].values()
        for difference in times["difference"].values()
    )
    sections = [
        f"{figures['machine']['processor']}; {described}.",
        f"Seconds for a picture, medians of {rounds} rounds; in bold, how many times as fast as `{BASE}`. Streams take "
        f"{BLOCK_ROWS} rows at once. Logits differ by at most {worst:.1e} of the largest. Load of the machine at the "
        f"end of each size: {loads}.",
        "\n".join(speed_table(figures)),
        "![Times as fast as model.predict](speed.png)",
        f"The {CROPPED} x {CROPPED} map beside its windows as crops through `keras.applications.VGG16.predict`:",
        "\n".join(crops_table(figures)),
        f"Fresh processes, medians of {STARTS}; the peak is that of the whole process once it has run one picture of "
        f"{CROPPED} x {CROPPED}, too:",
        "\n".join(starts_table(figures)),
    ]
    return "\n\n".join(sections) + "\n"


PLOT = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
(labels, rows), path = json.loads(sys.argv[1]), sys.argv[2]
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name, sides, ratios in rows:
    ours = name.startswith("vggfcn")
    style = "--" if "streamed" in name else "-"
    axes.plot(sides, ratios, style, marker="o", linewidth=2.5 if ours else 1.2, label=name)
axes.set_xticks(range(len(labels)), labels)
axes.set_xlabel("side of the picture, pixels")
axes.set_ylabel("times as fast as model.predict")
axes.set_ylim(bottom=0)
axes.grid(alpha=0.3)
axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.savefig(path, dpi=110)
"""


def plot(figures: dict, path: pathlib.Path) -> None:
    sides = list(figures["times"])
    by_side = {side: medians(figures["times"][side]) for side in sides}
    rows = []
    for way in by_side[str(CROPPED)]:
        places = [place for place, side in enumerate(sides) if way in by_side[side]]
        rows.append((way, places, [by_side[sides[place]][BASE] / by_side[sides[place]][way] for place in places]))
    subprocess.run([peers_python(), "-c", PLOT, json.dumps([sides, rows]), str(path)], check=True)


def insert(text: str, page: pathlib.Path) -> None:
    before, _, rest = page.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    page.write_text(before + MARKS[0] + text + MARKS[1] + after)


def main() -> None:
    to = pathlib.Path(sys.argv[1] if sys.argv[1:] else ROOT / "docs")
    page = to / "speed.md"
    if not page.exists() or any(mark not in page.read_text() for mark in MARKS):
        raise SystemExit(f"{page}: expected a page with the lines {' and '.join(map(str.strip, MARKS))}")
    peers_python()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        weights = folder / "vgg16.h5"
        write_weights(weights)
        figures = {
            "machine": machine(),
            "starts": measure_starts(weights, folder),
            "times": measure_times(weights, folder),
        }
    (to / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")
    plot(figures, to / "speed.png")
    text = markdown(figures)
    insert(text, page)
    print(text)


if __name__ == "__main__":
    main()
