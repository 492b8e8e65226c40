"""How a checkpoint expects its input to be preprocessed; this belongs to the weights, not to the architecture."""

import dataclasses
import math
from collections.abc import Sequence

from vggfcn.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Mean and standard deviation per channel, RGB or grey, for pixels in [0, 255]: x -> (x - mean) / std."""

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def checked(cls, path: object, mean: Sequence[float], std: Sequence[float]) -> "Preprocessing":
        """The preprocessing that the file at `path` states; raises `WeightsError` if its numbers are unusable."""
        fits = len(mean) == len(std) in (1, 3) and all(map(math.isfinite, [*mean, *std])) and min(std) > 0
        if not fits:
            raise WeightsError(
                f"{path}: expected a mean and a positive standard deviation for each channel (three for RGB, one for "
                f"grey), found {str(mean)[:80]} and {str(std)[:80]}"
            )
        return cls(tuple(mean), tuple(std))


# The mean of ImageNet's training pixels. Simonyan & Zisserman subtracted it, and so does every port of their weights.
IMAGENET_MEAN = Preprocessing(mean=(123.68, 116.779, 103.939))
# torchvision's training, for pixels in [0, 1]: mean .485 .456 .406, standard deviation .229 .224 .225.
TORCHVISION = Preprocessing(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255))
# LeCun et al. 1998, section II.B: the background becomes -0.1 and the foreground 1.175.
LENET_RANGE = Preprocessing(mean=(20.0,), std=(200.0,))


def default_preprocessing(channels: int) -> Preprocessing:
    """The preprocessing of a network with random weights, by its number of input channels, as in its paper."""
    return {1: LENET_RANGE, 3: IMAGENET_MEAN}.get(channels, Preprocessing((0.0,) * channels, (1.0,) * channels))
