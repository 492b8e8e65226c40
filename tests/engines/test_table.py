"""The table of engines: what a row is enough for, and what a missing library says."""

import dataclasses
import sys
import types

import keras
import numpy as np
import pytest

from vggfcn.cli import options
from vggfcn.engines import engine as engines
from vggfcn.engines import table as engine_table
from vggfcn.engines.table import AUTO, ENGINES, NAMES, OPENVINO, STREAMING, TENSORFLOW, EngineSpec, candidates
from vggfcn.errors import EngineError
from vggfcn.streaming import memory_plan, stream


def test_the_command_line_knows_the_engines_of_the_table():
    assert NAMES == (AUTO, "tensorflow", "openvino")
    assert tuple(name.value for name in options.EngineName) == NAMES


def test_auto_tries_the_fastest_first_and_streams_with_the_smallest():
    assert candidates(AUTO) == [OPENVINO, TENSORFLOW]
    assert candidates("tensorflow") == [TENSORFLOW]
    assert engine_table.streaming_engine(AUTO) == min(STREAMING, key=lambda name: ENGINES[name].maps_factor)
    assert engine_table.streaming_engine("openvino") == "openvino"


def test_what_is_not_installed_is_named_with_the_way_to_get_it():
    missing = dataclasses.replace(OPENVINO, needs=("no_such_library",))
    message = r'no_such_library is not installed; get it with: pip install "vggfcn\[openvino\]"'
    with pytest.raises(EngineError, match=message):
        missing.load()


@pytest.fixture
def doubling(monkeypatch):
    """A new engine: a module, and a row in the table."""
    module = types.ModuleType("doubling")
    module.compile_model = lambda model, threads: lambda batch: 2 * batch
    module.compile_step = lambda model, traced: traced(lambda layer: None)
    spec = EngineSpec("doubling", "doubling", weights_factor=0, maps_factor=1e9, no_threads="it has none")
    monkeypatch.setitem(sys.modules, "doubling", module)
    monkeypatch.setitem(ENGINES, "doubling", spec)
    monkeypatch.setattr(engines, "NAMES", (*NAMES, "doubling"))
    monkeypatch.setattr(stream, "STREAMING", (*STREAMING, "doubling"))
    return spec


def model():
    return keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])


def test_a_row_and_a_module_make_an_engine(doubling):
    for name in ("doubling", AUTO):
        engine = engines.compile(model(), name)
        assert engine.name == "doubling"
        np.testing.assert_array_equal(engine(np.full((1, 3, 3, 1), 4.0)), np.full((1, 3, 3, 1), 8, np.float32))
    with pytest.raises(ValueError, match="threads: it has none"):
        engines.compile(model(), "doubling", threads=1)


def test_it_streams_as_well_and_its_memory_counts(doubling):
    network, image = model(), np.ones((30, 9, 1), np.float32)
    parts = stream.Stream(network, (30, 9), 4, engine="doubling").run(lambda start, stop: image[start:stop])
    expected = keras.ops.convert_to_numpy(network(image[None]))[0]
    np.testing.assert_allclose(np.concatenate([rows for _, rows in parts]), expected, atol=1e-6)
    with pytest.raises(memory_plan.MemoryLimitError):
        memory_plan.cut(network, (30, 9), 10**11, engine="doubling")
