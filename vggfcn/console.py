"""Where the command line writes: results to stdout, everything else to stderr, and nothing of TensorFlow's."""

import atexit
import os

from rich.console import Console

results = Console(soft_wrap=True, highlight=False)
# A stream of its own: what native libraries write to stderr while they load is silenced, messages are not.
_stream = os.fdopen(os.dup(2), "w")
atexit.register(_stream.close)
messages = Console(file=_stream, soft_wrap=True, highlight=False)


def load_tensorflow() -> None:
    """Import TensorFlow without what its C++ libraries write to stderr while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
