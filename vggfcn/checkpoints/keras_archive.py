"""Keras 3's `.keras`: a zip archive of the model's configuration and its weights as HDF5."""

import io
import json
import pathlib
import zipfile

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
            return hdf5.read_source(hdf5.Source(path, lambda: io.BytesIO(data), 0, len(data), unpacked=True), config)
    start, size = zipped.span(path, member)
    return hdf5.read_source(hdf5.Source(path, lambda: path.open("rb"), start, size), config)
