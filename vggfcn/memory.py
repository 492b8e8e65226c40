"""Memory: parsing amounts, measuring this process, and arrays that TensorFlow can use without a copy."""

import math
import pathlib
import re
import sys

import numpy as np

# TensorFlow can use a NumPy buffer without a copy only if its address is a multiple of this many bytes.
ALIGNMENT = 64
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def number_of_bytes(wanted: int | str) -> int:
    """Parse an amount of memory, a number of bytes or a text such as "2GB" or "500 MiB"; raises `ValueError`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(wanted))
    if not match or match[2].upper() not in UNITS or float(match[1]) <= 0:
        raise ValueError(f'max_memory: expected a number of bytes or a text such as "2GB" or "500MiB", got {wanted!r}')
    return int(float(match[1]) * UNITS[match[2].upper()])


def resident_bytes() -> int:
    """Memory that this process uses now, in bytes; its peak where the system does not report the current value."""
    import resource  # Here, because Windows has no such module and the weight readers import this one.

    try:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array that TensorFlow can use without a copy."""
    size = 4 * math.prod(shape)
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(np.float32).reshape(shape)
