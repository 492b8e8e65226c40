"""How a kernel's axes lie in a file, and kernels read into memory once, in whatever order of axes is wanted."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vggfcn.checkpoints.tensors import Shape, Tensor, count, is_finite
from vggfcn.memory import aligned_empty

# How many bytes of an array a thread reads at a time.
BLOCK = 1 << 23


@dataclasses.dataclass(frozen=True)
class Axes:
    """A kernel's axes as they lie in the file, slowest first, and their sizes.

    H and W are rows and columns, I and O channels in and out. There may be more of them than the file's own array has:
    a (4096, 25088) kernel is that of a dense layer over a flattened map, "OIHW" of (4096, 512, 7, 7).
    """

    letters: str
    sizes: Shape

    @classmethod
    def of_four(cls, tensor: Tensor, letters: str) -> "Axes":
        """Those of a tensor of four axes."""
        return cls._stored(tensor, letters, dict(zip(letters, tensor.shape, strict=True)))

    @classmethod
    def of_matrix(cls, tensor: Tensor, letters: str, channels: int) -> "Axes":
        """Those of a dense layer's matrix: one of its axes is a flattened square map of so many channels."""
        inputs_first = letters.endswith("O")
        groups = (letters[:-1], "O") if inputs_first else ("O", letters[1:])
        inputs, outputs = tensor.shape if inputs_first else tensor.shape[::-1]
        side = math.isqrt(inputs // channels)
        if side * side * channels != inputs:  # no square map: whoever compares shapes will say so
            side, channels = 1, inputs
        return cls._stored(tensor, groups, {"H": side, "W": side, "I": channels, "O": outputs})

    @classmethod
    def _stored(cls, tensor: Tensor, groups: Sequence[str], sizes: Mapping[str, int]) -> "Axes":
        """`groups` are the letters that each of the tensor's axes stands for."""
        letters = "".join(groups[axis] for axis in tensor.order)
        return cls(letters, tuple(sizes[letter] for letter in letters))

    def sizes_of(self, letters: str) -> Shape:
        """The sizes of these axes."""
        return tuple(self.sizes[self.letters.index(letter)] for letter in letters)


def read_kernel(tensor: Tensor, axes: Axes, wanted: str) -> np.ndarray | None:
    """A kernel as a new float32 array, its axes in the order `wanted`; None if it holds NaN or infinity.

    The array is C-contiguous and aligned for TensorFlow.
    """
    out = aligned_empty(axes.sizes_of(wanted))
    stored = tuple(tensor.shape[axis] for axis in tensor.order)
    if axes.letters == wanted:
        finite = _read_as_stored(tensor, out.reshape(stored))
    else:
        finite = _read_transposed(tensor, out.transpose([wanted.index(letter) for letter in axes.letters]), stored)
    return out if finite else None


def _read_as_stored(tensor: Tensor, out: np.ndarray) -> bool:
    """Fill `out`, which lies in memory as the tensor does in the file, and tell whether all numbers are finite."""

    def put(part: slice) -> bool:
        tensor.read_into(out[part], part.start)
        return is_finite(out[part])

    return _in_parallel(put, len(out), BLOCK // (4 * count(out.shape[1:])))


def _read_transposed(tensor: Tensor, out: np.ndarray, stored: Shape) -> bool:
    """The same for an `out` whose axes are in the file's order but whose memory is not: in pieces that fit a cache.

    `stored` is the shape in the file, whose first axis may be several of `out`'s, flattened.
    """
    flattened = stored[0] // len(out)

    def put(part: slice) -> bool:
        target = out[part]
        block = np.empty((len(target) * flattened, *stored[1:]), np.float32)
        tensor.read_into(block, part.start * flattened)
        turned = block.reshape(target.shape)
        columns = max(1, (1 << 15) // (len(target) * count(target.shape[2:])))
        for column in range(0, target.shape[1], columns):
            target[:, column : column + columns] = turned[:, column : column + columns]
        return is_finite(block)

    return _in_parallel(put, len(out), min(128, BLOCK // (4 * count(out.shape[1:]))))


def _in_parallel(put: Callable[[slice], bool], length: int, rows: int) -> bool:
    """Call `put` on parts of so many rows, by several threads, and tell whether all have said yes."""
    rows = max(1, rows)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        done = list(pool.map(lambda start: put(slice(start, start + rows)), range(0, length, rows)))
    return all(done)
