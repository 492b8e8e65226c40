"""Drawing a heatmap in colours over its image."""

import numpy as np
from PIL import Image

# The opacity of the colours where the probability is 1.
OPACITY = 0.75
# The fraction of that opacity where the probability is 0, so that the image stays visible there.
FAINTEST = 0.45
# The probability at which a contour is drawn; None for no contour.
CONTOUR = None
# Every 16th colour of viridis (CC0; Smith & van der Walt 2015), which is perceptually uniform and readable in grey.
_VIRIDIS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 "
    "fde725"
)
_ANCHORS = np.array([list(bytes.fromhex(color)) for color in _VIRIDIS.split()])
# A lookup table, faster than interpolation; adjacent colours differ by at most one level per channel.
_STEPS = 4096
_COLORS = np.stack([np.interp(np.linspace(0, 16, _STEPS + 1), np.arange(17), channel) for channel in _ANCHORS.T], -1)
_COLORS = np.round(_COLORS).astype(np.uint8)


def colorize(values: np.ndarray) -> np.ndarray:
    """Map values to colours, uint8 (..., 3); values outside [0, 1] are clipped."""
    return _COLORS[np.rint(np.clip(values, 0, 1) * _STEPS).astype(np.intp)]


def overlay(
    image: np.ndarray, values: np.ndarray, *, opacity: float = OPACITY, contour: float | None = CONTOUR
) -> np.ndarray:
    """Draw the colours of `values` over the image in grey: uint8 (height, width, 3).

    - `image`: RGB uint8 (height, width, 3).
    - `values`: float (height, width) in [0, 1]; where they are NaN, only the grey image is drawn.
    - `opacity`: the opacity of the colours where the value is 1, in (0, 1]; at 1 they hide the image. It decreases to
      `FAINTEST` times that where the value is 0.
    - `contour`: the value at which a line is drawn, in (0, 1), white on the side of higher values and black on the
      other, so that it is visible on any image.

    Raises `ValueError` if the shapes differ or an argument is out of range.
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
    """The width in pixels of each side of a contour, thin but visible at the size of the image."""
    return max(1, min(height, width) // 400)


def _draw_contour(drawn: np.ndarray, above: np.ndarray, below: np.ndarray) -> None:
    """Draw the line between two masks, white within the first and black within the second."""
    width = line_width(*above.shape)
    drawn[above & _dilated(below, width)] = 255
    drawn[below & _dilated(above, width)] = 0


def _dilated(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Dilate a mask by a number of pixels, up, down, left and right."""
    for _ in range(pixels):
        dilated = mask.copy()
        dilated[1:] |= mask[:-1]
        dilated[:-1] |= mask[1:]
        dilated[:, 1:] |= mask[:, :-1]
        dilated[:, :-1] |= mask[:, 1:]
        mask = dilated
    return mask
