"""Scenes with digits: MNIST digits pasted into photographs, with the answer for every point.

Everything is drawn from a `numpy.random.Generator`, so the same seed gives the same pixels. A scene is an RGB
image and the squares of its digits; `label_at` says what a network should answer when a window is centred on a
point. The digits and the photographs of the two splits, "train" and "test", have nothing in common.
"""

import dataclasses
import functools

import mnist_files
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

NONE = 10  # the class of a point that no digit covers
LABELS = (*"0123456789", "none")
DIGIT_SIZES = (60, 170)  # side of a digit's square, in pixels
WINDOW = 224  # side of what the network sees at once, in pixels
IGNORED = -1  # where either answer would be right

# File names inside the scikit-image and scikit-learn wheels.
PHOTOGRAPHS = {
    "train": {
        "skimage.data": (
            "astronaut.png brick.png camera.png cell.png clock_motion.png coffee.png coins.png grass.png gravel.png "
            "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg"
        )
    },
    "test": {"skimage.data": "chelsea.png rocket.jpg", "sklearn.datasets.images": "china.jpg flower.jpg"},
}
# Letters that nobody reads as a digit, for distracting text.
LETTERS = "AEFHKMNPRTUVWXYadefhkmnrtuvwxy"


@dataclasses.dataclass(frozen=True)
class Digit:
    """A digit in a scene: its class 0-9 and the square that MNIST's 20x20 frame covers, in pixels."""

    label: int
    center: tuple[float, float]  # x, y
    size: float

    def contains(self, x, y, scale=1.0):
        """Whether the point lies in the square, grown or shrunk about its centre by `scale`."""
        reach = self.size * scale / 2
        return abs(x - self.center[0]) <= reach and abs(y - self.center[1]) <= reach

    def box(self):
        """(left, top, right, bottom) in pixels."""
        (x, y), reach = self.center, self.size / 2
        return x - reach, y - reach, x + reach, y + reach


@dataclasses.dataclass(frozen=True)
class Sources:
    """What scenes are made of: digit images uint8 (count, 28, 28), their classes, photographs as RGB."""

    digits: np.ndarray
    labels: np.ndarray
    photographs: tuple[Image.Image, ...]


def load_sources(split, mnist=None):
    """The digits and photographs of one split, "train" or "test".

    `mnist` is a folder with the four original IDX files, gzipped or not; None asks `keras.datasets.mnist`.
    """
    return Sources(*mnist_files.read(split, mnist), tuple(_photographs(split)))


def _photographs(split):
    from importlib.resources import as_file, files

    for package, names in PHOTOGRAPHS[split].items():
        for name in names.split():
            with as_file(files(package) / name) as path, Image.open(path) as image:
                yield image.convert("RGB")


def make_crop(rng, sources, size=WINDOW, clutter=1.0, sides=DIGIT_SIZES, frame=None):
    """One image, native-size by default, and its digits; `label_at` its centre is what the network should answer.

    The classes and `NONE` are equally likely. The first digit's square covers the centre, its side is from `sides` and
    it lies inside the middle `frame` x `frame` pixels, or inside the image; "none" images may hold digits too,
    further out or cut by the border.
    """
    label = int(rng.integers(0, NONE + 1))
    middle = (size - 1) / 2
    placed = []
    if label != NONE:
        side = rng.uniform(*sides)
        reach = min(0.37 * side, ((frame or size) - side) / 2)
        x, y = middle + rng.uniform(-reach, reach, 2)
        placed.append(Digit(label, (x, y), side))
    for _ in range(rng.integers(0, 3)):
        other = _random_digit(rng, size, size)
        if not other.contains(middle, middle, 1.15) and not any(_overlap(other, digit) for digit in placed):
            placed.append(other)
    return _render(rng, sources, size, size, placed, clutter), placed


def make_scene(rng, sources, width, height, digits, margin=0.0, clutter=1.0, photograph=None):
    """An image of `width` x `height` pixels with `digits` digits of different classes, and those digits.

    Centres keep `margin` pixels from the border; squares do not overlap. The background is a random part of a random
    photograph with things drawn on it, or `photograph` as it is.
    """
    labels = rng.permutation(10)[:digits]
    placed = []
    while len(placed) < digits:
        placed = []
        for label in labels:
            digit = _random_digit(rng, width, height, margin, int(label))
            if any(_overlap(digit, other) for other in placed):
                break
            placed.append(digit)
    if photograph is None:
        return _render(rng, sources, width, height, placed, clutter), placed
    return _with_digits(rng, np.asarray(ImageOps.fit(photograph, (width, height))), sources, placed), placed


def label_at(digits, x, y):
    """What a window centred on (x, y) should answer: the digit whose square covers the centre, or `NONE`.

    `IGNORED` near a square's edge, and where the window cuts the square.
    """
    for digit in digits:
        if digit.contains(x, y, 0.75) and digit.contains(x, y, (WINDOW - digit.size) / digit.size):
            return digit.label
    return IGNORED if any(digit.contains(x, y, 1.15) for digit in digits) else NONE


def _random_digit(rng, width, height, margin=0.0, label=None):
    side = rng.uniform(*DIGIT_SIZES)
    x = rng.uniform(margin, width - margin)
    y = rng.uniform(margin, height - margin)
    return Digit(int(rng.integers(0, 10)) if label is None else label, (x, y), side)


def _overlap(one, other):
    reach = (one.size + other.size) / 2 * 1.05
    return all(abs(a - b) < reach for a, b in zip(one.center, other.center, strict=True))


