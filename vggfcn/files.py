"""Files that are seen whole or not at all."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Give the path of an unfinished file beside `path`, to be written; what was written takes the place of `path`.

    If anything fails, `path` is as it was and no unfinished file remains. Raises `IsADirectoryError` before anything is
    written if `path` is a folder, and whatever else `OSError` says if the file cannot be moved.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the name of a file, and this is a folder", str(path))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
