"""Train the embedded `scene-digits` weights: VGG16's layout at 1/8 width, on digits in photographs.

Most batches hold native-size crops, the others scenes larger than that with an answer for each cell of the map, so that
the network learns the sliding window too. It is trained in three parts:

1. with what makes a deep, narrow network learn quickly and is gone afterwards: batch normalisation in blocks 3 to 5 and
   the head (Ioffe & Szegedy 2015; folded into the kernels at the end, exactly), classifiers on the feature maps of
   blocks 4 and 5 (Lee et al. 2015, "Deeply-supervised nets"), and backgrounds whose contrast grows from nothing;
2. as the plain network that is shipped;
3. the same, once more from a smaller learning rate and with fewer scenes.

The state is kept after every epoch in `--state`; the same command takes up where the last one stopped. Each batch
depends on its number alone, so a run that was interrupted sees the same images as one that was not.
"""

import dataclasses
import os
import pathlib
import sys
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scenes
import typer
import weight_files

import vggfcn
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.maps.geometry import ReceptiveField, receptive_field
from vggfcn.networks.catalogue import ConvSpec, vgg

ARCHITECTURE = vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 8, classes=len(scenes.LABELS))
PREPROCESSING = Preprocessing(mean=(127.5,) * 3, std=(64.0,) * 3)
NORMALISED_BLOCKS = ("block3", "block4", "block5", "fc")
SUPERVISED = ("block4_pool", "block5_pool")
SCENE_SIZE = 416
CROPS, SCENES = 32, 8  # images in a batch
DIGIT_WEIGHT = 3.0  # of a cell on a digit, in maps where most cells hold none
EPOCH = 100  # batches between two states


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the training: where in the whole it starts, its batches and its learning rate.

    Every `scenes_every`-th batch is one of scenes, the others are of crops.
    """

    start: int
    batches: int
    scenes_every: int
    learning_rate: float
    warmup: int

    def optimizer(self) -> keras.optimizers.Optimizer:
        schedule = keras.optimizers.schedules.CosineDecay(
            self.learning_rate / 100,
            self.batches - self.warmup,
            alpha=0.01,
            warmup_target=self.learning_rate,
            warmup_steps=self.warmup,
        )
        return keras.optimizers.AdamW(schedule, weight_decay=1e-3)


NORMALISED = Part(0, 3200, scenes_every=2, learning_rate=2e-3, warmup=50)
PLAIN = Part(NORMALISED.batches, 5000, scenes_every=4, learning_rate=6e-4, warmup=100)
REFINED = Part(PLAIN.start + PLAIN.batches, 7200, scenes_every=10, learning_rate=5e-4, warmup=100)
CLUTTER_BATCHES = 800  # until backgrounds have their full contrast


def normalised_model() -> tuple[keras.Model, list[ReceptiveField]]:
    """The network of part 1 and, for each of its output maps, what a cell sees."""
    inputs = x = keras.Input((None, None, 3))
    x = keras.layers.Normalization(
        mean=PREPROCESSING.mean, variance=np.square(PREPROCESSING.std), name="preprocessing"
    )(x)
    maps, fields = [], []
    for depth, row in enumerate(ARCHITECTURE.trunk, 1):
        if isinstance(row, ConvSpec):
            x = _convolution(x, row.name, row.filters, 3, "same")
        else:
            x = keras.layers.MaxPooling2D(2, name=row.name)(x)
        if row.name in SUPERVISED:
            maps.append(keras.layers.Conv2D(len(scenes.LABELS), 1, name=f"{row.name}_classes")(x))
            fields.append(receptive_field(row.geometry for row in ARCHITECTURE.trunk[:depth]))
    for seed, (row, size) in enumerate(zip(ARCHITECTURE.head, (ARCHITECTURE.feature_size, 1), strict=False)):
        x = _convolution(x, row.name, row.units, size, "valid")
        x = keras.layers.Dropout(0.2, seed=seed)(x)
    x = keras.layers.Conv2D(ARCHITECTURE.classes, 1, name=ARCHITECTURE.head[-1].name)(x)
    return keras.Model(inputs, [x, *maps]), [ARCHITECTURE.receptive_field, *fields]


def _convolution(x, name, filters, size, padding):
    normalised = name.startswith(NORMALISED_BLOCKS)
    layer = keras.layers.Conv2D(
        filters, size, padding=padding, use_bias=not normalised, kernel_initializer="he_normal", name=name
    )
    x = layer(x)
    if normalised:
        x = keras.layers.BatchNormalization(momentum=0.95, name=f"{name}_normalisation")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def fold(model: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) by layer of the plain network that computes the same: y = g (k * x - m) / s + b."""
    folded = {}
    for name in ARCHITECTURE.parameter_shapes():
        kernel, *bias = model.get_layer(name).get_weights()
        if not bias:
            layer = model.get_layer(f"{name}_normalisation")
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            kernel, bias = kernel * scale, [beta - mean * scale]
        folded[name] = kernel, bias[0]
    return folded


