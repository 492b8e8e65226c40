"""A class's map in colours over the image that it belongs to."""

import numpy as np
from PIL import Image

# Of the colours where the probability is 1.
OPACITY = 0.75
# Of that, what is left where the probability is 0: the image stays visible where there is nothing to see.
FAINTEST = 0.45
# The probability at which a line is drawn; None draws none.
CONTOUR = None
# Every 16th colour of viridis (CC0; Smith & van der Walt 2015): perceptually uniform, readable in grey.
_VIRIDIS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 "
    "fde725"
)
_ANCHORS = np.array([list(bytes.fromhex(color)) for color in _VIRIDIS.split()])
# Looked up rather than interpolated for each pixel; neighbours are at most one level of a channel apart.
_STEPS = 4096
_COLORS = np.stack([np.interp(np.linspace(0, 16, _STEPS + 1), np.arange(17), channel) for channel in _ANCHORS.T], -1)
_COLORS = np.round(_COLORS).astype(np.uint8)


def colorize(values: np.ndarray) -> np.ndarray:
    """Colours of values in [0, 1], what lies outside taken for 0 or 1: uint8 (..., 3)."""
    return _COLORS[np.rint(np.clip(values, 0, 1) * _STEPS).astype(np.intp)]


def overlay(
    image: np.ndarray, values: np.ndarray, *, opacity: float = OPACITY, contour: float | None = CONTOUR
) -> np.ndarray:
    """The image in grey under the colours of `values`: uint8 (height, width, 3).

    `image` is RGB uint8 (height, width, 3), `values` float (height, width) in [0, 1]. Where values are NaN there is
    nothing to say, and the grey image is seen alone.

    `opacity`, in (0, 1], is that of the colours where the value is 1: at 1 nothing of the image is left there; it
    falls to `FAINTEST` of that where the value is 0. `contour`, in (0, 1), is the value at which a line is drawn, white
    on its upper side and black on its lower one, so that it is seen on any image. Raises `ValueError` for others.
    """
    _check(image, values, opacity, contour)
    known = ~np.isnan(values)
    values = np.where(known, values, 0).astype(np.float32)
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., None]
    opacities = known * (opacity * (FAINTEST + (1 - FAINTEST) * np.clip(values, 0, 1)))
    mixed = colorize(values) - grey
    mixed *= opacities[..., None].astype(np.float32)
    mixed += grey
    drawn = np.rint(mixed, out=mixed).astype(np.uint8)
    if contour is not None:
        _draw_contour(drawn, known & (values >= contour), known & (values < contour))
    return drawn


def _check(image: np.ndarray, values: np.ndarray, opacity: float, contour: float | None) -> None:
    if values.shape != image.shape[:2]:
        raise ValueError(f"values: expected the image's height and width, {image.shape[:2]}, got {values.shape}")
    if not 0 < opacity <= 1:
        raise ValueError(f"opacity: expected more than 0 and at most 1, got {opacity}")
    if contour is not None and not 0 < contour < 1:
        raise ValueError(f"contour: expected a probability between 0 and 1, both excluded, got {contour}")


def line_width(height: int, width: int) -> int:
    """Pixels on either side of a contour, so that it is thin and yet seen at the image's size."""
    return max(1, min(height, width) // 400)


def _draw_contour(drawn: np.ndarray, above: np.ndarray, below: np.ndarray) -> None:
    """Draw the line between what is above the level and what is below it."""
    width = line_width(*above.shape)
    drawn[above & _grown(below, width)] = 255
    drawn[below & _grown(above, width)] = 0


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask with all pixels that are so many steps, up, down, left or right, from it."""
    for _ in range(pixels):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask
