"""Sound weight files and models to start from, the same bytes every time: no clock shows in them."""

import functools
import io
import pathlib
import re
import tempfile
import zipfile

from fuzz_zips import Member, archive_of
from golden_models import golden_files

MODELS = [(path.stem, name) for path, name in golden_files()]


@functools.cache
def written(name):
    """The smallest network of the tests in one of `format_writers.FORMATS`."""
    import keras
    from format_writers import FORMATS
    from writers import MICRO

    keras.utils.clear_session()  # Layers are numbered by what was made before.
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        FORMATS[name][2](path, MICRO)
        return steady(path.read_bytes())


@functools.cache
def saved(version, name):
    """A model that Keras saved, such as "keras3.8" and "nested.keras"."""
    path = next(path for path, _ in golden_files() if path.stem == version)
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def keras_file(rng, suffix):
    """A model with this ending: mostly of another version of Keras, sometimes a network that `read_weights` knows."""
    if rng.random() < 0.3:
        return written({".keras": ".keras", ".h5": "model.h5"}[suffix])
    return saved(*rng.choice([each for each in MODELS if each[1].endswith(suffix)]))


def steady(data):
    """A zip archive without the time at which it was written; any other file as it is."""
    if not data.startswith(b"PK\x03\x04"):
        return data
    members = members_of(data)
    for member in members:
        member.data = re.sub(rb'"date_saved": "[^"]*"', b'"date_saved": ""', member.data)
    return archive_of(members)


def members_of(data):
    """The members of a zip archive, in their order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [Member(each.filename, archive.read(each), each.compress_type) for each in archive.infolist()]
