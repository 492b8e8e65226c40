"""What finer output strides cost, and how they are best computed: dilated layers beside fragments, in one run.

The network is VGG16's layout at the width of the embedded `scene-digits`, the image 640 x 480. First table: the
network at output stride 32, 16, 8 and 4, in time and in operations (multiplications and additions of convolutions),
as multiples of stride 32. Second: the same finer map from dilated layers, as `vggfcn.with_output_stride` makes them,
and from fragments in the batch dimension (Giusti et al. 2013), where each pool gives one smaller map for each phase
and later layers stay as they are. Medians of several rounds, taken in turns.
"""

import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vggfcn

SIZE = (480, 640)
STRIDES = (32, 16, 8, 4)
ROUNDS = 15


def compiled(model: keras.Model):
    return tf.function(lambda image: model(image, training=False))


def operations(model: keras.Model) -> int:
    """Multiplications and additions of the model's convolutions on such an image."""
    total, shape = 0, (1, *SIZE, 3)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            shape = layer.compute_output_shape(shape)
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * int(np.prod(layer.kernel.shape)) * shape[1] * shape[2]
    return total


def fragments(model: keras.Model, stride: int):
    """The same finer map, each pool that loses its stride giving a fragment for each phase. On sizes that are multiples
    of 32, each fragment has as many cells; those beyond the border, which dilation does not compute, are left in."""

    def pool(x, layer, pixels):
        if pixels < stride:
            return layer(x), 2 * pixels
        x = tf.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=x.dtype.min)
        height, width = tf.shape(x)[1] - 1, tf.shape(x)[2] - 1
        phases = [layer(x[:, i : i + height, j : j + width]) for i in (0, 1) for j in (0, 1)]
        return tf.concat(phases, 0), 2 * pixels

    @tf.function
    def run(x):
        pixels = 1
        for layer in model.layers[1:]:
            if isinstance(layer, keras.layers.MaxPooling2D):
                x, pixels = pool(x, layer, pixels)
            else:
                x = layer(x)
        while pixels > stride:
            x = tf.batch_to_space(x, (2, 2), [(0, 0), (0, 0)])
            pixels //= 2
        return x

    return run


def medians(jobs: dict, image) -> dict:
    """Seconds by name, the jobs in turns."""
    for job in jobs.values():
        job(image)
    seconds: dict = {name: [] for name in jobs}
    for _ in track(range(ROUNDS), "rounds", console=Console(stderr=True)):
        for name, job in jobs.items():
            start = time.perf_counter()
            np.asarray(job(image))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    model = vggfcn.build(weights="scene-digits")
    image = tf.random.stateless_uniform((1, *SIZE, 3), (0, 0), 0, 255)
    finer = {stride: vggfcn.with_output_stride(model, stride) for stride in STRIDES}
    jobs = {("dilated", stride): compiled(network) for stride, network in finer.items()}
    jobs |= {("fragments", stride): fragments(model, stride) for stride in STRIDES[1:]}
    expected = np.asarray(model(image))
    for (_, stride), job in jobs.items():
        found = np.asarray(job(image))[:, :: 32 // stride, :: 32 // stride]
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    seconds = medians(jobs, image)
    count = {stride: operations(network) for stride, network in finer.items()}
    cost = Table(
        "output stride", "cells", "seconds", "of stride 32", "GFLOP", "of stride 32", title=f"median of {ROUNDS}"
    )
    for stride in STRIDES:
        rows, columns = finer[stride].compute_output_shape((1, *SIZE, 3))[1:3]
        elapsed = seconds["dilated", stride]
        cost.add_row(
            *(str(stride), f"{rows} x {columns}", f"{elapsed:.3f}", f"{elapsed / seconds['dilated', 32]:.1f}"),
            *(f"{count[stride] / 1e9:.1f}", f"{count[stride] / count[32]:.1f}"),
        )
    ways = Table("output stride", "dilated", "fragments", "fragments / dilated", title="seconds")
    for stride in STRIDES[1:]:
        dilated, split = seconds["dilated", stride], seconds["fragments", stride]
        ways.add_row(str(stride), f"{dilated:.3f}", f"{split:.3f}", f"{split / dilated:.2f}")
    Console().print(cost, ways, f"{pathlib.Path(__file__).name}: image of {SIZE[1]} x {SIZE[0]}", sep="\n")


if __name__ == "__main__":
    main()
