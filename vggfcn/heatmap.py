"""A class's map drawn over the picture that it belongs to."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Of the colours, where the probability is 0 and where it is 1: the picture stays visible where there is nothing to see.
OPACITY = (0.35, 0.75)
# Every 16th colour of viridis (CC0; Smith & van der Walt 2015): perceptually uniform, readable in grey.
_VIRIDIS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 "
    "fde725"
)
_ANCHORS = np.array([list(bytes.fromhex(color)) for color in _VIRIDIS.split()], np.float32)


def colorize(values: np.ndarray) -> np.ndarray:
    """Colours of values in [0, 1]: uint8 (..., 3)."""
    positions = np.clip(values, 0, 1) * (len(_ANCHORS) - 1)
    channels = [np.interp(positions, np.arange(len(_ANCHORS)), _ANCHORS[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, -1)).astype(np.uint8)


def overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The picture in grey under the colours of `values` (height, width) in [0, 1]: uint8 (height, width, 3)."""
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., None]
    opacity = np.interp(values, (0, 1), OPACITY)[..., None]
    return np.round(grey * (1 - opacity) + colorize(values) * opacity).astype(np.uint8)


def figure(image: np.ndarray, values: np.ndarray, title: str, box: tuple[int, int, int, int]) -> Image.Image:
    """The picture, beside it the picture under the heatmap with its title and colour scale, as one RGB picture.

    `image` is RGB uint8 (height, width, 3), `values` float (height, width) in [0, 1], `box` the window to outline:
    (left, top, right, bottom) in pixels, right and bottom excluded.
    """
    height, width = values.shape
    text = max(12, min(height, width) // 32)
    gap, header, scale = text, 2 * text, 6 * text
    canvas = Image.new("RGB", (2 * width + 3 * gap + scale, height + header + gap), "white")
    draw = ImageDraw.Draw(canvas)
    left, right = gap, 2 * gap + width
    canvas.paste(Image.fromarray(image), (left, header))
    canvas.paste(Image.fromarray(overlay(image, values)), (right, header))
    for offset in (left, right):
        corners = (box[0] + offset, box[1] + header, box[2] - 1 + offset, box[3] - 1 + header)
        draw.rectangle(corners, outline="white", width=max(1, text // 8))
    draw.text((right, header / 2), title, "black", _font(title, text, width), anchor="lm")
    _draw_scale(canvas, draw, right + width + gap, header, height, text)
    return canvas


def _font(text: str, size: int, width: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The default font, at most `size` pixels and small enough that `text` takes at most `width`."""
    while size > 8 and ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    return ImageFont.load_default(size)


def _draw_scale(canvas: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, height: int, text: int) -> None:
    """The colour of each probability, from 0 at the bottom to 1 at the top, as it looks over mid-grey."""
    probabilities = np.repeat(np.linspace(1, 0, height)[:, None], text, axis=1)
    grey = np.full((height, text, 3), 128, np.uint8)
    canvas.paste(Image.fromarray(overlay(grey, probabilities)), (left, top))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + text / 2 + (1 - tick) * (height - text)
        draw.text((left + text * 1.4, y), f"{tick:g}", "black", ImageFont.load_default(text), anchor="lm")
    draw.text((left, top / 2), "probability", "black", _font("probability", text, 6 * text), anchor="lm")


def write_png(picture: Image.Image, path: str | os.PathLike) -> None:
    """Write a PNG so that no half-written file is ever seen at `path`; raises `OSError` if it cannot be written."""
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        picture.save(unfinished, format="PNG")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
