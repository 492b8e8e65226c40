"""A large image within a limit of memory: full-size VGG16 on a TIFF, killed half-way and gone on.

    python benchmarks/large.py [--side 8192] [--max-memory 3GB] [--engine openvino]

Writes a tiled TIFF, starts `vggfcn.score_map(model, path, max_memory=..., output=...)` in a process of its own, kills
it when half of the map's rows are done, starts it again, and compares the map's corner with the network on that corner
of the image at once. Each process says its peak of memory and what it computed. Needs the extra `large` and disk
space for the image and its map.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

CORNER = 1024
STEP = """
import json, os, pathlib, signal, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import vggfcn

keras.utils.set_random_seed(0)
model = vggfcn.build(weights=None)
image, output, limit, engine, until = sys.argv[1:]
start, told = time.perf_counter(), []

def report(killed):
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    seconds = time.perf_counter() - start
    print(json.dumps({"peak": peak, "seconds": seconds, "first": told[0], "last": told[-1]}), flush=True)
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total):
    told.append((done, total))
    if until != "end" and done >= total / 2:
        report(killed=True)

scores = vggfcn.score_map(model, image, max_memory=limit, output=output, engine=engine, progress=progress)
report(killed=False)
if until == "end":
    import tifffile
    corner = tifffile.imread(image)[:CORNER, :CORNER]
    expected = vggfcn.score_map(model, np.ascontiguousarray(corner)).logits
    # Cells that see nothing beyond the corner.
    rows = (CORNER - 314) // 32 + 1
    difference = np.abs(expected[:rows, :rows] - scores.logits[:rows, :rows]).max()
    print(json.dumps({"difference": float(difference), "largest": float(np.abs(expected).max()), "cells": rows**2}))
"""


def main(
    side: Annotated[int, typer.Option(help="Of the image, in pixels.")] = 8192,
    max_memory: Annotated[str, typer.Option(help="What the process may take.")] = "3GB",
    engine: Annotated[str, typer.Option(help="What runs the network.")] = "tensorflow",
) -> None:
    """Prints a Markdown table."""
    import tifffile

    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        image, output = pathlib.Path(folder) / "image.tif", pathlib.Path(folder) / "map.npy"
        rng = np.random.default_rng(0)
        blurred = np.kron(rng.integers(0, 200, (side // 64, side // 64, 3), np.uint8), np.ones((64, 64, 1), np.uint8))
        noisy = blurred + rng.integers(0, 56, blurred.shape, np.uint8)
        tifffile.imwrite(image, noisy, tile=(256, 256), compression="zlib", photometric="rgb")
        size = image.stat().st_size
        del blurred, noisy
        found = []
        for until in ("half", "end"):
            console.print(f"computing until {until}")
            command = [
                sys.executable,
                "-c",
                STEP.replace("CORNER", str(CORNER)),
                str(image),
                str(output),
                max_memory,
                engine,
            ]
            done = subprocess.run([*command, until], capture_output=True, text=True, env=dict(os.environ))
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            if not lines:
                raise SystemExit(done.stderr[-2000:])
            found += lines
    print(f"{side} x {side} TIFF of {size / 1e6:,.0f} MB, max_memory={max_memory!r}, {engine}\n")
    print("| run | rows of the map | seconds | peak memory, MB |\n|---|---|---|---|")
    for name, one in zip(("killed half-way", "gone on"), found, strict=False):
        (first, total), (last, _) = one["first"], one["last"]
        print(f"| {name} | {first} to {last} of {total} | {one['seconds']:.0f} | {one['peak'] / 1e6:,.0f} |")
    print(f"\nlargest difference from the corner at once: {found[-1]}")


if __name__ == "__main__":
    typer.run(main)
