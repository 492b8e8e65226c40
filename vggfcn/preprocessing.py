"""What a checkpoint expects of its input; it belongs to the weights, not to the architecture."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Mean and standard deviation by channel, RGB or grey, on pixels in [0, 255]: x -> (x - mean) / std."""

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


# The mean of ImageNet's training pixels, subtracted by Simonyan & Zisserman and so by every port of their weights.
IMAGENET_MEAN = Preprocessing(mean=(123.68, 116.779, 103.939))
# LeCun et al. 1998, section II.B: the background is put to -0.1 and ink to 1.175.
LENET_RANGE = Preprocessing(mean=(20.0,), std=(200.0,))


def default(channels: int) -> Preprocessing:
    """What a network with random weights gets, of its paper, by the number of its input channels."""
    return {1: LENET_RANGE, 3: IMAGENET_MEAN}.get(channels, Preprocessing((0.0,) * channels, (1.0,) * channels))
