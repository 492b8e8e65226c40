"""Measure what padding inside a network does to its dense maps: how far cells see, and whether windows alone agree."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.conversion.verify import rounding
from vggfcn.difference import Difference
from vggfcn.engines.engine import Engine, check, engine_of
from vggfcn.errors import GeometryError, one_line
from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.evaluators import each_window
from vggfcn.graph import shapes
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.images import resizing
from vggfcn.images.noise import image_like_noise
from vggfcn.maps.window_grid import WindowGrid
from vggfcn.networks.builders.inputs import prepared

CELLS = 121
CELLS_OF_CLASSIFIER = 49
MAX_SIDE = 1280
MOST_CELLS = 400
# Below this share of cells with the same class, the dense map is not a map of the windows' classes.
GOOD_AGREEMENT = 0.95
WINDOWS = 'mode="windows" (--mode windows)'


@dataclasses.dataclass(frozen=True)
class PaddingEffect(Difference):
    """What padding does to a dense map: how far its cells see, and how far it is from its windows evaluated alone.

    - `max_abs_error`: the largest difference between a logit of the dense map and of the window alone.
    - `largest`: the largest absolute logit of the windows.
    - `max_rel_error`: the first divided by the second.
    - `mean_abs_error`: the mean difference of logits.
    - `same_class`: the share of cells, in [0, 1], to which both give the same class.
    - `tolerance`: how large `max_rel_error` may be by rounding alone.
    - `cells`: the number of cells compared.
    - `classes`: to how many classes the windows belong. If they all belong to one, `same_class` says little.
    - `window`: (height, width) of the window that a cell stands for, in pixels.
    - `seen`: (height, width) of the pixels that a cell reads on the dense map; None if that cannot be computed.
    - `outside`: the share of these pixels, in [0, 1], that lie outside the window; None if that cannot be computed.
    - `unknown`: why `seen` cannot be computed, else "".
    - `on`: what was compared, "noise" or "2 images".
    """

    mean_abs_error: float
    same_class: float
    tolerance: float
    cells: int
    classes: int
    window: tuple[int, int]
    seen: tuple[int, int] | None
    outside: float | None
    unknown: str
    on: str

    @property
    def exact(self) -> bool:
        """Whether rounding alone explains all differences."""
        return bool(self.max_rel_error <= self.tolerance)

    def __str__(self) -> str:
        if self.seen is None:
            seen = f"how far a cell sees beyond its window of {_size(self.window)} pixels is unknown ({self.unknown})"
        elif self.outside:
            seen = f"each cell sees {_size(self.seen)} pixels where its window has {_size(self.window)}"
        else:
            seen = f"each cell sees no more than its window of {_size(self.window)} pixels"
        if self.exact:
            same = f"dense map and windows are equal up to rounding ({self.max_rel_error:.1e} of the largest logit)"
            return f"{seen}; on {self.on}, {same}"
        agree = (
            f"dense map and windows agree on the class in {_percent(self.same_class)} of {self.cells} cells, and their "
            f"logits differ by {self.mean_abs_error:.2g} on average where the largest is {self.largest:.3g}"
        )
        if self.same_class < GOOD_AGREEMENT:
            advice = f"use {WINDOWS}"
        elif self.classes == 1:
            advice = "this says little, since all windows have one class; pass images with several"
        else:
            advice = f"{WINDOWS} is exact"
        return f"{seen}; on {self.on}, {agree}: {advice}"


def padding_effect(
    model: keras.Model,
    native_size: int | tuple[int, int] | None = None,
    images: Sequence[np.ndarray] | None = None,
    *,
    value_range: tuple[float, float] = (0.0, 255.0),
    threshold: float = 0.0,
    cells: int = CELLS,
    engine: str | Engine = "tensorflow",
    seed: int = 0,
) -> PaddingEffect:
    """Compare a network's dense map with its windows evaluated one by one, and say how far a cell sees.

    A window alone is surrounded by the zeros that padding inside the network adds. On the dense map, the cell sees the
    window's surroundings there. So a cell is the original network's output on its window only if nothing is padded. How
    much that matters depends on the network: measure it before you rely on dense maps of a padded network.

    - `model`: a fully convolutional model, channels last: the result of `vggfcn.convert`, `build` or `cam`.
    - `native_size`: the original's side, or (height, width), in pixels. By default that of the smallest image with a
      cell, if nothing is padded or if it is a multiple of the stride, as for VGG and MobileNet. Required for others,
      such as ResNet50, which was trained at 224 and has a cell from 193 pixels up, and if cells depend on the whole
      image.
    - `images`: uint8 or floating point (height, width, channels), at least as large as a window, in the range that the
      network takes. The middle of each is used, as much as gives `cells` cells in all. By default it is one image of
      noise, `image_like_noise`.
    - `value_range`: the lowest and the highest value of the noise.
    - `threshold`: the class of a map with one channel is whether its value is above this: 0 for logits, 0.5 if the
      network ends in a sigmoid. With several channels it is the channel with the highest value.
    - `cells`: how many cells to compare at most, up to 400. Each costs as much as the network at native size.
    - `engine`: as for `score_map`.
    - `seed`: the seed of the noise.

    Raises `ValueError` for invalid arguments, for a `native_size` at which the map has more than one cell, and for an
    image smaller than a window; `EngineError` as `compile` does.

    >>> print(padding_effect(vggfcn.build(weights="scene-digits")))
    """
    _check_arguments(model, images, value_range, cells)
    native, strides = _native_size(model, native_size)
    grid = WindowGrid(native, strides)
    channels = model.inputs[0].shape[-1]
    if images is None:
        size = grid.cells(cells)
        parts = [(image_like_noise((*grid.size(size), channels), value_range, seed), size)]
    else:
        parts = [_middle(image, channels, grid, cells // len(images)) for image in images]
    run = engine_of(model, engine)
    pairs = [(_dense(run, part, size), each_window(run, part, grid, size)) for part, size in parts]
    dense, windows = (np.concatenate(maps).astype(np.float64) for maps in zip(*pairs, strict=True))
    seen, outside, unknown = _seen(model, native)
    return PaddingEffect(
        **dataclasses.asdict(Difference.between(windows, dense)),
        mean_abs_error=float(np.abs(dense - windows).mean()),
        same_class=float((_classes(dense, threshold) == _classes(windows, threshold)).mean()),
        tolerance=rounding(model)[1],
        cells=len(dense),
        classes=len(np.unique(_classes(windows, threshold))),
        window=native,
        seen=seen,
        outside=outside,
        unknown=unknown,
        on="noise" if images is None else f"{len(images)} image{'s' * (len(images) > 1)}",
    )


def _check_arguments(
    model: keras.Model, images: Sequence[np.ndarray] | None, value_range: tuple[float, float], cells: int
) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    check(model)
    shape, output = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(shape) != 4 or len(output) != 4 or shape[1:3] != (None, None) or output[3] is None:
        raise ValueError(
            f"model: expected images and maps of any size, channels last, got {shape} and {output}; convert it first"
        )
    if images is not None and not len(images):
        raise ValueError("images: expected at least one, or None for noise")
    for number, image in enumerate(images or ()):
        if np.ndim(image) != 3:
            raise ValueError(f"images[{number}]: expected (height, width, channels), got shape {np.shape(image)}")
    fewest = 1 if images is None else len(images)
    if not isinstance(cells, int) or not fewest <= cells <= MOST_CELLS:
        raise ValueError(f"cells: expected a number from {fewest}, one for each image, to {MOST_CELLS}, got {cells!r}")
    if len(value_range) != 2 or not -math.inf < value_range[0] < value_range[1] < math.inf:
        raise ValueError(f"value_range: expected (lowest, highest) value of a pixel, got {value_range!r}")


def _native_size(
    model: keras.Model, native_size: int | tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The (height, width) of a window, and the distances (down, right) between cells, in pixels."""
    try:
        field = receptive_field(model)
    except GeometryError as error:
        if native_size is None:
            raise ValueError(f"native_size: expected the original's size in pixels, since {_reason(error)}") from error
        strides = shapes.strides(model)
        if any(step.denominator > 1 for step in strides):
            raise GeometryError(
                f"{model.name}: its cells are {strides[0]} x {strides[1]} pixels apart, so they are no windows"
            ) from error
        down, right = map(int, strides)
        return _pair(native_size), (down, right)
    if native_size is not None:
        return _pair(native_size), field.stride
    smallest = field.rows.window, field.columns.window
    padded = field.size != smallest
    whole_strides = not any(side % stride for side, stride in zip(smallest, field.stride, strict=True))
    if padded and not (whole_strides and receptive_field(model, size=smallest) == field):
        raise ValueError(
            f"native_size: expected the original's size in pixels, since the smallest image with a cell, "
            f"{_size(smallest)}, need not be it; if {model.name} was made finer, pass the network that it was made from"
        )
    return smallest, field.stride


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _reason(error: GeometryError) -> str:
    """The reason that an error gives, without what to do."""
    return one_line(error).split(";")[0]


