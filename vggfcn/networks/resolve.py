"""The table of all families of networks, and which network is meant by a name, a spec or weights; no array is read."""

import os

from vggfcn.errors import WeightsError
from vggfcn.networks import efficientnet, registry, sequential
from vggfcn.networks.families import Family, NetworkSpec, NetworkWeights

# Files of which no name says what they are, are read by the first family.
FAMILIES: tuple[Family, ...] = (sequential.FAMILY, efficientnet.FAMILY)
DEFAULT = "vgg16"


def names() -> list[str]:
    """The names of all networks."""
    return [name for family in FAMILIES for name in family.networks]


def family_of(network: str | NetworkSpec) -> Family:
    """The family that a network, by name or as a spec, belongs to; raises `ValueError` if it is none's."""
    for family in FAMILIES:
        if network in family.networks if isinstance(network, str) else isinstance(network, family.spec):
            return family
    raise ValueError(f"architecture: expected one of {', '.join(names())}, got {network!r}")


def standard(wanted: str | NetworkSpec | None) -> NetworkSpec:
    """The network that a name stands for, VGG16 if None; a spec as it is. Raises `ValueError` if it is unknown."""
    network = DEFAULT if wanted is None else wanted
    family = family_of(network)
    return family.networks[network] if isinstance(network, str) else network


def open_weights(
    weights: str | os.PathLike[str], wanted: str | NetworkSpec | None = None
) -> tuple[NetworkSpec, NetworkWeights]:
    """The network of a weight file, given by name or path, and the file, opened; `wanted` is what it should be.

    Weights known by name are downloaded if need be. Raises `ValueError` if `wanted` is unknown, `WeightsError` if the
    file is missing, damaged, or of another network.
    """
    _check_name(weights, wanted)
    entry = registry.REGISTRY.get(os.fspath(weights))
    if wanted is None and entry:
        wanted = entry.network
    family = FAMILIES[0] if wanted is None else family_of(wanted)
    return family.read(registry.fetch(weights), wanted)


def inspect(weights: str | os.PathLike[str]) -> tuple[NetworkSpec, NetworkWeights]:
    """The same for weights that must be a whole network's, head included."""
    network, source = open_weights(weights)
    family_of(network).check(network, source)
    return network, source


def _check_name(weights: str | os.PathLike[str], wanted: str | NetworkSpec | None) -> None:
    """Raise `WeightsError`, before anything is downloaded, if weights known by name are of another network."""
    entry = registry.REGISTRY.get(os.fspath(weights))
    name = wanted if isinstance(wanted, str) else getattr(wanted, "name", None)
    if entry and name in names() and name != entry.network:
        raise WeightsError(
            f"{weights}: expected weights of {name}, found those of {entry.network}; name others, or weights=None for "
            "random ones"
        )
