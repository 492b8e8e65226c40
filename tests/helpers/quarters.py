"""A classifier made of arithmetic: the logits of its four classes are the means of a window's quarters."""

from types import SimpleNamespace

import keras
import numpy as np

from vggfcn.labels.labels import Labels
from vggfcn.maps.geometry import ReceptiveField

NAMES = ("upper left", "upper right", "lower left", "lower right")


class Quarters:
    """Windows of 8 x 8 grey pixels, 4 apart."""

    labels = Labels(tuple((name,) for name in NAMES))
    architecture = SimpleNamespace(native_size=8, channels=1, classes=4, receptive_field=ReceptiveField(8, 4, 0))

    def build(self, head):
        image = keras.Input((8, 8, 1) if head == "dense" else (None, None, 1))
        conv = keras.layers.Conv2D(4, 8, strides=4, use_bias=False)
        maps = conv(image)
        kernel = np.zeros((8, 8, 1, 4), np.float32)
        for number, (row, column) in enumerate(np.ndindex(2, 2)):
            kernel[4 * row : 4 * row + 4, 4 * column : 4 * column + 4, 0, number] = 1 / 16
        conv.set_weights([kernel])
        return keras.Model(image, keras.layers.Flatten()(maps) if head == "dense" else maps)
