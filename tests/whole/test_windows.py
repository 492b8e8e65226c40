"""Where nothing is padded, every cell of the converted network's map is the original on that cell's window."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXACT, as_maps, noise, randomize, relative_difference, run

import vggfcn
from vggfcn.graph.walking import graph_of

layers = keras.layers
TOLERANCE = 1e-5
UNPADDED = [
    "Flatten and dense layers",
    "global average pooling",
    "global max pooling",
    "tokens and pooling in one dimension",
    "batch normalisation after the head",
    "PReLU with shared axes on a map",
    "dense on a map",
    "an average pool over the whole map",
    "a perceptron on an image without channels",
    "nested models",
    "several outputs",
    "operations of keras.ops",
    "channels first, flattened as it lies",
    "channels first, pooled",
]


def check_every_window(original, converted):
    """On an image a few strides larger than native, for each output that is a score."""
    strides = converted.conversion.strides
    native = original.inputs[0].shape[1:]
    first = len(native) == 3 and native[0] == 3 and native[-1] != 3
    rows, columns = native[1:] if first else native[:2]
    steps = [max(int(stride[axis]) for stride in strides) for axis in (0, 1)]
    height, width = rows + 2 * steps[0] + 1, columns + 2 * steps[1]
    grown = (native[0], height, width) if first else (height, width, *native[2:])
    image = noise(original, grown)[0]
    maps = run(converted, as_maps([image]))
    for row, column in itertools.product(range(3), repeat=2):
        top, left = row * steps[0], column * steps[1]
        area = (slice(top, top + rows), slice(left, left + columns))
        window = image[(slice(None), slice(None), *area) if first else (slice(None), *area)]
        for scores, expected, stride in zip(maps, run(original, [window]), strides, strict=True):
            if expected.ndim == 2:  # Not a map in the original too.
                place = top // int(stride[0]), left // int(stride[1])
                assert relative_difference(scores[(0, *place)], expected[0]) < TOLERANCE


@pytest.mark.parametrize("name", UNPADDED)
def test_every_window(name):
    original = randomize(EXACT[name]())
    check_every_window(original, vggfcn.convert(original))


@pytest.mark.parametrize("name", ["global average pooling", "an average pool over the whole map"])
def test_pooling_of_the_whole_map_moves_on_by_one_cell(name):
    assert vggfcn.convert(EXACT[name]()).conversion.strides == ((2, 2),)


def test_and_a_padded_network_is_not_its_windows():
    """Or else that check could not fail."""
    original = randomize(EXACT["residual and dense branches"]())
    converted = vggfcn.convert(original)
    with pytest.raises(AssertionError):
        check_every_window(original, converted)


def trunk(draw, padding, rows, columns):
    """A chain of layers on an input of that size, with branches that meet again."""
    inputs = x = keras.Input((rows, columns, draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["conv", "pool", "norm", "branch"]))
        kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        if padding == "valid" and min(x.shape[1:3]) < kernel:
            break
        if kind == "conv":
            x = layers.Conv2D(draw(st.integers(1, 4)), kernel, stride, padding, activation="relu")(x)
        elif kind == "pool":
            pool = draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
            x = pool(kernel, stride, padding)(x)
        elif kind == "norm":
            x = layers.BatchNormalization()(x)
        else:
            branches = [layers.Conv2D(3, kernel, stride, padding)(x), layers.Conv2D(3, kernel, stride, padding)(x)]
            merge = draw(st.sampled_from([layers.Add, layers.Concatenate, layers.Maximum]))
            x = merge()(branches)
    return inputs, x


def classifier(draw, padding):
    """A random small classifier: strides, pools, branches, heads, odd sizes."""
    inputs, x = trunk(draw, padding, draw(st.integers(5, 14)), draw(st.integers(5, 14)))
    head = draw(st.sampled_from(["flatten", "average", "max", "keepdims", "dense", "reshape"]))
    if head == "dense":
        x = layers.Dense(3)(x)
    if head in ("flatten", "dense"):
        x = layers.Flatten()(x)
    elif head == "reshape":
        x = layers.Reshape((-1,))(x)
    else:
        pool = layers.GlobalMaxPooling2D if head == "max" else layers.GlobalAveragePooling2D
        x = pool(keepdims=head == "keepdims")(x)
        x = layers.Flatten()(x) if head == "keepdims" else x
    for _ in range(draw(st.integers(0, 2))):
        x = layers.Dense(draw(st.integers(1, 5)), activation=draw(st.sampled_from(["relu", "tanh", None])))(x)
        x = draw(st.sampled_from([layers.Dropout(0.5), layers.LayerNormalization(), layers.BatchNormalization()]))(x)
    return randomize(keras.Model(inputs, layers.Dense(3)(x)), draw(st.integers(0, 99)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_random_classifiers_at_native_size(data):
    original = classifier(data.draw, data.draw(st.sampled_from(["same", "valid"])))
    converted = vggfcn.convert(original, check=False)
    images = noise(original)
    expected = run(original, images)[0]
    difference = np.abs(run(converted, images)[0][:, 0, 0] - expected).max()
    assert difference <= TOLERANCE * max(1, np.abs(expected).max())
    assert all(type(layer).__module__.startswith("keras.") for layer in graph_of(converted).layers)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_random_classifiers_without_padding_on_every_window(data):
    original = classifier(data.draw, "valid")
    check_every_window(original, vggfcn.convert(original, check=False))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_many_random_classifiers_without_padding_on_every_window(data):
    original = classifier(data.draw, "valid")
    check_every_window(original, vggfcn.convert(original))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_many_random_classifiers_with_padding(data):
    original = classifier(data.draw, "same")
    assert vggfcn.convert(original).conversion.equivalence.ok
