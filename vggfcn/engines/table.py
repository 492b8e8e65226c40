"""The engines that run a network: one row of facts each, and none of them is loaded for it.

A new engine is a module that has `compile_model(model, threads)` and, if it streams, `compile_step(model, traced)`, and
a row here: `compile`, `Stream`, `max_memory` and the command line read this table.
"""

import dataclasses
import importlib
from types import ModuleType

from vggfcn.errors import EngineError, install_hint

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class EngineSpec:
    """What there is to know of an engine before it is loaded.

    `module` is the one that runs networks with it; `needs` are the modules of others that it imports, which
    `vggfcn[extra]` installs. `weights_factor` and `maps_factor` are what it takes beside the model, as multiples of the
    model's weights and of the maps in memory at once. `streams` says whether it runs blocks of rows, `no_threads` why
    it cannot be given a number of threads, "" if it can.
    """

    name: str
    module: str
    weights_factor: float
    maps_factor: float
    extra: str = ""
    needs: tuple[str, ...] = ()
    streams: bool = True
    no_threads: str = ""

    @property
    def install(self) -> str:
        """The command that installs it."""
        return install_hint(self.extra)

    def load(self) -> ModuleType:
        """Its module. Raises `EngineError`, with what to install, if what it needs is not installed."""
        for name in self.needs:
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise EngineError(f"{name} is not installed; get it with: {self.install}") from error
        return importlib.import_module(self.module)


TENSORFLOW = EngineSpec(
    name="tensorflow",
    module="vggfcn.engines.tensorflow",
    weights_factor=0,
    maps_factor=1.25,
    no_threads="TensorFlow's belong to the whole process; set them with tf.config.threading before anything runs",
)
# It converts the weights and brings them into an order of its own, and has some maps in another basis as well, 2.25
# times as large. `benchmarks/large.py` shows whether a limit of memory is kept.
OPENVINO = EngineSpec(
    name="openvino",
    module="vggfcn.engines.openvino",
    weights_factor=4,
    maps_factor=4,
    extra="openvino",
    needs=("openvino",),
)
# From the one that runs everywhere to the fastest.
ENGINES = {spec.name: spec for spec in (TENSORFLOW, OPENVINO)}
NAMES = (AUTO, *ENGINES)
STREAMING = tuple(name for name, spec in ENGINES.items() if spec.streams)


def candidates(name: str) -> list[EngineSpec]:
    """The engines to try for a name of `NAMES`, one after another; for "auto" the fastest first."""
    return list(reversed(ENGINES.values())) if name == AUTO else [ENGINES[name]]


def streaming_engine(name: str) -> str:
    """The engine that runs an image in parts for a name of `NAMES`: for "auto" the one that takes least memory."""
    return TENSORFLOW.name if name == AUTO else name
