"""What every network must provide, and what it takes to read, check and build the networks of one family."""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.maps.geometry import ReceptiveField

if TYPE_CHECKING:
    import keras


class NetworkSpec(Protocol):
    """A network as data. Maps, commands and the page in the browser need nothing else.

    `native_size` is the side of the square image that the original network takes, in pixels. `channels` is the number
    of channels of its input, 3 or 1. `receptive_field` is that of a cell of the converted network's map.
    """

    @property
    def name(self) -> str: ...

    @property
    def native_size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def classes(self) -> int: ...

    @property
    def receptive_field(self) -> ReceptiveField: ...


class NetworkWeights(Protocol):
    """An opened weight file of a known network, whose arrays are read on demand.

    `preprocessing` is applied to pixels in [0, 255]; None if it is not known. `preprocessing_reason` says where it
    comes from, or why it is not known. `labels` are the class names, if the file has any.
    """

    @property
    def preprocessing(self) -> Preprocessing | None: ...

    @property
    def preprocessing_reason(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...] | None: ...


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Options of a model to build; `vggfcn.build` explains them."""

    head: str | None = "conv"
    classes: int | None = None
    activation: str | None = None
    preprocess: bool | str | Preprocessing = True


@dataclasses.dataclass(frozen=True)
class Family:
    """Networks that are read and built by the same functions.

    - `spec`: the class of their specs.
    - `networks`: the specs of the networks known by name.
    - `read`: opens a weight file and returns the network's spec and the weights. Its second argument is the name or the
      spec that the caller expects, or None.
    - `builder`: "module:function". The function makes a Keras model from a spec, weights (None for random values) and
      `BuildOptions`. It is imported when a model is built, because importing Keras takes seconds.
    - `check`: raises `WeightsError` if the weights are not those of the whole network, head included.
    """

    spec: type
    networks: Mapping[str, NetworkSpec]
    read: Callable[[pathlib.Path, Any], tuple[NetworkSpec, NetworkWeights]]
    builder: str
    check: Callable[[Any, Any], None] = lambda network, weights: None

    def build(self, network: NetworkSpec, weights: NetworkWeights | None, options: BuildOptions) -> "keras.Model":
        """The Keras model of a network; without weights it has random values."""
        module, _, function = self.builder.partition(":")
        model: keras.Model = getattr(importlib.import_module(module), function)(network, weights, options)
        return model
