"""What else reads the table of engines: the command line, streams, and the memory that they count."""

import keras
import numpy as np
import pytest
from new_engine import add_doubling_engine

from vggfcn.cli import options
from vggfcn.engines.table import AUTO, NAMES
from vggfcn.streaming import memory_plan, stream


def test_the_command_line_knows_the_engines_of_the_table():
    assert NAMES == (AUTO, "tensorflow", "openvino")
    assert tuple(name.value for name in options.EngineName) == NAMES


def test_a_row_and_a_module_make_an_engine_that_streams_and_whose_memory_counts(monkeypatch):
    add_doubling_engine(monkeypatch)
    network = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    image = np.ones((30, 9, 1), np.float32)
    parts = stream.Stream(network, (30, 9), 4, engine="doubling").run(lambda start, stop: image[start:stop])
    expected = keras.ops.convert_to_numpy(network(image[None]))[0]
    np.testing.assert_allclose(np.concatenate([rows for _, rows in parts]), expected, atol=1e-6)
    with pytest.raises(memory_plan.MemoryLimitError):
        memory_plan.cut(network, (30, 9), 10**11, engine="doubling")
