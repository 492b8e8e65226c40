"""One image, two networks, the same logits; then a class heatmap: `python demo.py image.jpg`."""

import importlib.util
import sys

NEEDS = ("typer", "rich", "numpy", "h5py", "PIL", "tensorflow", "keras")

if __name__ == "__main__":
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"demo.py: this Python lacks {', '.join(missing)}; run .venv/bin/python demo.py, which `make demo` sets "
            "up, or install the project first: pip install ."
        )
    from vggfcn.cli.main import run_demo

    run_demo()
