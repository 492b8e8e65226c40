"""Converted networks are the originals; what cannot be kept exact is refused by name."""

import keras
import numpy as np
import pytest
from networks import EXACT, REFUSED, as_maps, noise, randomize, relative_difference, run

import vggfcn
from vggfcn.conversion.convert import RULES
from vggfcn.errors import ConversionError
from vggfcn.graph.walking import graph_of

TOLERANCE = 1e-5


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in EXACT.items()])
def test_is_the_original_at_native_size_and_is_saved_and_loaded_with_stock_keras(build, tmp_path):
    original = randomize(build())
    converted = vggfcn.convert(original)
    images = noise(original)
    expected, scores = run(original, images), run(converted, as_maps(images))
    assert len(expected) == len(scores)
    for one, other in zip(scores, expected, strict=True):
        assert one.ndim == 4
        assert relative_difference(one, other) < TOLERANCE
        assert np.abs(other).min() > 0
    converted.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    for one, other in zip(run(again, as_maps(images)), scores, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in EXACT.items()])
def test_takes_larger_images(build):
    converted = vggfcn.convert(build(), check=False)
    for output in run(converted, [np.zeros((1, *grown(tensor)), np.float32) for tensor in converted.inputs]):
        assert output.ndim == 4
        assert sum(side > 1 for side in output.shape[1:]) > 1


def grown(tensor):
    """A larger image for such an input."""
    return tuple(40 if side is None else side for side in tensor.shape[1:])


@pytest.mark.parametrize(("build", "title", "hint"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_what_cannot_be_exact_is_refused_by_name_with_a_way_out(build, title, hint):
    with pytest.raises(ConversionError) as refusal:
        vggfcn.convert(build())
    assert title in str(refusal.value)
    assert hint in str(refusal.value)


def test_what_is_no_model_is_a_type_error():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        vggfcn.convert("model.keras")


def test_every_rule_has_a_network_that_it_is_tried_on():
    """By the kinds of layers that the networks of this file have."""
    classes = set()
    for build in [*EXACT.values(), *(case[0] for case in REFUSED.values())]:
        model = build()
        classes |= {type(layer).__name__ for layer in model._flatten_layers()}
        classes |= {type(operation).__name__ for operation in getattr(graph_of(model), "operations", [])}
    untried = [kind for kind in RULES if not classes & set(kind.value.split())]
    assert untried == []
