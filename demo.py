"""One image, two networks, the same logits; then a class heatmap: `python demo.py image.jpg`."""

from vggfcn.cli.main import run_demo

if __name__ == "__main__":
    run_demo()
