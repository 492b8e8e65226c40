"""Figures: heatmaps with a title and a colour scale."""

import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vggfcn.errors import one_line
from vggfcn.files import replacing
from vggfcn.maps.overlay import CONTOUR, OPACITY, line_width, overlay
from vggfcn.maps.scale import PROBABILITY, Scale

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def figure(
    image: np.ndarray,
    values: np.ndarray,
    title: str,
    box: tuple[float, float, float, float],
    *,
    opacity: float = OPACITY,
    contour: float | None = CONTOUR,
    scale: Scale = PROBABILITY,
) -> Image.Image:
    """Draw the image and, beside it, the heatmap over the image, with a title and a colour scale, as one RGB image.

    - `image`: RGB uint8 (height, width, 3).
    - `values`: the heatmap, float (height, width), or NaN where there is no value.
    - `title`: the text above the heatmap, broken into lines where necessary.
    - `box`: the window to outline, (left, top, right, bottom) in pixels, right and bottom excluded.
    - `opacity`, `contour`: as for `overlay.overlay`, which also documents the errors; the contour is a fraction of the
      scale.
    - `scale`: the range of the colours.
    """
    panels = [
        Image.fromarray(image),
        Image.fromarray(overlay(image, scale.fractions(values), opacity=opacity, contour=contour)),
    ]
    text = _text_size(image.shape[:2])
    for panel in panels:
        outline(panel, box)
    return _compose(panels, title, text, opacity, contour, scale)


def captioned(
    image: np.ndarray,
    values: np.ndarray,
    title: str,
    *,
    opacity: float = OPACITY,
    contour: float | None = CONTOUR,
    scale: Scale = PROBABILITY,
) -> Image.Image:
    """Draw the heatmap over the image, with a title and a colour scale, as one RGB image; arguments as for `figure`."""
    drawn = Image.fromarray(overlay(image, scale.fractions(values), opacity=opacity, contour=contour))
    return _compose([drawn], title, _text_size(image.shape[:2]), opacity, contour, scale)


def _text_size(sides: tuple[int, ...]) -> int:
    return max(12, min(sides) // 32)


def outline(panel: Image.Image, box: tuple[float, float, float, float]) -> None:
    """Outline a box, (left, top, right, bottom) in pixels, in white with a black edge, visible on any image."""
    draw, width = ImageDraw.Draw(panel), max(1, _text_size(panel.size) // 8)
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right, bottom), outline="black")
    draw.rectangle((left, top, right - 1, bottom - 1), outline="white", width=width)


def _compose(
    panels: list[Image.Image], title: str, text: int, opacity: float, contour: float | None, scale: Scale
) -> Image.Image:
    """Put panels of the same size in a row, the title above the last one, the colour scale on its right."""
    width, height = panels[-1].size
    font = ImageFont.load_default(text)
    title = "\n".join(_lines(one_line(title), font, width))
    spacing = text // 4
    _, top, _, bottom = ImageDraw.Draw(panels[-1]).multiline_textbbox((0, 0), title, font, spacing=spacing)
    header = max(round(bottom - top), text) + text
    room = 6 * text  # For the scale and its labels.
    canvas = Image.new("RGB", (len(panels) * (width + text) + text + room, height + header + text), "white")
    for number, panel in enumerate(panels):
        canvas.paste(panel, (text + number * (width + text), header))
    last = canvas.width - room - text - width
    ImageDraw.Draw(canvas).multiline_text((last, text / 2 - top), title, "black", font, spacing=spacing)
    _draw_scale(canvas, (last + width + text, header), height, text, opacity, scale)
    if contour is not None:
        corner = last + width + text, header + (1 - contour) * (height - 1)
        _mark_contour(canvas, corner, text, line_width(height, width))
    return canvas


def _lines(text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines no wider than `width`: between words, and within words that are too long."""
    lines = [""]
    for word in text.split():
        if font.getlength(f"{lines[-1]} {word}".strip()) <= width:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def _draw_scale(
    canvas: Image.Image, corner: tuple[int, int], height: int, text: int, opacity: float, scale: Scale
) -> None:
    """Draw the colours over mid-grey, from the scale's low end at the bottom to its high end at the top."""
    left, top = corner
    fractions = np.repeat(np.linspace(1, 0, height)[:, None], text, axis=1)
    grey = np.full((height, text, 3), 128, np.uint8)
    canvas.paste(Image.fromarray(overlay(grey, fractions, opacity=opacity)), corner)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(text)
    draw.text((left, top - 0.8 * text), scale.name, "black", font, anchor="ls")
    for place, label in scale.ticks():
        y = top + (1 - place) * (height - 1)
        draw.line((left + text, y, left + 1.3 * text, y), "black", max(1, text // 12))
        draw.text((left + 1.5 * text, y), label, "black", font, anchor="lm")


def _mark_contour(canvas: Image.Image, corner: tuple[int, float], length: int, width: int) -> None:
    """Draw the line of a contour across the scale, white above black."""
    draw, left, y = ImageDraw.Draw(canvas), corner[0], round(corner[1])
    draw.rectangle((left, y - width, left + length - 1, y - 1), "white")
    draw.rectangle((left, y, left + length - 1, y + width - 1), "black")


def write_png(drawn: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG atomically; raises `OSError` if it cannot be written."""
    with replacing(path) as unfinished:
        drawn.save(unfinished, format="PNG")
