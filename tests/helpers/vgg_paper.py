"""Evaluation by the words of Simonyan & Zisserman 2014, in NumPy, with the original network on windows cut by hand."""

import numpy as np
from PIL import Image

# LeNet-5's scales if none are given.
SIZES = (37, 55, 73)


def softmax(logits):
    exponentials = np.exp(np.asarray(logits, np.float64))
    return exponentials / exponentials.sum(-1, keepdims=True)


def scaled(image, size):
    """Both sides alike, the shorter one to `size`."""
    height, width = image.shape[:2]
    factor = size / min(height, width)
    return np.asarray(
        Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    )


def windows(image, native, stride):
    """Every native-size window at a multiple of the stride: (windows, native, native, channels)."""
    height, width = image.shape[:2]
    tops, lefts = range(0, height - native + 1, stride), range(0, width - native + 1, stride)
    return np.stack([image[top : top + native, left : left + native] for top in tops for left in lefts])


def fifty(image, native):
    """Five rows of five crops from border to border, at the nearest pixels; then their mirror images."""
    tops, lefts = (np.floor(np.linspace(0, length - native, 5) + 0.5).astype(int) for length in image.shape[:2])
    crops = [image[top : top + native, left : left + native] for top in tops for left in lefts]
    return np.stack([*crops, *(np.fliplr(crop) for crop in crops)])


def paper(network, image, native, stride, sizes, prepare=lambda image: image):
    """The five rows by the paper's words, with a network that takes native-size windows alone and pads nothing."""
    dense, crops = [], []
    for size in sizes:
        fitted = prepare(scaled(image, size))
        sides = [windows(side, native, stride) for side in (fitted, np.fliplr(fitted))]
        dense.append(sum(softmax(network(side).mean(0)) for side in sides) / 2)
        crops.append(softmax(network(fifty(fitted, native))))
    everything = np.concatenate(crops)
    assert len(everything) == 150
    multi_scale, multi_crop = sum(dense) / 3, everything.mean(0)
    return [crops[1][12], dense[1], multi_scale, multi_crop, (multi_scale + multi_crop) / 2]


def counted(original, folder):
    """(top-1, top-5) errors of each row over a folder, by the original network on windows cut by hand."""
    wrong = np.zeros((5, 2), int)
    for path in folder.glob("*/*.png"):
        image = np.asarray(Image.open(path).convert("RGB"))
        grey = lambda image: np.asarray(Image.fromarray(image).convert("L"))[..., None]  # noqa: E731
        for row, values in enumerate(paper(original, image, 32, 4, SIZES, prepare=grey)):
            label = int(path.parent.name)
            better = (values > values[label]).sum()
            wrong[row] += better >= 1, better >= 5
    return wrong
