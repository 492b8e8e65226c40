"""Shapes, counts and windows that follow from the specs of a network's layers."""

import numpy as np
import pytest

from vggfcn.networks.catalogue import LENET5
from vggfcn.networks.spec import Architecture, ConvSpec, DenseSpec, LocalResponseNormalization, MaxPool, Subsampling

TABLE = ("X.X", ".XX", "X..", "...")
NETWORK = Architecture(
    "example",
    trunk=(
        ConvSpec("strided", 4, size=5, stride=2, padding="valid"),
        LocalResponseNormalization("norm"),
        ConvSpec("grouped", 4, groups=2),
        MaxPool("pool", size=3),
        ConvSpec("partial", 3, table=TABLE),
        Subsampling("mean"),
    ),
    head=(DenseSpec("fc", 6), DenseSpec("out", 2)),
    native_size=31,
    channels=2,
)


def test_shapes_of_all_parameters():
    """At 31 pixels the maps are 14, 14, 14, 6, 6 and 3 wide."""
    assert NETWORK.parameter_shapes() == {
        "strided": ((5, 5, 2, 4), (4,)),
        "grouped": ((3, 3, 2, 4), (4,)),
        "partial": ((3, 3, 4, 3), (3,)),
        "mean": ((1, 1, 3, 1), (3,)),
        "fc": ((3 * 3 * 3, 6), (6,)),
        "out": ((6, 2), (2,)),
    }


def test_what_a_table_leaves_out_is_no_parameter():
    assert NETWORK.convolutions[2].connections(4).tolist() == [
        [True, False, True],
        [False, True, True],
        [True, False, False],
        [False, False, False],
    ]
    assert NETWORK.parameters() == {
        "strided": 5 * 5 * 2 * 4 + 4,
        "grouped": 3 * 3 * 2 * 4 + 4,
        "partial": 3 * 3 * 5 + 3,
        "mean": 3 + 3,
        "fc": 27 * 6 + 6,
        "out": 14,
    }


@pytest.mark.parametrize(
    ("native_size", "feature_size"),
    [(29, 3), (36, 3), (37, 4), (45, 5)],
    ids=["the smallest image with 3 x 3 cells", "the largest", "4 x 4 cells", "5 x 5 cells"],
)
def test_the_trunks_map_is_the_first_head_layers_kernel(native_size, feature_size):
    network = Architecture("example", NETWORK.trunk, NETWORK.head, native_size, channels=2)
    assert network.feature_size == feature_size
    assert network.parameter_shapes()["fc"][0][0] == feature_size**2 * 3


def test_stride_and_receptive_field_of_a_cell():
    """A cell of the head reads 3 x 3 cells of the trunk's map, which reads from the last layer back to the first."""
    first, last = 0, 2
    for size, stride, zeros in ((2, 2, 0), (3, 1, 1), (3, 2, 0), (3, 1, 1), (1, 1, 0), (5, 2, 0)):
        first, last = first * stride - zeros, last * stride - zeros + size - 1
    assert NETWORK.output_stride == 8
    field = NETWORK.receptive_field
    assert (field.size, field.stride, field.padding) == (last - first + 1, 8, -first)


def test_another_number_of_classes_changes_the_last_layer_alone():
    changed = NETWORK.with_classes(9)
    assert (changed.classes, changed.trunk, changed.head[0]) == (9, NETWORK.trunk, NETWORK.head[0])
    assert NETWORK.classes == 2


def test_widths_and_the_native_size_follow_from_shapes():
    wide = {
        name: (kernel, tuple(2 * size for size in bias)) for name, (kernel, bias) in NETWORK.parameter_shapes().items()
    }
    wide["fc"] = ((5 * 5 * 6, 12), (12,))
    resized = NETWORK.resized(wide)
    assert [layer.filters for layer in resized.convolutions] == [8, 8, 6]
    assert [dense.units for dense in resized.head] == [12, 4]
    assert resized.feature_size == 5


def test_a_full_table_is_no_table():
    full = ConvSpec("c3", 16, table=("X" * 16,) * 6)
    np.testing.assert_array_equal(full.connections(6), ConvSpec("c3", 16).connections(6))
    c5 = ConvSpec("c5", 120, size=5).parameter_shapes(16)
    assert LENET5.parameter_shapes()["c5"][0] == (np.prod(c5[0][:-1]), 120)