def _render(rng, sources, width, height, digits, clutter):
    canvas = _background(rng, sources.photographs, width, height)
    canvas = ImageEnhance.Contrast(canvas).enhance(clutter)
    if rng.random() < 0.5 * clutter:
        canvas = _draw_distractors(rng, canvas)
    return _with_digits(rng, np.asarray(canvas), sources, digits)


def _with_digits(rng, pixels, sources, digits):
    """A copy of the pixels, uint8, with the digits pasted in and a little noise all over."""
    height, width = pixels.shape[:2]
    pixels = pixels.astype(np.float32)
    for digit in digits:
        _paste(rng, pixels, sources, digit)
    pixels += rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0, 6))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _background(rng, photographs, width, height):
    """A random part of a random photograph, turned, mirrored and recoloured."""
    photograph = photographs[rng.integers(len(photographs))]
    turned = bool(rng.integers(0, 2))
    part = (height, width) if turned else (width, height)
    scale = min(photograph.width / part[0], photograph.height / part[1]) * rng.uniform(0.25, 1.0)
    left = rng.uniform(0, photograph.width - scale * part[0])
    top = rng.uniform(0, photograph.height - scale * part[1])
    box = (left, top, left + scale * part[0], top + scale * part[1])
    canvas = photograph.resize(part, Image.Resampling.BILINEAR, box=box)
    if turned:
        canvas = canvas.transpose(Image.Transpose.TRANSPOSE)
    for mirror in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        if rng.random() < 0.5:
            canvas = canvas.transpose(mirror)
    canvas = _recoloured(rng, canvas)
    return canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2))) if rng.random() < 0.3 else canvas


def _recoloured(rng, canvas):
    """Channels swapped, perhaps inverted, contrast and each channel's level changed."""
    bands = canvas.split()
    contrast = rng.uniform(0.6, 1.2) * (-1 if rng.random() < 0.2 else 1)
    levels = np.arange(256)
    tables = [np.clip((levels - 128) * contrast + 128 + shift, 0, 255) for shift in rng.uniform(-25, 25, 3)]
    order = rng.permutation(3)
    return Image.merge(
        "RGB", [bands[i].point(table.astype(np.uint8).tolist()) for i, table in zip(order, tables, strict=True)]
    )


def _draw_distractors(rng, canvas):
    """Thin lines, frames, polygons and letters: edges and strokes that are no digits; a thick line would be a 1."""
    canvas = canvas.copy()
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 6)):
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        reach = rng.uniform(10, 120)
        x2, y2 = x + rng.uniform(-1, 1) * 2 * reach, y + rng.uniform(-1, 1) * 2 * reach
        kind = rng.integers(0, 4)
        if kind == 0:
            draw.line((x, y, x2, y2), colour, int(rng.integers(1, 5)))
        elif kind == 1:
            draw.rectangle((min(x, x2), min(y, y2), max(x, x2), max(y, y2)), colour, tuple(255 - c for c in colour))
        elif kind == 2:
            draw.polygon([(x + a, y + b) for a, b in rng.uniform(-reach, reach, (int(rng.integers(3, 6)), 2))], colour)
        else:
            text = "".join(rng.choice(list(LETTERS), rng.integers(1, 7)))
            draw.text((x - reach, y), text, colour, font=_font(int(rng.integers(12, 90))))
    return canvas


@functools.cache
def _font(size):
    return ImageFont.load_default(size)


def _paste(rng, pixels, sources, digit):
    """Blend one MNIST digit into float32 pixels, in place, in a colour that stands out from what lies behind it."""
    patch_size = int(np.ceil(digit.size * 1.6))
    mask = _mask(rng, sources, digit, patch_size)
    left = round(digit.center[0] - patch_size / 2)
    top = round(digit.center[1] - patch_size / 2)
    rows = slice(max(top, 0), min(top + patch_size, pixels.shape[0]))
    columns = slice(max(left, 0), min(left + patch_size, pixels.shape[1]))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    mask = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
    behind = pixels[rows, columns]
    colour = _contrasting_colour(rng, behind[::4, ::4][mask[::4, ::4, 0] > 0.5])
    behind += (colour - behind) * (mask * np.float32(rng.uniform(0.85, 1.0)))


def _mask(rng, sources, digit, patch_size):
    """A digit of the class, turned and sheared, as opacity in [0, 1] on a patch 1.6 times its size."""
    choices = np.flatnonzero(sources.labels == digit.label)
    glyph = Image.fromarray(sources.digits[choices[rng.integers(len(choices))]])
    angle, shear, aspect = np.deg2rad(rng.uniform(-18, 18)), rng.uniform(-0.15, 0.15), rng.uniform(0.85, 1.18)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # From patch pixels to glyph pixels, whose 20x20 frame lies in the middle of 28x28.
    matrix = np.diag([aspect, 1 / aspect]) @ np.array([[1, shear], [0, 1]]) @ turn * (20 / digit.size)
    offset = 14 - matrix @ np.full(2, patch_size / 2)
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    patch = glyph.transform((patch_size, patch_size), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    edge = rng.uniform(0.15, 0.45)
    return np.clip((np.asarray(patch) / np.float32(255) - edge) / 0.3, 0, 1)


def _contrasting_colour(rng, behind):
    """A random colour that differs in luminance by at least 60 of 255 from nine tenths of the pixels behind it.

    `behind` is float32 (pixels, 3). Where no such colour is found soon, the best of those tried is taken.
    """
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    colours = rng.uniform(0, 255, (20, 3)).astype(np.float32)
    colours[-2:] = [[0] * 3, [255] * 3]
    if not len(behind):
        return colours[0]
    differs = np.abs((colours @ weights)[:, None] - behind @ weights) >= 60
    shares = differs.mean(1)
    return colours[np.argmax(shares >= 0.9) if (shares >= 0.9).any() else shares.argmax()]