class Batches(keras.utils.PyDataset):
    """An epoch of batches from number `start` on."""

    def __init__(self, sources: scenes.Sources, fields: list[ReceptiveField], scenes_every: int, start: int):
        super().__init__(workers=2, max_queue_size=8)
        self.sources, self.fields, self.scenes_every, self.start = sources, fields, scenes_every, start

    def __len__(self):
        return EPOCH

    def __getitem__(self, index):
        """(images, classes of each map, weights of each map)."""
        number = self.start + index
        images, digits = zip(*self._make(number), strict=True)
        maps = [np.stack([_answers(field, d, images[0].shape[0]) for d in digits]) for field in self.fields]
        return np.stack(images), tuple(np.maximum(m, 0) for m in maps), tuple(_weights(m) for m in maps)

    def _make(self, number):
        rng = np.random.default_rng([0, number])
        clutter = min(1.0, number / CLUTTER_BATCHES)
        # Keras learns from an epoch's first two batches which dimensions vary: one must be of scenes.
        if number % self.scenes_every != 1:
            return [scenes.make_crop(rng, self.sources, clutter=clutter) for _ in range(CROPS)]
        counts = rng.integers(1, 6, SCENES)
        return [scenes.make_scene(rng, self.sources, SCENE_SIZE, SCENE_SIZE, n, clutter=clutter) for n in counts]


def _answers(field, digits, size):
    """The class at each cell's centre, int (rows, columns)."""
    centers = field.centers(field.cells(size))
    return np.array([[scenes.label_at(digits, x, y) for x in centers] for y in centers])


def _weights(answers):
    single = answers.shape[1] == 1
    weights = np.where(answers == scenes.NONE, 1.0, 1.0 if single else DIGIT_WEIGHT)
    return np.where(answers == scenes.IGNORED, 0.0, weights).astype(np.float32)


def train(model, part: Part, fields, sources, state: pathlib.Path) -> keras.Model:
    """Train `model` through one part, or go on from its state if there is one."""
    if state.exists():
        model = keras.saving.load_model(state)
    else:
        losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in fields]
        model.compile(part.optimizer(), losses, weighted_metrics=[["accuracy"] for _ in fields])
    while (done := int(model.optimizer.iterations.numpy())) < part.batches:
        number = part.start + done
        print(f"batches {number} to {number + EPOCH} of {REFINED.start + REFINED.batches}", flush=True)
        model.fit(
            Batches(sources, fields, part.scenes_every, number), shuffle=False, verbose=1 if sys.stdout.isatty() else 2
        )
        unfinished = state.with_stem("unfinished")
        model.save(unfinished)
        unfinished.replace(state)
    return model


def write(path: pathlib.Path, parameters) -> None:
    """Write the weights as they are embedded, rounded to float16."""
    weight_files.write(path, ARCHITECTURE, parameters, PREPROCESSING, scenes.LABELS, np.float16)


def main(
    output: Annotated[pathlib.Path, typer.Option(help="The weight file to write.")] = pathlib.Path("scene-digits.h5"),
    mnist: Annotated[pathlib.Path | None, typer.Option(help="Folder with MNIST's four IDX files.")] = None,
    state: Annotated[pathlib.Path, typer.Option(help="Folder for the training's state.")] = pathlib.Path("state"),
) -> None:
    """Train the scene-digits weights, two and a half hours on 2 cores."""
    state.mkdir(parents=True, exist_ok=True)
    sources = scenes.load_sources("train", mnist)
    keras.utils.set_random_seed(0)
    model, fields = normalised_model()
    model = train(model, NORMALISED, fields, sources, state / "normalised.keras")
    write(state / "folded.h5", fold(model))
    plain = vggfcn.build(ARCHITECTURE, weights=state / "folded.h5")
    plain = train(plain, PLAIN, fields[:1], sources, state / "plain.keras")
    plain = train(plain, REFINED, fields[:1], sources, state / "refined.keras")
    write(output, {name: plain.get_layer(name).get_weights() for name in ARCHITECTURE.parameter_shapes()})


if __name__ == "__main__":
    typer.run(main)
