"""The order in which a file stores a kernel's axes, and reading a kernel into any other order in a single pass."""

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
    """A kernel's axes as the file stores them, slowest first, and their sizes.

    H and W are rows and columns, I and O input and output channels. There may be more axes than the stored array has:
    a (4096, 25088) kernel of a dense layer over a flattened map is "OIHW" with sizes (4096, 512, 7, 7).
    """

    letters: str
    sizes: Shape

    @classmethod
    def of_four(cls, tensor: Tensor, letters: str) -> "Axes":
        """The axes of a kernel with four axes, named by `letters`."""
        return cls._stored(tensor, letters, dict(zip(letters, tensor.shape, strict=True)))

    @classmethod
    def of_matrix(cls, tensor: Tensor, letters: str, channels: int) -> "Axes":
        """The axes of a dense layer's matrix, whose inputs are a flattened square map with `channels` channels."""
        inputs_first = letters.endswith("O")
        groups = (letters[:-1], "O") if inputs_first else ("O", letters[1:])
        inputs, outputs = tensor.shape if inputs_first else tensor.shape[::-1]
        side = math.isqrt(inputs // channels)
        if side * side * channels != inputs:  # Not a square map: the caller compares shapes and reports it.
            side, channels = 1, inputs
        return cls._stored(tensor, groups, {"H": side, "W": side, "I": channels, "O": outputs})

    @classmethod
    def _stored(cls, tensor: Tensor, groups: Sequence[str], sizes: Mapping[str, int]) -> "Axes":
        """The axes in the file's order; `groups` names the letters that each axis of the tensor stands for."""
        letters = "".join(groups[axis] for axis in tensor.order)
        return cls(letters, tuple(sizes[letter] for letter in letters))

    def sizes_of(self, letters: str) -> Shape:
        """The sizes of the axes named by `letters`, in that order."""
        return tuple(self.sizes[self.letters.index(letter)] for letter in letters)


def read_kernel(tensor: Tensor, axes: Axes, wanted: str) -> np.ndarray | None:
    """Read a kernel as a new float32 array with its axes in the order `wanted`; None if it holds NaN or infinity.

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
    """Fill `out`, whose memory has the file's order, and return whether all numbers are finite."""

    def read_rows(rows: slice) -> bool:
        tensor.read_into(out[rows], rows.start)
        return is_finite(out[rows])

    return _in_parallel(read_rows, len(out), BLOCK // (4 * count(out.shape[1:])))


def _read_transposed(tensor: Tensor, out: np.ndarray, stored: Shape) -> bool:
    """Fill `out`, whose axes but not its memory have the file's order, and return whether all numbers are finite.

    Copies in pieces that fit into the processor's cache. `stored` is the shape in the file, whose first axis may be
    several of `out`'s axes, flattened.
    """
    flattened = stored[0] // len(out)

    def read_rows(rows: slice) -> bool:
        target = out[rows]
        block = np.empty((len(target) * flattened, *stored[1:]), np.float32)
        tensor.read_into(block, rows.start * flattened)
        source = block.reshape(target.shape)
        columns = max(1, (1 << 15) // (len(target) * count(target.shape[2:])))
        for column in range(0, target.shape[1], columns):
            target[:, column : column + columns] = source[:, column : column + columns]
        return is_finite(block)

    return _in_parallel(read_rows, len(out), min(128, BLOCK // (4 * count(out.shape[1:]))))


def _in_parallel(read_rows: Callable[[slice], bool], length: int, step: int) -> bool:
    """Call `read_rows` for `length` rows, `step` at a time, in several threads; return whether all calls succeeded."""
    step = max(1, step)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = list(pool.map(lambda start: read_rows(slice(start, start + step)), range(0, length, step)))
    return all(results)
