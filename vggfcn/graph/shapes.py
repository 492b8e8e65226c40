"""How the size of a model's map follows from the size of the image, for any network: Keras works out the shapes."""

from fractions import Fraction

import keras

from vggfcn.graph.receptive_fields import MULTIPLE
from vggfcn.graph.walking import graph_or_refuse


def map_size(model: keras.Model, size: tuple[int, int]) -> tuple[int, int]:
    """The (rows, columns) of the map for an image of `size`, (height, width) in pixels; nothing is computed.

    The model has one input and one output, with open rows and columns. Raises `ValueError` if they are not open, and
    for an image that the network cannot take.
    """
    graph = graph_or_refuse(model, model.name)
    image, output = graph.inputs[0], graph.outputs[0]
    axes, map_axes = (
        [axis for axis, length in enumerate(one.shape) if axis and length is None] for one in (image, output)
    )
    if len(axes) != 2 or len(map_axes) != 2:
        raise ValueError(
            f"{model.name}: expected images and maps of any size, got {tuple(image.shape)} and {tuple(output.shape)}"
        )
    shape = list(image.shape)
    shape[axes[0]], shape[axes[1]] = size
    structure = keras.tree.pack_sequence_as(graph.input, [keras.KerasTensor(shape, image.dtype)])
    found = keras.tree.flatten(model.compute_output_spec(structure))[0].shape
    return found[map_axes[0]], found[map_axes[1]]


def strides(model: keras.Model) -> tuple[Fraction, Fraction]:
    """The distances in pixels from a cell to the one below it and to the one on its right.

    Unlike `receptive_field`, this works if cells depend on the whole image. Raises what `map_size` does.
    """
    fewer, more = (map_size(model, (side, side)) for side in (MULTIPLE, 2 * MULTIPLE))
    down, right = (Fraction(MULTIPLE, two - one) for one, two in zip(fewer, more, strict=True))
    return down, right


def size_of_one_cell(model: keras.Model) -> tuple[int, int]:
    """An image size, (height, width) in pixels, for which the map has one cell.

    It is a multiple of the stride and need not be the native size, which a network of open size does not tell. Raises
    what `map_size` does.
    """
    cells = map_size(model, (MULTIPLE, MULTIPLE))
    height, width = (int(MULTIPLE - (number - 1) * step) for number, step in zip(cells, strides(model), strict=True))
    return height, width
