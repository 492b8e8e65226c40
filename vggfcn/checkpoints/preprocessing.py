"""How a network expects its input to be preprocessed; this belongs to the weights, not to the architecture."""

import dataclasses
import math
import shlex
from collections.abc import Sequence

from vggfcn.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a network's weights expect to be done to pixels in [0, 255], RGB or grey: x -> (x - mean) / std.

    `mean` and `std` have one number per channel, in the order RGB. With `color_order` "BGR" the channels are reversed
    afterwards. `str` gives a text that `parse_preprocessing` reads.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    color_order: str = "RGB"

    @classmethod
    def checked(
        cls, path: object, mean: Sequence[float], std: Sequence[float], color_order: str = "RGB"
    ) -> "Preprocessing":
        """The preprocessing that the file at `path` states; raises `WeightsError` if its numbers are unusable."""
        fits = len(mean) == len(std) in (1, 3) and all(map(math.isfinite, [*mean, *std])) and min(std) > 0
        if not fits:
            raise WeightsError(
                f"{path}: expected a mean and a positive standard deviation for each channel (three for RGB, one for "
                f"grey), found {list(mean[:4])} and {list(std[:4])}"
            )
        return cls(tuple(mean), tuple(std), color_order)

    @property
    def is_identity(self) -> bool:
        """Whether pixels stay as they are."""
        return not any(self.mean) and set(self.std) == {1.0} and self.color_order == "RGB"

    def __str__(self) -> str:
        for name in CHOICES:
            if self == _choice(name, len(self.mean)):
                return name
        numbers = (
            ",".join(repr(value).removesuffix(".0") for value in map(float, values)) for values in (self.mean, self.std)
        )
        order = "" if self.color_order == "RGB" else f",order={self.color_order}"
        return "mean={},std={}".format(*numbers) + order


# The mean of ImageNet's training pixels. Simonyan & Zisserman subtracted it, and so does every port of their weights.
IMAGENET_MEAN = Preprocessing(mean=(123.68, 116.779, 103.939))
# torchvision's training, for pixels in [0, 1]: mean .485 .456 .406, standard deviation .229 .224 .225.
TORCHVISION = Preprocessing(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255))
# LeCun et al. 1998, section II.B: the background becomes -0.1 and the foreground 1.175.
LENET_RANGE = Preprocessing(mean=(20.0,), std=(200.0,))

# The preprocessing that people train with, by the name under which it can be chosen. "tf", "caffe" and "torch" are the
# modes of `preprocess_input` in Keras's imagenet_utils.py.
CHOICES = {
    "raw": "0 to 255, as they are",
    "0..1": "divided by 255",
    "-1..1": "divided by 127.5, minus 1, as for MobileNet",
    "caffe": "BGR minus ImageNet's mean, as for VGG",
    "torch": "ImageNet's mean and deviation, as torchvision",
    "mean=..,std=..": "(x - mean) / std of 0 to 255, in the order R,G,B",
}
_ALIASES = {"tf": "-1..1"}


def parse_preprocessing(text: str, channels: int = 3) -> Preprocessing:
    """The preprocessing that a text names: a key of `CHOICES`, "tf", or "mean=104,117,124,std=1,1,1".

    A single number stands for all channels, std may be left out, and ",order=BGR" reverses the channels afterwards.
    Raises `ValueError` for any other text, and for one that does not fit the number of channels.
    """
    name = _ALIASES.get(text.strip().lower(), text.strip().lower())
    if name in CHOICES and (choice := _choice(name, channels)):
        return choice
    if name in CHOICES and "=" not in name:
        raise ValueError(f"preprocess: {text!r} is for RGB, and the network takes {channels} channel(s)")
    if not name.startswith("mean="):
        raise ValueError(f"preprocess: expected {', '.join(CHOICES)}, got {text!r}")
    return _from_numbers(text, name, channels)


def _choice(name: str, channels: int) -> Preprocessing | None:
    """The preprocessing of one of `CHOICES`; None if it does not exist for this number of channels."""
    if name in ("caffe", "torch"):
        rgb = dataclasses.replace(IMAGENET_MEAN, color_order="BGR") if name == "caffe" else TORCHVISION
        return rgb if channels == 3 else None
    numbers = {"raw": (0.0, 1.0), "0..1": (0.0, 255.0), "-1..1": (127.5, 127.5)}.get(name)
    return numbers and Preprocessing((numbers[0],) * channels, (numbers[1],) * channels)


def _from_numbers(text: str, name: str, channels: int) -> Preprocessing:
    """The preprocessing of a text such as "mean=104,117,124,std=1,1,1,order=bgr"."""
    values: dict[str, list[float]] = {}
    body, _, order = name.partition(",order=")
    try:
        for part in body.split(","):
            key, found, number = part.rpartition("=")
            if found and key in values:
                raise ValueError(f"{key} is given twice")
            if found:
                values[key] = []
            values[next(reversed(values))].append(float(number))
    except (ValueError, StopIteration):
        values = {}
    values = {key: numbers * channels if len(numbers) == 1 else numbers for key, numbers in values.items()}
    mean, std = values.get("mean", []), values.get("std", [1.0] * channels)
    right = values.keys() <= {"mean", "std"} and order in ("", "rgb", "bgr") and len(mean) == len(std) == channels
    if not right or not all(map(math.isfinite, [*mean, *std])) or min(std) <= 0:
        raise ValueError(
            f"preprocess: expected mean=..,std=.. with {channels} number(s) each, std greater than 0, got {text!r}"
        )
    if max(std) < 1 or (max(map(abs, mean)) <= 1 and any(mean) and max(std) <= 1):
        raise ValueError(
            f"preprocess: expected mean and std for pixels from 0 to 255, got {text!r}, which looks like numbers for "
            "pixels from 0 to 1; multiply both by 255"
        )
    return Preprocessing(tuple(mean), tuple(std), (order or "rgb").upper())


def default_preprocessing(channels: int) -> Preprocessing:
    """The preprocessing of a network with random weights, by its number of input channels, as in its paper."""
    return {1: LENET_RANGE, 3: IMAGENET_MEAN}.get(channels, Preprocessing((0.0,) * channels, (1.0,) * channels))


def unknown_preprocessing(source: object, likely: str = "", *, channels: int = 3, is_file: bool = True) -> WeightsError:
    """The error for a network of which nothing says how its images were prepared.

    `likely` is a sentence on what they may have been. `source` is a file, or known by its name; or a model in memory.
    """
    fitting = {name: meaning for name, meaning in CHOICES.items() if "=" in name or _choice(name, channels)}
    choices = "; ".join(f"{choice}: {meaning}" for choice, meaning in fitting.items())
    inspect = f"vggfcn inspect {shlex.quote(str(source))}" if is_file else "Save it, and vggfcn inspect FILE"
    return WeightsError(
        f"{source}: nothing says how images were prepared when it was trained; say it with --preprocess "
        f"(preprocess=). {likely}The choices: {choices}. Unsure? {inspect} --images FOLDER tries each"
    )


def published_for(preprocessing: Preprocessing | None) -> str:
    """The sentence that weights of a kind are published for a preprocessing; "" for None."""
    return f"Weights of this kind are published for {preprocessing}. " if preprocessing else ""
