"""Loading full-size VGG16: `vggfcn.build` beside `keras.applications.VGG16`, in turns, each in a fresh process.

Prints seconds and peak memory beyond what the imports took, and the ratios. Needs 0.6 GB of disk for a weight file of
random numbers in the published layout, which is written to a temporary folder.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROUNDS = 3
TESTS = pathlib.Path(__file__).parent.parent / "tests" / "helpers"

# Name -> (import, call): what is imported is not timed.
LOADERS = {
    "keras.applications.VGG16": ("import keras", "keras.applications.VGG16(weights=path)"),
    "vggfcn.build": ("from vggfcn import build", "build(weights=path)"),
    'vggfcn.build, head="dense"': ("from vggfcn import build", 'build(weights=path, head="dense")'),
}
WRITE = """
import sys; sys.path.insert(0, {tests!r})
import numpy as np
from writers import he_arrays, write_published_layout
from vggfcn.networks.catalogue import ARCHITECTURES
write_published_layout({path!r}, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
"""
MEASURE = """
import json, pathlib, resource, sys, time
import tensorflow
{imports}
tensorflow.Variable(1.0)
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
before = pages * resource.getpagesize()
path = {path!r}
start = time.perf_counter()
model = {call}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([seconds, peak - before]))
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "vgg16.h5")
        run(WRITE.format(tests=str(TESTS), path=path))
        size = pathlib.Path(path).stat().st_size
        measured: dict[str, list] = {name: [] for name in LOADERS}
        for _ in track(range(ROUNDS), "rounds", console=Console(stderr=True)):
            for name, (imports, call) in LOADERS.items():
                measured[name].append(json.loads(run(MEASURE.format(imports=imports, call=call, path=path))))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in measured.items()
    }
    reference = next(iter(medians.values()))
    table = Table(
        "", "seconds", "of Keras's", "peak memory / file", title=f"median of {ROUNDS}, a file of {size:,} bytes"
    )
    for name, (seconds, peak) in medians.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / reference[0]:.2f}", f"{peak / size:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
