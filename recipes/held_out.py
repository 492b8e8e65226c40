"""What the scene-digits weights do on digits and photographs that training never saw, and the sample scenes."""

import json
import os
import pathlib
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scenes
import typer
from PIL import Image, ImageOps
from rich.progress import track

from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map

CROPS, SCENES = 2000, 200
BATCH = 50
SCENE_SIZE = (640, 480)
SAMPLE_SIZE = (1280, 960)
# Digits' centres keep half a window from the border: nearer to it no window is centred.
MARGIN = 112
STRIDES = (32, 8)
SEED = 1
# Of whole images: their side, and the scales that they are evaluated at.
IMAGE_SIZE, SCALES = 256, (224, 256, 288)
# Sample file -> (photograph, digits, seed).
SAMPLES = {"rocket.jpg": (1, 6, 0), "chelsea.jpg": (0, 5, 3), "no-digits.jpg": (2, 0, 0)}

Mnist = Annotated[pathlib.Path | None, typer.Option(help="Folder with MNIST's four IDX files.")]
app = typer.Typer(add_completion=False)


@app.command()
def measure(
    weights: Annotated[str, typer.Argument(help="A name or a weight file.")] = "scene-digits", mnist: Mnist = None
) -> None:
    """Print the held-out figures as JSON."""
    classifier, sources = load(weights), scenes.load_sources("test", mnist)
    figures = {
        **_crop_figures(classifier, sources),
        **_peak_figures(classifier, sources),
        **_empty_figures(classifier, sources),
    }
    print(json.dumps(figures, indent=2))


def _crop_figures(classifier: Classifier, sources: scenes.Sources) -> dict:
    """Top-1 of both networks on native-size crops, and how far their logits are apart."""
    original, converted = classifier.build("dense"), classifier.build("conv")
    right, difference, largest = [], 0.0, 0.0
    middle = (classifier.architecture.native_size - 1) / 2
    for start in track(range(0, CROPS, BATCH), "crops"):
        made = [scenes.make_crop(np.random.default_rng([SEED, i]), sources) for i in range(start, start + BATCH)]
        answers = [scenes.label_at(digits, middle, middle) for _, digits in made]
        images = np.stack([image for image, _ in made])
        logits = original.predict(images, verbose=0)
        difference = max(difference, float(np.abs(converted.predict(images, verbose=0)[:, 0, 0] - logits).max()))
        largest = max(largest, float(np.abs(logits).max()))
        right += list(zip(answers, logits.argmax(1) == answers, strict=True))
    by_class = {
        name: float(np.mean([hit for answer, hit in right if answer == index]))
        for index, name in enumerate(scenes.LABELS)
    }
    return {
        "crops": CROPS,
        "top1": float(np.mean([hit for _, hit in right])),
        "top1_by_class": by_class,
        "max_abs_logit_difference": difference,
        "max_abs_logit": largest,
    }


def _peak_figures(classifier: Classifier, sources: scenes.Sources) -> dict:
    """Where the peak of a digit's heatmap lies: how often inside the digit's square, and how far from its middle."""
    models = {stride: with_output_stride(classifier.build("conv"), stride) for stride in STRIDES}
    inside: dict[int, list[bool]] = {stride: [] for stride in STRIDES}
    distances: dict[int, list[float]] = {stride: [] for stride in STRIDES}
    for number in track(range(SCENES), "scenes"):
        rng = np.random.default_rng([SEED + 1, number])
        image, digits = scenes.make_scene(rng, sources, *SCENE_SIZE, digits=3, margin=MARGIN)
        for stride, model in models.items():
            scores = score_map(model, image)
            for digit in digits:
                peak = scores.center(*scores.peak(digit.label))
                inside[stride].append(digit.contains(*peak))
                distances[stride].append(float(np.hypot(*np.subtract(peak, digit.center))))
    by_stride = {
        stride: {
            "peaks_inside": float(np.mean(inside[stride])),
            "mean_distance": float(np.mean(distances[stride])),
            "median_distance": float(np.median(distances[stride])),
        }
        for stride in STRIDES
    }
    return {"scenes": SCENES, "digits": len(inside[STRIDES[0]]), "by_output_stride": by_stride}


def _empty_figures(classifier: Classifier, sources: scenes.Sources) -> dict:
    """In how many cells "none" wins on the held-out photographs as they are."""
    model = classifier.build("conv")
    maps = [score_map(model, np.asarray(ImageOps.fit(photograph, SCENE_SIZE))) for photograph in sources.photographs]
    wins = np.stack([scores.logits.argmax(-1) == scenes.NONE for scores in maps])
    return {"photographs": len(maps), "cells": wins.size, "none_wins": float(wins.mean())}


@app.command()
def samples(folder: Annotated[pathlib.Path, typer.Argument()], mnist: Mnist = None) -> None:
    """Write the sample scenes as JPEG, and the boxes of their digits as scenes.json."""
    sources = scenes.load_sources("test", mnist)
    boxes = {}
    for name, (photograph, count, seed) in SAMPLES.items():
        rng = np.random.default_rng([SEED + 2, seed])
        image, digits = scenes.make_scene(
            rng, sources, *SAMPLE_SIZE, digits=count, margin=MARGIN, photograph=sources.photographs[photograph]
        )
        Image.fromarray(image).save(folder / name, quality=88)
        boxes[name] = [{"label": digit.label, "box": [round(side) for side in digit.box()]} for digit in digits]
    (folder / "scenes.json").write_text(json.dumps(boxes, indent=2) + "\n")


@app.command()
def images(
    folder: Annotated[pathlib.Path, typer.Argument(help="Made, with a folder for each class in it.")],
    count: Annotated[int, typer.Option(min=1, help="Of all classes together.")] = 500,
    mnist: Mnist = None,
) -> None:
    """Write labelled images for `vggfcn evaluate FOLDER --weights scene-digits --sizes 224,256,288`, as PNG."""
    sources = scenes.load_sources("test", mnist)
    for name in scenes.LABELS:
        (folder / name).mkdir(parents=True)
    for number in track(range(count), "images"):
        image, label = make_image(np.random.default_rng([SEED + 3, number]), sources)
        Image.fromarray(image).save(folder / scenes.LABELS[label] / f"{number:05}.png")


def make_image(rng: np.random.Generator, sources: scenes.Sources) -> tuple[np.ndarray, int]:
    """An image and its class, which is the answer for its middle at each of `SCALES`.

    For that, a digit's square has the trained size when it is shrunk to the smallest scale and when it is enlarged to
    the largest, where it still lies wholly in the middle window.
    """
    least, most = scenes.DIGIT_SIZES
    sides = (least * IMAGE_SIZE / SCALES[0], most * IMAGE_SIZE / SCALES[-1])
    frame = scenes.WINDOW * IMAGE_SIZE / SCALES[-1]
    image, digits = scenes.make_crop(rng, sources, IMAGE_SIZE, sides=sides, frame=frame)
    return image, scenes.label_at(digits, (IMAGE_SIZE - 1) / 2, (IMAGE_SIZE - 1) / 2)


if __name__ == "__main__":
    app()
