"""A strip of digits, read by sliding: the cells of LeNet-5's map, what they say, and the image of it all."""

import dataclasses
import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vggfcn.maps.overlay import colorize
from vggfcn.maps.score_map import ScoreMap

PITCH = 30  # pixels from digit to digit: no multiple of the map's stride, so windows meet them off-centre
SCALE = 5  # pixels of the image for each pixel of the strip
CONFIDENT = 0.9
LONG = 2  # cells


@dataclasses.dataclass(frozen=True)
class Reading:
    """A class that wins with confidence in neighbouring cells [start, stop)."""

    label: int
    start: int
    stop: int


def make_strip(digits: np.ndarray) -> np.ndarray:
    """Digits (count, 28, 28) side by side: uint8 (32, width), two dark pixels around."""
    strip = np.zeros((32, PITCH * len(digits) + 2), np.uint8)
    for index, digit in enumerate(digits):
        strip[2:30, 2 + PITCH * index :][:, :28] = digit
    return strip


def read(probabilities: np.ndarray) -> list[Reading]:
    """What one row of cells (columns, classes) says: runs of at least two confident cells of one class."""
    winners = np.where(probabilities.max(1) > CONFIDENT, probabilities.argmax(1), -1)
    borders = [0, *(np.flatnonzero(np.diff(winners)) + 1), len(winners)]
    runs = [Reading(int(winners[a]), int(a), int(b)) for a, b in itertools.pairwise(borders)]
    return [run for run in runs if run.label >= 0 and run.stop - run.start >= LONG]


LEFT, TOP, ROW = 8 * SCALE, 34 * SCALE, 5 * SCALE  # of the cells' colours; height of a class


def draw(strip: np.ndarray, scores: ScoreMap, labels) -> Image.Image:
    """The strip; under it a column of colours for each cell, under its window's middle; under that what is read."""
    height, width = (side * SCALE for side in strip.shape)
    canvas = Image.new("RGB", (LEFT + width + 2 * SCALE, TOP + (len(labels) + 2) * ROW), "white")
    canvas.paste(Image.fromarray(strip).resize((width, height), Image.Resampling.NEAREST), (LEFT, 0))
    probabilities = np.exp(scores.log_probabilities[0])
    # A cell's colours are as wide as the cells are apart, around the middle of its window.
    field = scores.field.columns
    edges = LEFT + SCALE * (field.centers(len(probabilities) + 1) + 0.5 - field.stride / 2)
    pen = ImageDraw.Draw(canvas)
    _draw_cells(pen, edges, probabilities, labels)
    _draw_readings(pen, edges, read(probabilities), labels)
    return canvas


def _draw_cells(pen, edges, probabilities, labels):
    for index, label in enumerate(labels):
        top = TOP + index * ROW
        pen.text((LEFT / 2, top + ROW / 2), label, "black", ImageFont.load_default(ROW), anchor="mm")
        for cell, color in enumerate(colorize(probabilities[:, index])):
            pen.rectangle((edges[cell], top, edges[cell + 1] - 1, top + ROW - 2), tuple(color.tolist()))


def _draw_readings(pen, edges, readings, labels):
    top = TOP + len(labels) * ROW
    for run in readings:
        start, stop = edges[run.start], edges[run.stop]
        pen.line((start, top + 4, stop, top + 4), "black", 2)
        pen.text(((start + stop) / 2, top + ROW), labels[run.label], "black", ImageFont.load_default(ROW), anchor="mm")
