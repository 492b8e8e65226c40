"""What streaming costs: full-size VGG16 row block by row block, beside the whole picture in one call, in turns.

`python benchmarks/streaming.py [SIDE ...]`, by default 1024 and 2048: pictures of SIDE x SIDE pixels. Seconds are
medians of several rounds after a first call, which compiles; "difference" is the largest of any logit from the whole
picture's, beside the largest logit. Peak memory is the process's (VmHWM), weights and libraries included, each in a
process of its own, which runs once. The estimate is what `activation_bytes` says of the maps alone. Weights are random.
Needs 0.6 GB of disk for a file of them in the published layout; at 4096 the whole picture takes 10 GB of memory.
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from rich.console import Console
from rich.progress import track

SIDES = (1024, 2048)
BLOCKS = (32, 64, 128, 256)
ROUNDS = 5
TESTS = pathlib.Path(__file__).parent.parent / "tests"


def write(path: str) -> None:
    """A weight file of random numbers."""
    sys.path.insert(0, str(TESTS))
    from writers import he_arrays, write_published_layout

    from vggfcn.architectures import ARCHITECTURES

    write_published_layout(path, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))


def picture(side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)


def job(path: str, side: int, block_rows: int):
    """A function that evaluates the picture; in blocks of so many rows, or of 0 as a whole. And the model."""
    import tensorflow as tf

    from vggfcn.streaming import Stream

    model = model_of(path)
    image = picture(side)
    if not block_rows:
        compiled = tf.function(lambda batch: model(batch, training=False))
        return lambda: np.asarray(compiled(image[None]))[0], model
    ready = Stream(model, (side, side), block_rows)
    return lambda: np.concatenate([rows for _, rows in ready.run(lambda start, stop: image[start:stop])]), model


@functools.cache
def model_of(path: str):
    import vggfcn

    return vggfcn.build(weights=path)


def peak(path: str, side: int, block_rows: int) -> tuple[int, int]:
    """Bytes: the most that this process has ever had in memory, and what was estimated of the maps."""
    from vggfcn.step_memory import activation_bytes

    run, model = job(path, side, block_rows)
    run()
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return kilobytes * 1024, activation_bytes(model, side, block_rows) if block_rows else 0


def in_a_process_of_its_own(*arguments) -> tuple[int, int]:
    command = [sys.executable, __file__, "--peak", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def measure(path: str, side: int) -> list[str]:
    """The rows of one size's table."""
    jobs = {block_rows: job(path, side, block_rows)[0] for block_rows in (0, *BLOCKS)}
    maps = {block_rows: run() for block_rows, run in jobs.items()}
    seconds: dict[int, list[float]] = {block_rows: [] for block_rows in jobs}
    for _ in track(range(ROUNDS), f"{side} x {side}", console=Console(stderr=True)):
        for block_rows, run in jobs.items():
            start = time.perf_counter()
            run()
            seconds[block_rows].append(time.perf_counter() - start)
    whole = statistics.median(seconds[0])
    rows = []
    for block_rows in jobs:
        median = statistics.median(seconds[block_rows])
        most, estimate = in_a_process_of_its_own(path, side, block_rows)
        rows.append(
            f"| {side} x {side} | {block_rows or 'whole'} | {median:.2f} | {median / whole:.2f} "
            f"| {np.abs(maps[block_rows] - maps[0]).max():.1e} of {np.abs(maps[0]).max():.2f} "
            f"| {most / 2**30:.2f} | {f'{estimate / 2**30:.2f}' if estimate else ''} |"
        )
    return rows


def main() -> None:
    sides = [int(argument) for argument in sys.argv[1:]] or SIDES
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "vgg16.h5")
        write(path)
        print(f"Load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median of {ROUNDS} rounds\n")
        print("| picture | rows at once | seconds | of whole | difference | peak, GiB | estimate of maps, GiB |")
        print("|---|---|---|---|---|---|---|")
        for side in sides:
            print("\n".join(measure(path, side)), flush=True)
    print(f"\nLoad after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(json.dumps(peak(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
