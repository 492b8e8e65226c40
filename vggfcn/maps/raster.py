"""Heatmaps as numbers, for further work: `.npy` and 16-bit TIFF, and where their pixels lie on the image."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from vggfcn.files import replacing

UNITS = "probability"
# In a TIFF, 0 stands for "no window covers this pixel"; 1 to 65535 are the probabilities from 0 to 1.
NODATA = 0
_STEPS = 65534
COORDINATES = (
    "x = offset[0] + scale[0] * column, y = offset[1] + scale[1] * row, in pixels of the original image, upright; "
    "pixel i's own middle is at i"
)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an array's pixels lie: (x, y) = offset + scale * (column, row), in pixels of the original image.

    Pixel i's own middle is at i, in the array and in the image.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def between(cls, shape: tuple[int, ...], original: tuple[int, ...]) -> "Placement":
        """For an image of a shape, (height, width) or with channels, that was resized from one of shape `original`.

        Their borders coincide, and so pixel 0's middle in the one is in general not that in the other.
        """
        x, y = original[1] / shape[1], original[0] / shape[0]
        return cls(scale=(x, y), offset=(x / 2 - 0.5, y / 2 - 0.5))


def write_npy(path: str | os.PathLike[str], values: np.ndarray, placement: Placement, *, label: str) -> pathlib.Path:
    """Write probabilities, float (height, width), as float32 `.npy`, and beside it `<path>.json`, which is returned.

    Values are in [0, 1], or NaN where no window covers the image. The JSON says which class it is and where the
    pixels lie; see `write_tiff`. Raises `ValueError` for other values and `OSError` if a file cannot be written; then
    nothing half-written remains.
    """
    _check(values)
    path = pathlib.Path(path)
    sidecar = path.with_name(f"{path.name}.json")
    described = _metadata(values, placement, label, scale=1.0, offset=0.0, nodata="NaN")
    with replacing(path) as unfinished, replacing(sidecar) as unfinished_sidecar:
        with unfinished.open("wb") as file:
            np.save(file, values.astype(np.float32), allow_pickle=False)
        unfinished_sidecar.write_text(json.dumps(described, indent=2) + "\n", encoding="ascii")
    return sidecar


def write_tiff(path: str | os.PathLike[str], values: np.ndarray, placement: Placement, *, label: str) -> None:
    """Write probabilities, float (height, width), as 16-bit grey TIFF, losslessly compressed (Deflate).

    Values are in [0, 1], or NaN where no window covers the image. The tag ImageDescription holds JSON: `value_scale`
    and `value_offset`, such that probability = value_scale * stored + value_offset, to 1 / 131068 (7.7e-06); `nodata`,
    which is stored for NaN; `scale` and `offset`, (x, y) each, such that the pixel in (column, row) lies at
    offset + scale * (column, row) of the original image; `shape`, `label`, `units` and a sentence on `coordinates`.

    Raises `ValueError` for other values and `OSError` if the file cannot be written; then nothing half-written remains.
    """
    _check(values)
    known = ~np.isnan(values)
    stored = np.rint(np.where(known, values, 0) * np.float64(_STEPS)).astype(np.uint16) + np.uint16(1)
    stored[~known] = NODATA
    described = _metadata(values, placement, label, scale=1 / _STEPS, offset=-1 / _STEPS, nodata=NODATA)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[TiffImagePlugin.IMAGEDESCRIPTION] = json.dumps(described)
    with replacing(path) as unfinished:
        Image.fromarray(stored).save(unfinished, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)


def _check(values: np.ndarray) -> None:
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values: expected (height, width) with at least one pixel, got an array {values.shape}")
    wrong = (values < 0) | (values > 1)
    if wrong.any():
        raise ValueError(f"values: expected probabilities in [0, 1] or NaN, got {values[wrong][0]}")


def _metadata(
    values: np.ndarray, placement: Placement, label: str, scale: float, offset: float, nodata: float | str
) -> dict[str, Any]:
    return {
        "label": label,
        "units": UNITS,
        "shape": list(values.shape),
        "value_scale": scale,
        "value_offset": offset,
        "nodata": nodata,
        "scale": list(placement.scale),
        "offset": list(placement.offset),
        "coordinates": COORDINATES,
    }
