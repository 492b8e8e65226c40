"""The table of engines: what the package knows about each one without loading it.

To add an engine, write a module with `compile_model(model, threads)` and, if it can stream,
`compile_step(model, traced)`, and add a row here. `compile`, `score_map`, `Stream` and the command line read the table.
"""

import dataclasses
import importlib
from types import ModuleType

from vggfcn.errors import EngineError, install_hint
from vggfcn.loading import load_library

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class EngineSpec:
    """One engine.

    - `name`: the value of `engine` that selects it.
    - `module`: the module of this package that runs networks with it.
    - `weights_factor`, `maps_factor`: the memory that it takes besides the model, as multiples of the model's weights
      and of the maps in memory at the same time.
    - `extra`, `needs`: the third-party modules that it imports, and the extra of this package that installs them.
    - `streams`: whether it can run blocks of rows.
    - `no_threads`: why you cannot set its number of threads; "" if you can.
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
        """Import its module. Raises `EngineError`, with the command to run, if it is not installed."""
        for name in self.needs:
            try:
                load_library(name)
            except ImportError as error:
                raise EngineError(f"{name} is not installed; get it with: {self.install}") from error
        return importlib.import_module(self.module)


TENSORFLOW = EngineSpec(
    name="tensorflow",
    module="vggfcn.engines.tensorflow",
    weights_factor=0,
    maps_factor=1.25,
    no_threads="TensorFlow's threads are shared by the whole process; set them with tf.config.threading at the start",
)
# OpenVINO converts and packs the weights. Winograd's transform makes some maps 2.25 times as large.
# `benchmarks/large.py` shows whether a memory limit is kept.
OPENVINO = EngineSpec(
    name="openvino",
    module="vggfcn.engines.openvino",
    weights_factor=4,
    maps_factor=4,
    extra="openvino",
    needs=("openvino",),
)
# Ordered from the engine that runs everywhere to the fastest.
ENGINES = {spec.name: spec for spec in (TENSORFLOW, OPENVINO)}
NAMES = (AUTO, *ENGINES)
STREAMING = tuple(name for name, spec in ENGINES.items() if spec.streams)


def candidates(name: str) -> list[EngineSpec]:
    """The engines to try, in order, for a name in `NAMES`; for "auto" the fastest first."""
    return list(reversed(ENGINES.values())) if name == AUTO else [ENGINES[name]]


def streaming_engine(name: str) -> str:
    """The engine that streams an image for a name in `NAMES`; for "auto" the one that needs the least memory."""
    return TENSORFLOW.name if name == AUTO else name
