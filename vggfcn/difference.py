"""How far two arrays are apart."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far an array is from the one that it should be, the reference.

    `max_abs_error` is the largest difference of any two values, `largest` the largest absolute value of the reference,
    and `max_rel_error` the former over the latter: infinite if only the reference is all zeros. NaN counts as larger
    than any number.
    """

    max_abs_error: float
    max_rel_error: float
    largest: float

    @staticmethod
    def between(reference: np.ndarray, other: np.ndarray) -> "Difference":
        """Of two arrays of any shape, which must be the same and not empty; raises `ValueError` otherwise."""
        if reference.shape != other.shape:
            raise ValueError(f"expected an array of shape {reference.shape}, got {other.shape}")
        error, largest = float(np.abs(other - reference).max()), float(np.abs(reference).max())
        return Difference(error, _share(error, largest), largest)

    @staticmethod
    def worst(differences: Iterable["Difference"]) -> "Difference":
        """The largest of each figure, of one difference or more."""
        figures = zip(*map(dataclasses.astuple, differences), strict=True)
        return Difference(*(max(column, key=_nan_is_largest) for column in figures))


def _share(error: float, largest: float) -> float:
    if largest:
        return error / largest
    return math.inf * error if error else 0.0


def _nan_is_largest(value: float) -> float:
    return math.inf if math.isnan(value) else value
