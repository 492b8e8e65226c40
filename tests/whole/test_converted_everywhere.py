"""Each conversion rule on a network without padding: every cell is the original's own output on that cell's window.

The converted network must then run everywhere else too, or be refused there by a layer's name.
"""

import functools

import keras
import numpy as np
import pytest
from rule_networks import UNPADDED, converted, native_size, noise, scores_of_windows
from streams import check, without_compiling

import vggfcn
from vggfcn.errors import EngineError, GeometryError

TOLERANCE = 2e-6
pair = functools.cache(converted)
# Channels first in between.
CHANNELS_FIRST = ("moved axes",)


def assert_close(found, expected, tolerance=TOLERANCE):
    """A map may have a few cells more, for windows whose last pixels the network does not read."""
    assert all(0 <= one - other <= 2 for one, other in zip(found.shape, expected.shape, strict=True))
    found = found[tuple(slice(length) for length in expected.shape)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def some(every):
    """Every so many networks; `make test-all` takes all of them."""
    return [
        pytest.param(name, marks=[] if number % every == 0 else pytest.mark.slow)
        for number, name in enumerate(UNPADDED)
    ]


@pytest.mark.parametrize("name", some(2))
def test_each_cell_is_the_original_on_its_window(name, tmp_path):
    original, network = pair(name)
    image = noise(original)
    (stride,) = network.conversion.strides
    expected = scores_of_windows(original, image, [int(step) for step in stride])
    found = network.predict(image, verbose=0)[0]
    assert min(found.shape[:2]) > 1
    assert_close(found, expected)
    assert (np.ptp(found, (0, 1)) > 0).all()
    network.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(image, verbose=0)[0], found)


@pytest.mark.parametrize("name", UNPADDED)
def test_its_receptive_field_is_inside_the_window(name):
    original, network = pair(name)
    field = vggfcn.receptive_field(network)
    assert field.stride == tuple(int(step) for step in network.conversion.strides[0])
    for axis, side in zip((field.rows, field.columns), native_size(original)[0], strict=True):
        start, stop = axis.span(0)
        assert start >= 0
        assert stop <= side


@pytest.mark.parametrize("name", some(5))
def test_it_streams_and_runs_on_both_engines(name):
    original, network = pair(name)
    image = noise(original)
    expected = network.predict(image, verbose=0)
    for engine in ("tensorflow", "openvino"):
        try:
            assert_close(np.asarray(vggfcn.compile(network, engine=engine)(image)), expected, 1e-5)
        except EngineError:
            assert (engine, name) == ("openvino", "random grey")  # It has no random numbers.
    if name in CHANNELS_FIRST or native_size(original)[1]:
        with pytest.raises(GeometryError, match="works channels first"):
            check(network, image[0], block_rows=8)
        return
    with without_compiling():
        check(network, image[0], block_rows=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNPADDED)
def test_its_map_gets_finer_or_a_layer_is_named(name):
    original, network = pair(name)
    image = noise(original, (5, 4))
    try:
        finer = vggfcn.with_output_stride(network, 1)
    except GeometryError as refusal:
        assert any(reason in str(refusal) for reason in ("keras.ops", "channels first", "stride and dilation"))
        assert "joined" in name or "depth" in name or "pyramid" in name or "first" in name or "step" in name
        return
    assert_close(finer.predict(image, verbose=0)[0], scores_of_windows(original, image, (1, 1)))
