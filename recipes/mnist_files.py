"""MNIST's digits, from the four original files or from `keras.datasets.mnist`."""

import gzip
import pathlib

import numpy as np

STEMS = {"train": "train", "test": "t10k"}


def read(split, folder=None):
    """The digits uint8 (count, 28, 28), ink 255 on 0, and classes uint8 (count,) of one split, "train" or "test".

    `folder` holds the original IDX files, gzipped or not; None asks `keras.datasets.mnist`, which downloads them once.
    """
    if folder is None:
        return _from_keras(split)
    stem = pathlib.Path(folder) / STEMS[split]
    return _read_idx(f"{stem}-images-idx3-ubyte"), _read_idx(f"{stem}-labels-idx1-ubyte")


def _read_idx(name):
    packed = pathlib.Path(f"{name}.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else pathlib.Path(name).read_bytes()
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _from_keras(split):
    import keras

    train, test = keras.datasets.mnist.load_data()
    return {"train": train, "test": test}[split]
