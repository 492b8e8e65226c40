"""How much two arrays differ."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much an array differs from its reference.

    `max_abs_error` is the largest absolute difference between corresponding values, `largest` is the largest absolute
    value of the reference, and `max_rel_error` is the first divided by the second. If only the reference is all zeros,
    `max_rel_error` is infinite. NaN counts as larger than any number.
    """

    max_abs_error: float
    max_rel_error: float
    largest: float

    @staticmethod
    def between(reference: np.ndarray, other: np.ndarray) -> "Difference":
        """Compare two arrays of the same shape, which must not be empty; raises `ValueError` if the shapes differ."""
        if reference.shape != other.shape:
            raise ValueError(f"expected an array of shape {reference.shape}, got {other.shape}")
        error, largest = float(np.abs(other - reference).max()), float(np.abs(reference).max())
        return Difference(error, _relative(error, largest), largest)

    @staticmethod
    def worst(differences: Iterable["Difference"]) -> "Difference":
        """The maximum of each field over one or more differences."""
        fields = zip(*map(dataclasses.astuple, differences), strict=True)
        return Difference(*(max(column, key=_nan_is_largest) for column in fields))


def _relative(error: float, largest: float) -> float:
    if largest:
        return error / largest
    return math.inf * error if error else 0.0


def _nan_is_largest(value: float) -> float:
    return math.inf if math.isnan(value) else value
