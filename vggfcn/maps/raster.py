"""Writing heatmaps as numbers, to `.npy` and 16-bit TIFF files, with the position of their pixels on the image."""

import dataclasses
import io
import json
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from vggfcn.files import replacing
from vggfcn.maps.scale import PROBABILITY

# In a TIFF, 0 means that no window covers the pixel; 1 to 65535 are the probabilities from 0 to 1.
NODATA = 0
_STEPS = 65534
COORDINATES = (
    "x = offset[0] + scale[0] * column, y = offset[1] + scale[1] * row, in pixels of the original image, upright; "
    "pixel i's own middle is at i"
)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the pixels of an array lie on the original image: (x, y) = offset + scale * (column, row), in its pixels.

    The centre of pixel i is at i, in the array and in the image.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def between(cls, shape: tuple[int, ...], original: tuple[int, ...]) -> "Placement":
        """The placement of an image of shape (height, width) or (height, width, channels) resized from `original`.

        The borders of both images coincide, so the centres of their first pixels generally do not.
        """
        x, y = original[1] / shape[1], original[0] / shape[0]
        return cls(scale=(x, y), offset=(x / 2 - 0.5, y / 2 - 0.5))


def write_npy(
    path: str | os.PathLike[str],
    values: np.ndarray,
    placement: Placement,
    *,
    label: str,
    units: str = "probability",
) -> pathlib.Path:
    """Write a heatmap as float32 to a `.npy` file, and its metadata to `<path>.json`; returns that path.

    - `path`: the `.npy` file.
    - `values`: float (height, width), or NaN where no window covers the image. Probabilities are in [0, 1].
    - `placement`: where the pixels of `values` lie on the original image.
    - `label`: the name of the class.
    - `units`: what the values are, "probability" or "value".

    The metadata are those of `write_tiff`. Raises `ValueError` for other values, and `OSError` if a file cannot be
    written; no incomplete file remains then.
    """
    _check(values, units)
    path = pathlib.Path(path)
    sidecar = path.with_name(f"{path.name}.json")
    metadata = _metadata(values, placement, label, units, scale=1.0, offset=0.0, nodata="NaN")
    encoded = io.BytesIO()  # NumPy does not say what is wrong with a disk, and neither does libtiff.
    np.save(encoded, values.astype(np.float32), allow_pickle=False)
    with replacing(path) as unfinished, replacing(sidecar) as unfinished_sidecar:
        unfinished.write_bytes(encoded.getvalue())
        unfinished_sidecar.write_text(json.dumps(metadata, indent=2) + "\n", encoding="ascii")
    return sidecar


def write_tiff(path: str | os.PathLike[str], values: np.ndarray, placement: Placement, *, label: str) -> None:
    """Write probabilities to a 16-bit grey TIFF file with lossless compression (Deflate).

    - `path`: the TIFF file.
    - `values`: float (height, width) in [0, 1], or NaN where no window covers the image.
    - `placement`: where the pixels of `values` lie on the original image.
    - `label`: the name of the class.

    The tag ImageDescription holds the metadata as JSON:

    - `value_scale`, `value_offset`: probability = value_scale * stored + value_offset, to within 1 / 131068 (7.7e-06).
    - `nodata`: the stored value that means NaN.
    - `scale`, `offset`: (x, y) each; the pixel at (column, row) lies at offset + scale * (column, row) of the original.
    - `shape`, `label`, `units`, and `coordinates`, a sentence that explains scale and offset.

    Raises `ValueError` for other values, and `OSError` if the file cannot be written; no incomplete file remains then.
    """
    _check(values, PROBABILITY.name)
    known = ~np.isnan(values)
    stored = np.rint(np.where(known, values, 0) * np.float64(_STEPS)).astype(np.uint16) + np.uint16(1)
    stored[~known] = NODATA
    metadata = _metadata(
        values, placement, label, PROBABILITY.name, scale=1 / _STEPS, offset=-1 / _STEPS, nodata=NODATA
    )
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[TiffImagePlugin.IMAGEDESCRIPTION] = json.dumps(metadata)
    encoded = io.BytesIO()
    Image.fromarray(stored).save(encoded, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
    with replacing(path) as unfinished:
        unfinished.write_bytes(encoded.getvalue())


def _check(values: np.ndarray, units: str) -> None:
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values: expected (height, width) with at least one pixel, got an array {values.shape}")
    wrong = (values < 0) | (values > 1)
    if units == PROBABILITY.name and wrong.any():
        raise ValueError(f"values: expected probabilities in [0, 1] or NaN, got {values[wrong][0]}")


def _metadata(
    values: np.ndarray, placement: Placement, label: str, units: str, scale: float, offset: float, nodata: float | str
) -> dict[str, Any]:
    return {
        "label": label,
        "units": units,
        "shape": list(values.shape),
        "value_scale": scale,
        "value_offset": offset,
        "nodata": nodata,
        "scale": list(placement.scale),
        "offset": list(placement.offset),
        "coordinates": COORDINATES,
    }
