"""HDF5 files that crash the HDF5 library, keep it busy for ever, or make it take all memory."""

import itertools

import h5py
import numpy as np


def crash(path, name="text", group="/"):
    """Add a text whose type says that it is neither a text nor a sequence: HDF5 1.14 calls a null pointer."""
    with h5py.File(path, "a") as file:
        file.require_group(group).attrs[name] = "some text"
    data = bytearray(path.read_bytes())
    kind = data.find(name.encode() + b"\0" * (8 - len(name) % 8))
    kind += 8 * (len(name) // 8 + 1)
    assert data[kind] == 0x19  # class 9, variable length, in version 1 of the message
    assert data[kind + 1] == 1  # a text
    data[kind + 1] = 8
    path.write_bytes(data)


def hang(path, name="labels", value=("cat", "dog"), dtype=None):
    """Add an attribute in a chain that does not go on: the HDF5 library alone never comes back."""
    with h5py.File(path, "a") as file:
        file.attrs.create(name, np.array(value, object), dtype=dtype or h5py.string_dtype())
    data = bytearray(path.read_bytes())
    first = data.find(b"GCOL") + 16
    data[first : first + 16] = bytes(16)
    path.write_bytes(data)


def groups_in_many_places(file):
    """Add nine groups to an open file, each twenty times in the one before: 20 to the power of 9 paths to the last."""
    groups = [file.create_group(f"g{level}") for level in range(9)]
    for outer, inner in itertools.pairwise(groups):
        for number in range(20):
            outer[str(number)] = inner
