"""Models that other versions of Keras saved, with what they computed there; `recipes/keras_goldens.py` writes them."""

import zipfile

import numpy as np
from paths import DATA

ARCHIVES = sorted((DATA / "keras_files").glob("*.zip"))


def golden_files():
    """(archive, file) of every saved model."""
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as file:
            yield from ((archive, name) for name in file.namelist() if not name.endswith(".npz"))


def unpacked(archive, name, folder):
    """The saved model as a file in a folder, its images, and its outputs."""
    with zipfile.ZipFile(archive) as file:
        path = folder / name
        path.write_bytes(file.read(name))
        with file.open(f"{name.rpartition('.')[0]}.npz") as arrays:
            values = np.load(arrays)
            return path, values["images"], values["outputs"]


def golden(version, name, folder):
    """The same for a version of Keras such as "2.21" and a file such as "nested.h5"."""
    return unpacked(DATA / "keras_files" / f"keras{version}.zip", name, folder)
