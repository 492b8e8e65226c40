"""Write canonical weights as safetensors or Keras 3 `.weights.h5`, with one layer in memory at a time."""

import io
import json
import os
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import h5py

from vggfcn.checkpoints.formats.safetensors import METADATA
from vggfcn.checkpoints.tensors import count
from vggfcn.errors import WeightsError
from vggfcn.files import check_room, replacing
from vggfcn.networks.weights import Weights

SUFFIXES = (".safetensors", ".weights.h5")


def write_weights(weights: Weights, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write weights as float32 in canonical form, with their preprocessing, if it is known, and class names.

    The file name's ending sets the format: `.safetensors`, or `.weights.h5`, which Keras's `load_weights` reads into
    `vggfcn.build(architecture, weights=None, head="dense")`. If writing fails, no file is left behind.

    Raises `WeightsError` if the ending is neither, if the file exists and `overwrite` is False, if it is the file that
    the weights are read from, or if `weights` are damaged.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(SUFFIXES):
        raise WeightsError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if path.exists() and (not overwrite or path.samefile(weights.source)):
        raise WeightsError(f"{path}: exists already; choose another name, or --overwrite if it is not the input file")
    check_room(path.parent, sum(4 * count(shape) for shapes in weights.shapes.values() for shape in shapes))
    with replacing(path) as unfinished:
        (_write_safetensors if path.suffix == ".safetensors" else _write_keras)(weights, unfinished)


def _write_safetensors(weights: Weights, path: pathlib.Path) -> None:
    header: dict[str, Any] = {METADATA: _metadata(weights)}
    position = 0
    for name, shapes in weights.shapes.items():
        for part, shape in zip(("kernel", "bias"), shapes, strict=True):
            size = 4 * count(shape)
            header[f"{name}.{part}"] = {
                "dtype": "F32",
                "shape": list(shape),
                "data_offsets": [position, position + size],
            }
            position += size
    text = json.dumps(header).encode()
    # Spaces after the header are allowed. With them the arrays start at a multiple of eight bytes and can be mapped.
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in weights:
            for array in weights[name]:
                file.write(array.data)


def _metadata(weights: Weights) -> dict[str, str]:
    known = weights.preprocessing
    metadata = {} if known is None else {"mean": json.dumps(known.mean), "std": json.dumps(known.std)}
    return metadata if weights.labels is None else {**metadata, "labels": json.dumps(weights.labels)}


class _Quiet:
    """A file that keeps its first error instead of raising it: HDF5 crashes if it cannot write what it holds."""

    def __init__(self, file: io.BufferedRandom):
        self.file = file
        self.error: OSError | None = None
        self.read, self.readinto, self.seek, self.tell = file.read, file.readinto, file.seek, file.tell

    def write(self, content: Any) -> int:
        self._try(self.file.write, content)
        return len(content)

    def truncate(self, size: int) -> int:
        self._try(self.file.truncate, size)
        return size

    def flush(self) -> None:
        self._try(self.file.flush)

    def _try(self, call: Callable[..., object], *arguments: Any) -> None:
        if self.error is None:
            try:
                call(*arguments)
            except OSError as error:
                self.error = error


def _write_keras(weights: Weights, path: pathlib.Path) -> None:
    """Keras numbers layers by their class: conv2d, conv2d_1, ..., dense, dense_1, ..."""
    counts = {"conv2d": 0, "dense": 0, "depthwise_conv2d": 0}
    with path.open("w+b") as opened, h5py.File(quiet := _Quiet(opened), "w") as file:
        if (known := weights.preprocessing) is not None:
            file.attrs["color_order"], file.attrs["mean"], file.attrs["std"] = "RGB", known.mean, known.std
        if weights.labels is not None:
            file.attrs["labels"] = list(weights.labels)
        for name in weights:
            kernel, bias = weights.shapes[name]
            kind = "dense" if len(kernel) == 2 else "conv2d" if kernel[-1:] == bias else "depthwise_conv2d"
            number = f"_{counts[kind]}" if counts[kind] else ""
            counts[kind] += 1
            group = file.create_group(f"layers/{kind}{number}/vars")
            group.attrs["name"] = name
            for position, array in enumerate(weights[name]):
                group.create_dataset(str(position), data=array)
    if quiet.error is not None:
        raise quiet.error
