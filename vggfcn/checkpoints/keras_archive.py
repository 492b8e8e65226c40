"""Keras 3's `.keras`: a zip archive of the model's configuration and its weights as HDF5."""

import io
import json
import pathlib
import zipfile

import h5py

from vggfcn.checkpoints import hdf5, zipped
from vggfcn.checkpoints.container import Container
from vggfcn.errors import WeightsError

WEIGHTS, CONFIG = "model.weights.h5", "config.json"


def read(path: pathlib.Path) -> Container:
    """The arrays of the model's layers; the model itself is not loaded."""
    with zipped.opened(path) as archive:
        try:
            config = json.loads(zipped.content(path, archive, CONFIG)) if CONFIG in archive.namelist() else None
        except (ValueError, RecursionError):
            raise WeightsError(f"{path}: {CONFIG} is no JSON; get the file anew") from None
        member = archive.getinfo(WEIGHTS)
        if member.compress_type != zipfile.ZIP_STORED:
            data = zipped.content(path, archive, WEIGHTS)
            return hdf5.read_source(hdf5.Source(path, lambda: h5py.File(io.BytesIO(data), "r"), 0, data), config)
    start, size = zipped.span(path, member)
    return hdf5.read_source(hdf5.Source(path, lambda: h5py.File(_Part(path, start, size), "r"), start), config)


class _Part(io.RawIOBase):
    """A run of bytes in a file, as a file of its own."""

    def __init__(self, path: pathlib.Path, start: int, size: int):
        self._file = path.open("rb")
        self._start, self._size, self._position = start, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        self._file.seek(self._start + self._position)
        read = self._file.readinto(memoryview(buffer)[: max(0, self._size - self._position)])
        self._position += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
