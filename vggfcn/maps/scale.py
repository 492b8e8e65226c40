"""The scale of a heatmap: what its values are called, and which range the colours cover."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Scale:
    """The values at the two ends of the colours, and the name of the quantity."""

    low: float
    high: float
    name: str

    @classmethod
    def of(cls, values: np.ndarray) -> "Scale":
        """The scale of values that are no probabilities: from their least to their largest, NaN and infinity left out.

        Values that are all the same get a scale of width 1 around them.
        """
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        return cls(low, high, "value") if high > low else cls(low - 0.5, low + 0.5, "value")

    def fractions(self, values: np.ndarray) -> np.ndarray:
        """Where values lie on the scale: 0 at its low end, 1 at its high end."""
        if self == PROBABILITY:
            return values
        return (values - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Places on the scale, from 0 to 1, and the text beside them."""
        return [(place, f"{self.low + place * (self.high - self.low):.3g}") for place in (0, 0.25, 0.5, 0.75, 1)]


PROBABILITY = Scale(0.0, 1.0, "probability")
