"""Train the embedded `mnist-lenet5` weights, measure them, and draw the strip of digits that they read by sliding.

The network is LeNet-5 as published, with C3's partial connection table; the digits are MNIST's, distorted anew in each
epoch. Nothing is chosen by the test digits: the last 5,000 of the training digits are kept apart for that.
"""

import json
import os
import pathlib
import sys
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import mnist_files
import numpy as np
import strips
import tensorflow as tf
import typer
import weight_files
from distortions import Distortion, distort
from PIL import Image

import vggfcn
from vggfcn.checkpoints.preprocessing import LENET_RANGE
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map
from vggfcn.maps.figure import write_png
from vggfcn.networks.catalogue import LENET5
from vggfcn.networks.registry import EMBEDDED_FOLDER

VALIDATION = 5000  # digits at the end of the training split
BATCH = 64
EPOCHS = 40
LEARNING_RATE = 2e-3
BORDER = 2  # pixels that make MNIST's 28 x 28 the network's 32 x 32
SAMPLE = "scenes/ten-digits.png"
LABELS = tuple("0123456789")

Mnist = Annotated[pathlib.Path | None, typer.Option(help="Folder with MNIST's four IDX files.")]
app = typer.Typer(add_completion=False)


class Connected(keras.constraints.Constraint):
    """Keeps at zero what a connection table does not connect."""

    def __init__(self, connections: np.ndarray):
        self.connections = connections

    def __call__(self, kernel):
        return kernel * keras.ops.cast(self.connections, kernel.dtype)


class Batches(keras.utils.PyDataset):
    """An epoch of distorted digits in random order; each batch depends on its number alone."""

    def __init__(self, digits: np.ndarray, labels: np.ndarray, epoch: int):
        super().__init__(workers=2, max_queue_size=8)
        self.digits, self.labels, self.epoch = digits, labels, epoch
        self.order = np.random.default_rng([0, epoch]).permutation(len(digits))

    def __len__(self):
        return len(self.digits) // BATCH

    def __getitem__(self, index):
        chosen = self.order[index * BATCH : (index + 1) * BATCH]
        rng = np.random.default_rng([1, self.epoch, index])
        digits = distort(rng, self.digits[chosen, ..., 0].astype(np.float32), Distortion())
        return digits[..., None], self.labels[chosen]


def framed(digits: np.ndarray) -> np.ndarray:
    """MNIST's digits as the network takes them: uint8 (count, 32, 32, 1)."""
    return np.pad(digits, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))[..., None]


def new_model(steps: int) -> keras.Model:
    """LeNet-5 with random weights, C3's missing connections held at zero, ready to be trained for so many steps."""
    model = vggfcn.build("lenet5", weights=None, head="dense")
    for row in LENET5.convolutions:
        if row.table:
            model.get_layer(row.name).kernel.constraint = Connected(row.connections(len(row.table)))
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    return model


def fit(digits: np.ndarray, labels: np.ndarray, validation, epochs: int) -> keras.Model:
    """Train on framed digits; says after each epoch how it does on the validation digits."""
    keras.utils.set_random_seed(0)
    model = new_model(epochs * (len(digits) // BATCH))
    for epoch in range(epochs):
        print(f"epoch {epoch + 1} of {epochs}", flush=True)
        verbose = 1 if sys.stdout.isatty() else 2
        model.fit(Batches(digits, labels, epoch), shuffle=False, validation_data=validation, verbose=verbose)
    return model


@app.command()
def train(
    output: Annotated[pathlib.Path, typer.Option(help="The weight file to write.")] = pathlib.Path("mnist-lenet5.h5"),
    mnist: Mnist = None,
    epochs: Annotated[int, typer.Option(min=1)] = EPOCHS,
) -> None:
    """Train the mnist-lenet5 weights."""
    tf.config.experimental.enable_op_determinism()
    digits, labels = mnist_files.read("train", mnist)
    digits = framed(digits)
    validation = tf.data.Dataset.from_tensor_slices((digits[-VALIDATION:], labels[-VALIDATION:])).batch(500)
    model = fit(digits[:-VALIDATION], labels[:-VALIDATION], validation, epochs)
    parameters = {name: model.get_layer(name).get_weights() for name in LENET5.parameter_shapes()}
    weight_files.write(output, LENET5, parameters, LENET_RANGE, LABELS)


@app.command()
def measure(
    weights: Annotated[str, typer.Argument(help="A name or a weight file.")] = "mnist-lenet5", mnist: Mnist = None
) -> None:
    """Print the errors on validation and test digits as JSON."""
    model = load(weights).build("dense")
    print(json.dumps({split: errors(model, split, mnist) for split in ("validation", "test")}, indent=2))


def errors(model: keras.Model, split: str, mnist: pathlib.Path | None = None) -> dict:
    """How many digits of a split, "validation" or "test", the network gets wrong, and their share."""
    digits, labels = mnist_files.read("test" if split == "test" else "train", mnist)
    if split == "validation":
        digits, labels = digits[-VALIDATION:], labels[-VALIDATION:]
    wrong = int((model.predict(framed(digits), batch_size=500, verbose=0).argmax(1) != labels).sum())
    return {"digits": len(labels), "wrong": wrong, "error": wrong / len(labels)}


@app.command()
def sample(
    output: Annotated[pathlib.Path, typer.Argument(help="The PNG to write.")],
    mnist: Mnist = None,
) -> None:
    """Write the first ten test digits side by side."""
    Image.fromarray(strips.make_strip(mnist_files.read("test", mnist)[0][:10])).save(output, optimize=True)


@app.command()
def draw(
    output: Annotated[pathlib.Path, typer.Argument(help="The PNG to write.")],
    strip: Annotated[pathlib.Path, typer.Option(help="A grey image 32 pixels high.")] = EMBEDDED_FOLDER / SAMPLE,
    weights: str = "mnist-lenet5",
) -> None:
    """Draw what the network reads as it slides over a strip of digits, and print it."""
    classifier = load(weights)
    pixels = np.asarray(Image.open(strip).convert("L"))
    scores = score_map(classifier.build("conv"), pixels[..., None])
    write_png(strips.draw(pixels, scores, LABELS), output)
    print("".join(LABELS[run.label] for run in strips.read(np.exp(scores.log_probabilities[0]))))


if __name__ == "__main__":
    app()