def _middle(image: np.ndarray, channels: int, grid: WindowGrid, most: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The middle of an image, as large as at most so many windows take, and their (rows, columns)."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        image = resizing.with_channels(image, channels)
    height, width = image.shape[:2]
    if height < grid.window[0] or width < grid.window[1]:
        raise ValueError(f"images: expected at least {_size(grid.window)} pixels, got {width} x {height}")
    cells = grid.cells(most, (height, width))
    rows, columns = grid.size(cells)
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns], cells


def _dense(run: Engine, image: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """The values of the dense map, (cells, channels)."""
    dense = run(image[None])[0, : cells[0], : cells[1]]
    return dense.reshape(-1, dense.shape[-1])


def _seen(model: keras.Model, native: tuple[int, int]) -> tuple[tuple[int, int] | None, float | None, str]:
    """The (height, width) that a cell sees, the share of it outside the window, and why neither is known."""
    try:
        field = receptive_field(model, size=native)
    except GeometryError as error:
        return None, None, _reason(error)
    inside = 1
    for axis, window in zip((field.rows, field.columns), native, strict=True):
        start, stop = axis.span(0)
        inside *= max(0, min(stop, window) - max(start, 0))
    return field.size, 1 - inside / math.prod(field.size), ""


def _classes(values: np.ndarray, threshold: float) -> np.ndarray:
    return values[:, 0] > threshold if values.shape[-1] == 1 else values.argmax(-1)


def _size(size: tuple[int, ...]) -> str:
    """(height, width) as everywhere in reports: width x height."""
    return f"{size[1]} x {size[0]}"


def _percent(share: float) -> str:
    """Whole per cent, but 100 only if it is all."""
    return "100 %" if share == 1 else f"{min(99, round(100 * share))} %"


def padding_of(
    classifier: Classifier, images: Sequence[np.ndarray] = (), preprocessing: Preprocessing | None = None
) -> PaddingEffect:
    """The `padding_effect` of a classifier's converted network, on a few cells.

    `images` are RGB uint8 (height, width, 3); those smaller than two windows are enlarged. `preprocessing` is how they
    are prepared if the classifier does not know it. If nobody does, or without images, the effect is measured on noise,
    in the range that the network probably takes.
    """
    options: dict[str, Any] = {"native_size": classifier.native_size, "cells": CELLS_OF_CLASSIFIER}
    network = classifier.converted
    if classifier.preprocessing is None and preprocessing is None:
        return padding_effect(network, value_range=(-1.0, 1.0), **options)
    if classifier.preprocessing is None:
        network = prepared(network, preprocessing, native=False)
    height, width = classifier.native_size
    fitted = [resizing.fit(image, (2 * height, 2 * width), MAX_SIDE) for image in images]
    return padding_effect(network, images=fitted or None, **options)
