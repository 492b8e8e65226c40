"""What a checkpoint expects of its input; it belongs to the weights, not to the architecture."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Per-channel mean and standard deviation, in RGB order, on pixels in [0, 255]: x -> (x - mean) / std."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


# The mean of ImageNet's training pixels, subtracted by Simonyan & Zisserman and so by every port of their weights.
IMAGENET_MEAN = Preprocessing(mean=(123.68, 116.779, 103.939))
