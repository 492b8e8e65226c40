"""Parts of the bundled scenes."""

import numpy as np
from PIL import Image

from vggfcn.networks.registry import EMBEDDED_FOLDER


def part_of_a_scene():
    """RGB uint8 (400, 330, 3) with a digit in it."""
    with Image.open(EMBEDDED_FOLDER / "scenes" / "rocket.jpg") as image:
        return np.asarray(image.convert("RGB"))[224:624, 800:1130]
