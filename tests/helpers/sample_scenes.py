"""The sample images, and what is painted on them."""

import json

from vggfcn.app.sessions import Settings
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = EMBEDDED_FOLDER / "scenes"
# Ten digits, 30 pixels apart; the only 0 is the fourth.
STRIP = SCENES / "ten-digits.png"
LENET5 = Settings("mnist-lenet5")


def box_of(scene, label):
    """Where a digit is painted: (left, top, right, bottom) in pixels."""
    digits = json.loads((SCENES / "scenes.json").read_text())[scene]
    return next(digit["box"] for digit in digits if digit["label"] == label)
