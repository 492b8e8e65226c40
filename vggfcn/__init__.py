"""Run any Keras image classifier fully convolutionally, and prove that it is still the same network."""

import importlib
from typing import Any

__all__ = ["build", "convert", "verify"]
_MODULES = {"build": "models", "convert": "conversion", "verify": "equivalence"}


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; whoever reads a file or asks for help need not wait for it.
    if name in __all__:
        return getattr(importlib.import_module(f"vggfcn.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'vggfcn' has no attribute {name!r}")
