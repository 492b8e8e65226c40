"""Run any Keras image classifier fully convolutionally, and prove that it is still the same network."""

import importlib
from typing import Any

# Public name -> the module that has it. TensorFlow takes seconds to import; whoever reads a file or asks for help need
# not wait for it.
_MODULES = {
    "build": "models",
    "compile": "engines",
    "convert": "conversion",
    "export": "exports",
    "read_weights": "checkpoints.weights",
    "receptive_field": "receptive_fields",
    "score_map": "dense_evaluation",
    "verify": "equivalence",
    "with_output_stride": "output_stride",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"vggfcn.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'vggfcn' has no attribute {name!r}")
