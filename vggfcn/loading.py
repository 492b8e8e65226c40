"""Libraries loaded without messages and without usage reports, and stderr silenced while native libraries run."""

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_IMPORTING = threading.RLock()


def load_tensorflow() -> None:
    """Import TensorFlow and suppress what its C++ libraries write to stderr while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced():
        import tensorflow  # noqa: F401


def load_library(name: str) -> Any:
    """Import a library such that neither it nor what it imports sends usage reports or writes an identifier for them.

    Whoever imported OpenVINO or ONNX Runtime before, or sets `ORT_DISABLE_TELEMETRY`, has decided for the process.
    Raises `ImportError` if the library is not installed.
    """
    # ONNX Runtime reads this once, when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # OpenVINO reports that it is imported, unless this package is missing; its own opt-out is a file of the user's.
    with _IMPORTING, _missing("openvino_telemetry"):
        return importlib.import_module(name)


@contextlib.contextmanager
def _missing(name: str) -> Iterator[None]:
    """Importing this module fails as if it were not installed."""
    modules: dict[str, Any] = sys.modules
    found = {name: modules[name]} if name in modules else {}
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        modules.update(found)


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
