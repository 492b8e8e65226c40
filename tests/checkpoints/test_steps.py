"""What a file states is held against a network step by step, and the first difference is named."""

import pytest

from vggfcn.checkpoints.steps import ANY, Outline, Step, difference, size

EXPECTED = [
    Step("input", {"rows": ANY, "columns": ANY, "channels": 3}),
    Step("convolution", {"size": 3, "arrays": "conv"}),
    Step("relu"),
    Step("max pooling", {"size": 2}),
    Step("flatten"),
    Step("dense layer", {"units": 4, "arrays": "fc"}),
]
STATED = [
    Step("input", {"rows": 9, "channels": 3}, "image"),
    Step("convolution", {"size": 3, "arrays": "conv"}, "conv"),
    Step("relu", {}, "conv"),
    Step("max pooling", {}, "pool"),
    Step("flatten", {}, "flat"),
    Step("dense layer", {"units": 4, "arrays": "fc"}, "fc"),
]


def changed(index, *steps):
    return [*STATED[:index], *steps, *STATED[index + 1 :]]


@pytest.mark.parametrize("stated", [STATED, STATED[1:], [*STATED, Step("softmax")], [*STATED, Step("log softmax")]])
def test_the_same(stated):
    assert difference(stated, EXPECTED) is None


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (changed(2, Step("elu", {}, "act")), "'act', elu, is where relu belongs"),
        (changed(3, Step("max pooling", {"size": 3}, "pool")), "'pool' has size 3, expected 2"),
        (changed(3, Step("max pooling", {"dilation": 2}, "pool")), "'pool' has dilation 2, expected None"),
        (changed(1, Step("convolution", {"arrays": "b"}, "b")), "'b' has arrays b, expected conv"),
        (changed(0, Step("input", {"channels": 1}, "x")), "'x' has channels 1, expected 3"),
        ([*STATED, Step("dense layer", {}, "more")], "'more', dense layer, is one layer too many"),
        ([*STATED, Step("softmax", {}, "one"), Step("softmax", {}, "two")], "'one', softmax, is one layer too many"),
        (STATED[:-1], "there is no dense layer (units 4, arrays fc) after 'flat', flatten,"),
        ([], "there is no convolution (size 3, arrays conv) after its input"),
    ],
)
def test_the_first_difference(stated, message):
    assert difference(stated, EXPECTED) == message


LAYERS = [Step("layer with arrays", {"arrays": name}, name) for name in ("conv", "fc")]
CONV, DENSE = (Step(step.kind, {"arrays": step.options["arrays"]}, step.name) for step in (STATED[1], STATED[5]))
POOL, FLAT = Step("max pooling", {}, "p"), Step("flatten", {}, "f")


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (Outline([LAYERS[0], POOL, FLAT, LAYERS[1]], True, True), None),
        (Outline(LAYERS, True, False), None),
        (Outline([DENSE, FLAT, CONV, POOL], False, True), None),
        (Outline(LAYERS[::-1], True, False), "'fc' has arrays fc, expected conv"),
        (Outline([LAYERS[0], FLAT, LAYERS[1]], True, True), "'f', flatten, is where max pooling belongs"),
        (Outline([*LAYERS, Step("gap", {}, "g")], True, False), "'g', gap, is one layer too many"),
        (Outline([DENSE, FLAT, CONV], False, True), "there is no max pooling after 'f', flatten,"),
    ],
)
def test_an_outline(outline, message):
    assert outline.difference(EXPECTED) == message


@pytest.mark.parametrize(("values", "expected"), [([2, 2], 2), ((1, 2), (1, 2)), (3, 3), ([], ()), (None, None)])
def test_sizes(values, expected):
    assert size(values) == expected


class Hostile:
    def __repr__(self):
        raise AssertionError("no code of a value runs")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("same", "same"),
        ("x" * 100, "x" * 60),
        ((1, 2), "(1, 2)"),
        (True, "True"),
        (1.5, "1.5"),
        (Hostile(), "Hostile"),
        ([[]], "list"),
        ((1,) * 100, "tuple"),
        pytest.param(10**5000, "an integer of 16,610 bits", id="a long integer"),
    ],
)
def test_options_are_written_whatever_they_are(value, written):
    step = Step("relu", {"key": value})
    assert str(step) == f"relu (key {written})"
    assert f"has key {written}, expected" in difference([step], [Step("relu", {"key": 7})])
