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


def maps_with_changes(model, height, width):
    """Maps of an image whose rows, then columns, are changed one by one: two arrays, the unchanged image's map first.

    The image is a slope, so that no two pixels of a pool are equal.
    """
    image = np.add.outer(np.arange(height), np.arange(width))[..., None] * 1e-3 + 1
    image = np.repeat(image, model.inputs[0].shape[-1], -1).astype(np.float32)
    maps = []
    for axis, count in ((0, height), (1, width)):
        images = np.repeat(image[None], count + 1, 0)
        for position in range(count):
            images[1 + position][(position,) if axis == 0 else (slice(None), position)] += CHANGE
        maps.append(np.concatenate([np.asarray(model(part, training=False)) for part in np.array_split(images, 4)]))
    return maps


def changing(maps, cell):
    """The rows and the columns of the image that change a cell: two lists of positions."""
    cells = [values[(slice(None), *cell)] for values in maps]
    return [np.flatnonzero((values[1:] != values[0]).any(-1)).tolist() for values in cells]


def seen(model, height, width, cell):
    """The rows and the columns of an image of that size that change a cell of the model's map."""
    return changing(maps_with_changes(model, height, width), cell)


def clipped(span, length):
    """The positions of a span that are there."""
    return list(range(max(0, span[0]), min(length, span[1])))


def check_box(model, geometry, height, width, cells=None):
    """Every pixel row and column inside the cells' boxes changes them, none outside does; by default three cells'."""
    shape = model.compute_output_shape((1, height, width, model.inputs[0].shape[-1]))[1:3]
    ends = {(0, 0), tuple(side // 2 for side in shape), tuple(side - 1 for side in shape)}
    maps = maps_with_changes(model, height, width)
    for cell in cells or ends:
        rows, columns = changing(maps, cell)
        assert rows == clipped(geometry.rows.span(cell[0]), height), (cell, geometry)
        assert columns == clipped(geometry.columns.span(cell[1]), width), (cell, geometry)


def layers_of(*layers, shape=(None, None, 2)):
    """A Sequential model on images of any size."""
    return keras.Sequential([keras.Input(shape), *layers])
