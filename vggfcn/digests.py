"""Checksums of files and of arrays."""

import concurrent.futures
import hashlib
import pathlib
from collections.abc import Iterable

import numpy as np

_BLOCK = 1 << 20
_PIECE = 1 << 24


def digest(path: pathlib.Path, algorithm: str) -> str:
    """A file's checksum in hexadecimal digits, by one of `hashlib`'s algorithms; the file is read in blocks."""
    checksum = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def joint_digest(parts: Iterable[bytes | np.ndarray]) -> str:
    """One checksum of all parts in their order, in hexadecimal digits, by as many threads as there are cores.

    It is the SHA-256 of the SHA-256s of pieces of 16 MiB, each with the number of its part.
    """
    pieces = []
    for number, part in enumerate(parts):
        values = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else np.ascontiguousarray(part)
        values = values.reshape(-1).view(np.uint8)
        pieces += [(number, values[start : start + _PIECE]) for start in range(0, max(1, values.size), _PIECE)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = pool.map(lambda piece: b"%d:" % piece[0] + hashlib.sha256(piece[1]).digest(), pieces)
        return hashlib.sha256(b"".join(found)).hexdigest()
