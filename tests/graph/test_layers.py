"""The table of layer kinds, and that reading it does not load the converter."""

import import_graph
import keras
import pytest
from keras.src.ops import numpy
from paths import ROOT

from vggfcn.graph.layers import KIND_BY_CLASS, Kind, axes_of, kind_of, reordering_of, runs_along_last_axis

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
    ],
)
def test_reordering(layer, orders):
    assert reordering_of(layer) == orders


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
