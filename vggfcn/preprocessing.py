"""What a checkpoint expects of its input; it belongs to the weights, not to the architecture."""

import dataclasses
import math
from collections.abc import Sequence

from vggfcn.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Per-channel mean and standard deviation, in RGB order, on pixels in [0, 255]: x -> (x - mean) / std."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def checked(cls, path: object, mean: Sequence[float], std: Sequence[float]) -> "Preprocessing":
        """What the file at `path` states; raises `WeightsError` if no picture can be preprocessed so."""
        numbers = [*mean, *std]
        if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, numbers)) or min(std) <= 0:
            raise WeightsError(
                f"{path}: expected a mean and a positive standard deviation for R, G and B, found {mean} and {std}"
            )
        return cls((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


# The mean of ImageNet's training pixels, subtracted by Simonyan & Zisserman and so by every port of their weights.
IMAGENET_MEAN = Preprocessing(mean=(123.68, 116.779, 103.939))
# What torchvision trained with, on pixels in [0, 1]: mean .485 .456 .406, standard deviation .229 .224 .225.
TORCHVISION = Preprocessing(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255))
