"""What every network says of itself, and what is needed to read, check and build the networks of one family."""

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
    """A network as data, whatever it is made of; maps, commands and the page ask for nothing else.

    `native_size` is the side of the square that the original takes, in pixels; `channels` are those of its input, 3 or
    1; `receptive_field` is that of one cell of the converted network's map.
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
    """An opened weight file, recognised as some network's; arrays are read when they are asked for.

    `preprocessing` is what the network wants done to pixels in [0, 255], None where its builder knows; `labels` are
    class names, if the file carries any.
    """

    @property
    def preprocessing(self) -> Preprocessing | None: ...

    @property
    def labels(self) -> tuple[str, ...] | None: ...


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """What is asked of a model, see `vggfcn.build`."""

    head: str | None = "conv"
    classes: int | None = None
    activation: str | None = None
    preprocess: bool = True


@dataclasses.dataclass(frozen=True)
class Family:
    """Networks that are read and built alike.

    `spec` is the class of their specs, and `networks` has those that are known by name. `read` opens a file, given the
    name or spec that was asked for, and gives the spec and the weights; `check` raises `WeightsError` if those are not
    the whole network, head included. `builder` names the function that makes a Keras model of a spec, weights or None
    for random ones, and `BuildOptions`: "module:function", imported when a model is built, as Keras takes seconds.
    """

    spec: type
    networks: Mapping[str, NetworkSpec]
    read: Callable[[pathlib.Path, Any], tuple[NetworkSpec, NetworkWeights]]
    builder: str
    check: Callable[[Any, Any], None] = lambda network, weights: None

    def build(self, network: NetworkSpec, weights: NetworkWeights | None, options: BuildOptions) -> "keras.Model":
        """The Keras model."""
        module, _, function = self.builder.partition(":")
        model: keras.Model = getattr(importlib.import_module(module), function)(network, weights, options)
        return model
