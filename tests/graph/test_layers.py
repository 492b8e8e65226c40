"""The table of layer kinds, and that reading it does not load the converter."""

import import_graph
import keras
import numpy as np
import pytest
from keras.src.ops import numpy
from paths import ROOT

from vggfcn.graph.layers import (
    KIND_BY_CLASS,
    POINTWISE,
    Kind,
    axes_of,
    indexed_axes,
    kind_of,
    rearranged_axes,
    reordering_of,
    runs_along_last_axis,
)

layers = keras.layers


def stock_classes(base=keras.Operation):
    """Names of Keras's layers and operations, those of its applications included."""
    for kind in base.__subclasses__():
        yield from stock_classes(kind)
        if kind.__module__.startswith("keras."):
            yield kind.__name__


def test_no_class_is_of_two_kinds():
    assert sum(len(kind.value.split()) for kind in Kind) == len(KIND_BY_CLASS)


def test_the_classes_of_the_table_are_keras_classes():
    assert set(KIND_BY_CLASS) - set(stock_classes()) == set()


class Conv2D(layers.Conv2D):
    """A custom class with a stock name."""


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        pytest.param(layers.DepthwiseConv2D(3), Kind.CONVOLUTION, id="a layer"),
        pytest.param(numpy.Mean(axis=1), Kind.GLOBAL_POOLING, id="an operation"),
        pytest.param(layers.LSTM(3), None, id="an unknown layer"),
        pytest.param(Conv2D(3, 3), None, id="a custom class"),
    ],
)
def test_kind(layer, kind):
    assert kind_of(layer) is kind


IMAGE = np.random.default_rng(0).uniform(0.1, 0.9, (1, 4, 5, 3)).astype(np.float32)
# Arguments of those that need some.
ARGUMENTS = {
    "Clip": (0.2, 0.8), "Cast": ("float64",), "SaturateCast": ("float64",), "Threshold": (0.5, 0.1),
    "Activation": ("relu",), "Rescaling": (2.0,),
    **dict.fromkeys(["Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D"], (0.5,)),
    **dict.fromkeys(["RandomRotation", "RandomZoom", "RandomBrightness", "RandomContrast"], (0.5,)),
    **dict.fromkeys(["RandomHue", "RandomSaturation", "RandomSharpness", "RandomColorDegeneration"], (0.5,)),
    "RandomTranslation": (0.5, 0.5), "RandomShear": (0.5, 0.5), "RandomPosterization": (3,),
    "RandomColorJitter": ((0, 255), 0.5, 0.5, 0.5, 0.5), "RandomGrayscale": (1.0,), "RandomInvert": (1.0,),
}  # fmt: skip


def made(name):
    """A layer or operation of this class."""
    cls = next(kind for kind in all_classes() if kind.__name__ == name and kind.__module__.startswith("keras."))
    return cls(*ARGUMENTS.get(name, ()))


def all_classes(base=keras.Operation):
    for kind in base.__subclasses__():
        yield kind
        yield from all_classes(kind)


@pytest.mark.parametrize("name", sorted(name for kind in POINTWISE | {Kind.ONES_LIKE} for name in kind.value.split()))
def test_pointwise_classes_change_a_value_by_the_same_value_alone(name):
    operation = made(name)
    images = np.repeat(IMAGE, 2, 0)
    images[1, 2, 3, 1] += 0.05
    images = {"LogicalNot": images > 0.5, "Arccosh": images + 1}.get(name, images)
    options = {"training": False} if kind_of(operation) in (Kind.DROPOUT, Kind.AUGMENTATION) else {}
    one, other = np.asarray(operation(images, **options))
    assert one.shape == IMAGE.shape[1:]
    changed = np.argwhere(one != other).tolist()
    assert changed in ([], [[2, 3, 1]])
    if options:
        np.testing.assert_array_equal(one, IMAGE[0])


def test_axes_count_the_batch():
    assert axes_of(layers.Softmax(axis=-1), 4) == {3}
    assert axes_of(layers.LayerNormalization(axis=[1, -1]), 3) == {1, 2}
    assert axes_of(layers.Dense(3), 2) == {1}


@pytest.mark.parametrize(
    ("layer", "orders"),
    [
        (layers.Permute((2, 3, 1)), ("chw", "hwc")),
        (numpy.Transpose((0, 3, 1, 2)), ("hwc", "chw")),
        (layers.Permute((2, 1, 3)), None),
        (numpy.Transpose(), None),
        (numpy.Transpose((3, 0, 1, 2)), None),
        (numpy.Moveaxis(-1, 1), ("hwc", "chw")),
        (numpy.Swapaxes(1, 3), None),
    ],
)
def test_reordering(layer, orders):
    assert reordering_of(layer) == orders


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ((..., slice(None, None, -1)), {3: slice(None, None, -1)}),
        ((slice(None), 2), {1: 2}),
        (0, {0: 0}),
        ((..., slice(None)), {}),
        ((slice(1, -1), ..., 0), {0: slice(1, -1), 3: 0}),
        ((None, 0), None),
        ((..., True), None),
        ((..., np.arange(2)), None),
        ((..., ..., 0), None),
        ((0, 0, 0, 0, 0), None),
        ((slice(np.int64(1), None),), None),
    ],
)
def test_what_a_key_takes_along_each_axis(key, parts):
    assert indexed_axes(key, 4) == parts


@pytest.mark.parametrize(
    ("operation", "axes"),
    [
        (numpy.Flip(-1), {3}),
        (numpy.Flip(), {0, 1, 2, 3}),
        (numpy.Flip((1, 2)), {1, 2}),
        (numpy.Tile((1, 1, 3)), {3}),
        (numpy.Tile((2, 1, 1, 1, 3)), {0, 1, 2, 3}),
        (numpy.Tile((2, 1, 3)), {1, 3}),
        (numpy.Repeat(2), {0, 1, 2, 3}),
    ],
)
def test_the_axes_that_an_operation_rearranges(operation, axes):
    assert rearranged_axes(operation, 4) == axes


def test_activations_along_the_last_axis():
    assert runs_along_last_axis(layers.Conv2D(3, 3, activation="softmax"))
    assert not runs_along_last_axis(layers.Conv2D(3, 3, activation="relu"))
    assert not runs_along_last_axis(layers.Flatten())


@pytest.mark.parametrize("module", ["graph.receptive_fields", "conversion.output_stride", "streaming.flat_graph"])
def test_the_graph_is_read_without_the_converter(module):
    """By what they import when they are loaded, read from the sources."""
    graph = import_graph.graph_of(ROOT / "vggfcn", lazy=False)
    loaded, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += graph.get(name, ())
    assert "graph.layers" in loaded
    assert "conversion.convert" not in loaded
