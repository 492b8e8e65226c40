"""TensorFlow loaded without messages, and stderr silenced while native libraries run."""

import contextlib
import os
from collections.abc import Iterator


def load_tensorflow() -> None:
    """Import TensorFlow and suppress what its C++ libraries write to stderr while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard everything that the process writes to stderr; duplicates of its descriptor made before still work."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
