"""Checksums of files."""

import hashlib
import pathlib

_BLOCK = 1 << 20


def digest(path: pathlib.Path, algorithm: str) -> str:
    """A file's checksum in hexadecimal digits, by one of `hashlib`'s algorithms; the file is read in blocks."""
    checksum = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()
