"""The table of engines: which are tried, what one row is enough for, and what a missing library says."""

import dataclasses

import keras
import numpy as np
import pytest
from new_engine import add_doubling_engine

import vggfcn
from vggfcn.engines.table import (
    AUTO,
    ENGINES,
    OPENVINO,
    STREAMING,
    TENSORFLOW,
    candidates,
    streaming_engine,
)
from vggfcn.errors import EngineError


def test_auto_tries_the_fastest_first_and_streams_with_the_smallest():
    assert candidates(AUTO) == [OPENVINO, TENSORFLOW]
    assert candidates("tensorflow") == [TENSORFLOW]
    assert streaming_engine(AUTO) == min(STREAMING, key=lambda name: ENGINES[name].maps_factor)
    assert streaming_engine("openvino") == "openvino"


def test_what_is_not_installed_is_named_with_the_way_to_get_it():
    missing = dataclasses.replace(OPENVINO, needs=("no_such_library",))
    message = r'no_such_library is not installed; get it with: pip install "vggfcn\[openvino\]"'
    with pytest.raises(EngineError, match=message):
        missing.load()


def test_a_row_and_a_module_make_an_engine(monkeypatch):
    add_doubling_engine(monkeypatch)
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    for name in ("doubling", AUTO):
        engine = vggfcn.compile(model, name)
        assert engine.name == "doubling"
        np.testing.assert_array_equal(engine(np.full((1, 3, 3, 1), 4.0)), np.full((1, 3, 3, 1), 8, np.float32))
    with pytest.raises(ValueError, match="threads: it has none"):
        vggfcn.compile(model, "doubling", threads=1)
