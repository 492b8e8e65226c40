"""A new engine, as somebody might add one: a module, and a row in the table."""

import sys
import types

from vggfcn.engines import engine
from vggfcn.engines.table import ENGINES, NAMES, STREAMING, EngineSpec
from vggfcn.streaming import stream


def add_doubling_engine(monkeypatch):
    """Gives twice what it is given."""
    module = types.ModuleType("doubling")
    module.compile_model = lambda model, threads: lambda batch: 2 * batch
    module.compile_step = lambda model, traced: traced(lambda layer: None)
    spec = EngineSpec("doubling", "doubling", weights_factor=0, maps_factor=1e9, no_threads="it has none")
    monkeypatch.setitem(sys.modules, "doubling", module)
    monkeypatch.setitem(ENGINES, "doubling", spec)
    monkeypatch.setattr(engine, "NAMES", (*NAMES, "doubling"))
    monkeypatch.setattr(stream, "STREAMING", (*STREAMING, "doubling"))
