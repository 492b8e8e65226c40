"""The networks of keras.applications, converted: the small ones always, all of them in `make test-all`."""

import re

import applications
import keras
import numpy as np
import pytest
from paths import ROOT

import vggfcn

# As small as their functions make them: name -> arguments.
SMALL = {
    "MobileNetV2": {"input_shape": (64, 64, 3), "alpha": 0.35},
    "ConvNeXtTiny": {"input_shape": (64, 64, 3)},
    "ResNet50V2": {"input_shape": (64, 64, 3)},
    "InceptionV3": {"input_shape": (80, 80, 3)},
}
SLOW_TO_BUILD = {"InceptionV3"}
SAME = {name for name in applications.names() if not re.match("EfficientNet|MobileNetV3", name)}


def small(name):
    return pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_TO_BUILD else [], id=name)


@pytest.mark.parametrize("name", [small(name) for name in SMALL])
def test_small_networks_are_the_same(name):
    result = applications.measure(name, classes=10, **SMALL[name])
    assert result.verdict == "converted"
    assert result.conversion.equivalence.ok
    assert result.conversion.equivalence.largest > 0.1
    assert result.map_shape == (2, 2)


def test_squeeze_and_excite_is_kept_when_asked():
    result = applications.measure("MobileNetV3Small", input_shape=(64, 64, 3), classes=10, alpha=0.75)
    assert result.verdict == "kept with `keep_global`"
    assert (
        "expanded_conv_squeeze_excite_avg_pool (GlobalAveragePooling2D): depends on the whole image" in result.refusal
    )
    assert result.conversion.equivalence.ok
    assert not result.conversion.independent_windows


def test_a_map_of_real_numbers_has_the_shape_that_was_foreseen():
    model = keras.applications.MobileNet(weights=None, classes=5, input_shape=(64, 64, 3), alpha=0.25)
    converted = vggfcn.convert(model, check=False)
    scores = converted(np.zeros((1, 96, 128, 3), np.float32))
    assert scores.shape == converted.compute_output_shape((1, 96, 128, 3)) == (1, 2, 3, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", applications.names())
def test_all_networks(name):
    result = applications.measure(name)
    keras.backend.clear_session()
    assert result.verdict == ("converted" if name in SAME else "kept with `keep_global`")
    assert result.conversion.equivalence.ok


def test_the_page_has_every_network_and_says_what_that_test_says():
    table = re.findall(r"^\| (\w+) \| .*? \| (.*?) \| (.*?) \|", (ROOT / "docs" / "applications.md").read_text(), re.M)
    rows = {name: verdict for name, verdict, _ in table if name != "network"}
    assert sorted(rows) == sorted(applications.names())
    assert {name for name, verdict in rows.items() if verdict == "converted"} == SAME
