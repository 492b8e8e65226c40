"""Memory: amounts that a person asks for, what this process holds, and arrays that TensorFlow can take over."""

import math
import pathlib
import re
import sys

import numpy as np

# TensorFlow can use a NumPy buffer in place, without a copy, only if it begins at a multiple of so many bytes.
ALIGNMENT = 64
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def number_of_bytes(wanted: int | str) -> int:
    """Bytes that a number or a text such as "2GB" or "500 MiB" stands for; raises `ValueError` if it is neither."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(wanted))
    if not match or match[2].upper() not in UNITS or float(match[1]) <= 0:
        raise ValueError(f'max_memory: expected a number of bytes or a text such as "2GB" or "500MiB", got {wanted!r}')
    return int(float(match[1]) * UNITS[match[2].upper()])


def resident_bytes() -> int:
    """Memory that this process holds now; where the system does not say, the most it has held."""
    import resource  # Here: Windows has no such module, and the readers of weights, which import this one, need none.

    try:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised float32 memory that TensorFlow can take over without a copy."""
    size = 4 * math.prod(shape)
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(np.float32).reshape(shape)
