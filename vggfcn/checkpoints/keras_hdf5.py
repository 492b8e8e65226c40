"""Keras's HDF5 weight files, as published for VGG16 and VGG19 and as the embedded weights are kept.

The root attribute `layer_names` lists groups; each group's attribute `weight_names` lists its kernel and bias.
Published files hold BGR kernels and want ImageNet's mean subtracted; a file that says otherwise does so in the root
attributes `color_order` ("RGB"), `mean`, `std` (a number for each channel, in RGB order) and `labels` (class names).
"""

import contextlib
import os
from collections.abc import Iterator

import h5py
import numpy as np

from vggfcn.checkpoints import ALIGNMENT, Shape, Weights
from vggfcn.errors import WeightsError
from vggfcn.preprocessing import IMAGENET_MEAN, Preprocessing


@contextlib.contextmanager
def open_weights(path: str | os.PathLike) -> Iterator[Weights]:
    """Open a weight file for reading; raises `WeightsError` if it is missing or of another layout."""
    path = os.fspath(path)
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weight file") from None
    except OSError as error:
        raise WeightsError(f"{path}: expected an HDF5 weight file, but it cannot be opened as one ({error})") from None
    with file:
        yield _describe(path, file)


def _describe(path: str, file: h5py.File) -> Weights:
    datasets = _datasets(path, file)
    bgr = file.attrs.get("color_order", "BGR") == "BGR"
    shapes = {name: (kernel.shape, bias.shape) for name, (kernel, bias) in datasets.items()}

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            kernel, bias = (_read(dataset) for dataset in datasets[name])
        except OSError as error:
            raise WeightsError(f"{path}: the weights of {name} cannot be read ({error}); get the file anew") from None
        if bgr and name == next(iter(datasets)):
            kernel = np.ascontiguousarray(kernel[:, :, ::-1])
        return kernel, bias

    return Weights(path, shapes, read, _preprocessing(file), _labels(file))


def _datasets(path: str, file: h5py.File) -> dict[str, tuple[h5py.Dataset, h5py.Dataset]]:
    """(kernel, bias) by layer, for the layers that have any."""
    if "layer_names" not in file.attrs:
        raise WeightsError(
            f"{path}: expected a Keras weight file with the root attribute 'layer_names', "
            f"found {', '.join(file) or 'an empty file'}"
        )
    datasets = {}
    for layer in map(_text, file.attrs["layer_names"]):
        group = file.get(layer)
        names = [] if group is None else [_text(name) for name in group.attrs.get("weight_names", ())]
        found = [group.get(name) for name in names]
        if not names:
            continue
        if len(found) != 2 or not all(isinstance(item, h5py.Dataset) for item in found):
            raise WeightsError(f"{path}: expected a kernel and a bias for {layer}, found {', '.join(names)}")
        datasets[layer] = (found[0], found[1])
    return datasets


def _read(dataset: h5py.Dataset) -> np.ndarray:
    """The values as float32, in a new aligned buffer that HDF5 fills directly."""
    array = _aligned_empty(dataset.shape)
    dataset.read_direct(array)
    return array


def _aligned_empty(shape: Shape) -> np.ndarray:
    size = 4 * int(np.prod(shape))
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(np.float32).reshape(shape)


def _preprocessing(file: h5py.File) -> Preprocessing:
    if "mean" not in file.attrs:
        return IMAGENET_MEAN
    mean, std = (tuple(float(value) for value in file.attrs[name]) for name in ("mean", "std"))
    return Preprocessing(mean, std)


def _labels(file: h5py.File) -> tuple[str, ...] | None:
    return tuple(map(_text, file.attrs["labels"])) if "labels" in file.attrs else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
