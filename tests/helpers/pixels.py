"""Which pixels a cell sees, found by changing them one by one: an oracle that knows nothing of layers."""

import keras
import numpy as np

CHANGE = 1e4


def positive(model, seed=0):
    """All weights positive, and no biases that could outweigh them: no dead ReLU hides a pixel that a cell can see."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        fan_in = max(1, np.prod(variable.shape[:-1]))
        kernel = "kernel" in variable.name or variable.name == "gamma" or "variance" in variable.name
        variable.assign(rng.uniform(0.5, 1.5, variable.shape) / (fan_in if "kernel" in variable.name else 1) * kernel)
    return model


def seen(model, height, width, cell):
    """The rows and the columns of an image that change a cell: two lists of positions.

    A whole row (or column) is raised at a time; the image is a slope, so that no two pixels of a pool are equal.
    """
    image = np.add.outer(np.arange(height), np.arange(width))[..., None] * 1e-3 + 1
    image = np.repeat(image, model.inputs[0].shape[-1], -1).astype(np.float32)
    found = []
    for axis, count in ((0, height), (1, width)):
        images = np.repeat(image[None], count + 1, 0)
        for position in range(count):
            images[1 + position][(position,) if axis == 0 else (slice(None), position)] += CHANGE
        values = np.concatenate([np.asarray(model(part, training=False)) for part in np.array_split(images, 4)])
        values = values[(slice(None), *cell)]
        found.append(np.flatnonzero((values[1:] != values[0]).any(-1)).tolist())
    return found


def clipped(span, length):
    """The positions of a span that are there."""
    return list(range(max(0, span[0]), min(length, span[1])))


def check_box(model, geometry, height, width, cells=None):
    """Every pixel row and column inside the cells' boxes changes them, none outside does; by default three cells'."""
    shape = model.compute_output_shape((1, height, width, model.inputs[0].shape[-1]))[1:3]
    ends = {(0, 0), tuple(side // 2 for side in shape), tuple(side - 1 for side in shape)}
    for cell in cells or ends:
        rows, columns = seen(model, height, width, cell)
        assert rows == clipped(geometry.rows.span(cell[0]), height), (cell, geometry)
        assert columns == clipped(geometry.columns.span(cell[1]), width), (cell, geometry)


def layers_of(*layers, shape=(None, None, 2)):
    """A Sequential model on images of any size."""
    return keras.Sequential([keras.Input(shape), *layers])
