"""Rules for channels, slices and padding: what they make, and what they refuse. `tests/whole` runs the networks."""

import keras
import numpy as np
import pytest
from networks import randomize

import vggfcn
from vggfcn.errors import ConversionError

layers, ops = keras.layers, keras.ops


def network(first, shape=(12, 10, 3)):
    image = keras.Input(shape)
    return randomize(keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Conv2D(3, 3)(first(image))))))


@pytest.mark.parametrize(
    ("first", "became"),
    [
        pytest.param(lambda x: x[..., ::-1], ["kept"], id="channels reversed"),
        pytest.param(lambda x: x[:, 1:-2], ["Cropping2D ((1, 2), (0, 0))"], id="rows cropped"),
        pytest.param(
            lambda x: x[:, ::2, 1::3], ["Cropping2D ((0, 1), (1, 2)) + every 2 x 3"], id="every other row",
        ),
        pytest.param(
            lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0))), ["ZeroPadding2D ((1, 2), (0, 3))"], id="zeros",
        ),
        pytest.param(lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect"), ["kept"], id="a mirror"),
        pytest.param(lambda x: ops.take(x, [2, 1, 0], -1), ["slice + slice + slice + Concatenate"], id="take"),
    ],
)  # fmt: skip
def test_what_an_operation_becomes(first, became):
    converted = vggfcn.convert(network(first))
    assert [layer.after for layer in converted.conversion.layers][: len(became)] == became


@pytest.mark.parametrize(
    ("first", "message"),
    [
        pytest.param(lambda x: x[:, ::-1], "(GetItem): reverses rows or columns", id="rows reversed"),
        pytest.param(lambda x: ops.flip(x, axis=1), "flip (Flip): moves or mixes rows and columns", id="flip of rows"),
        pytest.param(lambda x: ops.roll(x, 1, axis=2), "roll (Roll): moves or mixes rows", id="roll of columns"),
        pytest.param(lambda x: ops.repeat(x, 2, axis=1), "repeat (Repeat): moves or mixes rows", id="repeated rows"),
        pytest.param(lambda x: ops.take(x, [0, 1, 3], axis=1), "take (Take): takes rows or columns", id="take of rows"),
        pytest.param(lambda x: x - ops.min(x, axis=1, keepdims=True), "min (Min): reduces rows or", id="minimum"),
        pytest.param(
            lambda x: ops.moveaxis(ops.stack([x[..., 0], x[..., 1]], axis=2), 2, 3),
            "stack (Stack): stacks along an axis", id="stack",
        ),
        pytest.param(lambda x: ops.subtract(x, np.ones((12, 10, 1))), "a separate constant for each", id="mean image"),
    ],
)  # fmt: skip
def test_what_moves_rows_or_columns_is_refused_by_name(first, message):
    keras.utils.clear_session()
    with pytest.raises(ConversionError) as refusal:
        vggfcn.convert(network(first))
    assert message in str(refusal.value)


def test_a_constant_for_each_column_is_not_taken_for_one_of_each_channel():
    """Three columns, channels first: Keras adds the constant to columns."""
    image = keras.Input((3, 5, 3))
    x = layers.Flatten()(layers.Conv2D(2, 2, data_format="channels_first")(image + np.arange(3, dtype=np.float32)))
    with pytest.raises(ConversionError, match="has a separate constant for each position"):
        vggfcn.convert(keras.Model(image, layers.Dense(2)(x)), check=False)
