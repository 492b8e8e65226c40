"""Run any Keras image classifier fully convolutionally, and prove that it is still the same network."""

from typing import Any

__all__ = ["build"]


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; whoever reads a file or asks for help need not wait for it.
    if name in __all__:
        from vggfcn import models

        return getattr(models, name)
    raise AttributeError(f"module 'vggfcn' has no attribute {name!r}")
