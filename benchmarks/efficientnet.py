"""EfficientNet-Lite0 on photographs: top five, conversion, and what padding does to the windows of a larger image.

    python benchmarks/efficientnet.py IMAGE...

Prints the tables of docs/efficientnet.md. There the images are scikit-image's chelsea.png, coffee.png, rocket.jpg and
astronaut.png.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

from vggfcn.evaluation.demo import demonstrate
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map
from vggfcn.images.reading import read_image

NAME = "efficientnet-lite0"


def against_torch(original, converted) -> None:
    golden = np.load(ROOT / "tests" / "data" / f"{NAME}.npz")
    cat = read_image(ROOT / "tests" / "data" / "chelsea.jpg")
    top, left = ((side - 224) // 2 for side in cat.shape[:2])
    images = {
        "cat": cat[top : top + 224, left : left + 224],
        "noise": np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8),
    }
    found = {name: original.predict(image[None], verbose=0)[0] for name, image in images.items()}
    found["map"] = converted.predict(cat[None], verbose=0)[0, ..., ::25]
    for name, logits in found.items():
        expected = golden[name]
        print(f"{name}: {np.abs(logits - expected).max():.1e} from torch, largest logit {np.abs(expected).max():.1f}")


def windows(image, original, converted, field) -> tuple[np.ndarray, np.ndarray]:
    """Differences of logits and whether the top class is the same, for each window on its own and within the map."""
    within = score_map(converted, image).logits
    rows, columns = within.shape[:2]
    starts = [(field.stride * row, field.stride * column) for row in range(rows) for column in range(columns)]
    crops = np.stack([image[top : top + field.window, left : left + field.window] for top, left in starts])
    alone = original.predict(crops, batch_size=16, verbose=0).reshape(within.shape)
    return np.abs(alone - within), alone.argmax(-1) == within.argmax(-1)


def main(paths: list[str]) -> None:
    classifier = load(NAME)
    original, converted = classifier.build("dense"), classifier.build("conv")
    against_torch(original, converted)
    print("\n| image | top five of the middle | largest difference | of the largest logit |\n|---|---|---|---|")
    differences, same = [], []
    for path in paths:
        image = read_image(path)
        result = demonstrate(classifier, image, None, 1280)
        classes = ", ".join(f"{score.label} {score.probability:.2f}" for score in result.top5_converted)
        figures = f"{result.agreement.max_abs_error:.1e} | {result.agreement.max_rel_error:.1e}"
        print(f"| {pathlib.Path(path).stem} | {classes} | {figures} |")
        difference, agreed = windows(image, original, converted, classifier.architecture.receptive_field)
        differences.append(difference.ravel())
        same.append(agreed.ravel())
        print(f"{agreed.mean():.0%} of {agreed.size} windows, mean {difference.mean():.2f}", file=sys.stderr)
    every = np.concatenate(differences)
    print(f"\nwindows: mean difference {every.mean():.2f}, largest {every.max():.1f}, ", end="")
    print(f"same top class {np.concatenate(same).mean():.0%} of {sum(map(len, same))}")


if __name__ == "__main__":
    main(sys.argv[1:])
