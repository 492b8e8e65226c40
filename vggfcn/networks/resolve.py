"""Find out which network a name, a spec or a weight file stands for, without reading arrays."""

import os

from vggfcn.errors import WeightsError
from vggfcn.networks import efficientnet, registry, sequential
from vggfcn.networks.families import Family, NetworkSpec, NetworkWeights

# All families. The first one reads the files whose network is not known from a name.
FAMILIES: tuple[Family, ...] = (sequential.FAMILY, efficientnet.FAMILY)
DEFAULT = "vgg16"


def network_names() -> list[str]:
    """The names of all known networks."""
    return [name for family in FAMILIES for name in family.networks]


def family_of(network: str | NetworkSpec) -> Family:
    """The family of a network, which is a name or a spec. Raises `ValueError` if no family has it."""
    for family in FAMILIES:
        if network in family.networks if isinstance(network, str) else isinstance(network, family.spec):
            return family
    raise ValueError(f"architecture: expected one of {', '.join(network_names())}, got {network!r}")


def spec_of(network: str | NetworkSpec | None) -> NetworkSpec:
    """The spec of a network given by name or spec; of VGG16 if None. Raises `ValueError` if it is unknown."""
    network = DEFAULT if network is None else network
    family = family_of(network)
    return family.networks[network] if isinstance(network, str) else network


def open_weights(
    weights: str | os.PathLike[str], expected: str | NetworkSpec | None = None
) -> tuple[NetworkSpec, NetworkWeights]:
    """Open a weight file, given by name or path; returns the network's spec and the weights.

    `expected` is the network that the weights should belong to, None for any. Weights known by name are downloaded if
    they are not on disk. Raises `ValueError` if `expected` is unknown, `WeightsError` if the file is missing, damaged,
    or of another network.
    """
    _check_name(weights, expected)
    known = registry.REGISTRY.get(os.fspath(weights))
    if expected is None and known:
        expected = known.network
    family = FAMILIES[0] if expected is None else family_of(expected)
    return family.read(registry.fetch(weights), expected)


def inspect(weights: str | os.PathLike[str]) -> tuple[NetworkSpec, NetworkWeights]:
    """Open weights that must be those of a whole network, head included; otherwise like `open_weights`."""
    network, opened = open_weights(weights)
    family_of(network).check(network, opened)
    return network, opened


def _check_name(weights: str | os.PathLike[str], expected: str | NetworkSpec | None) -> None:
    """Raise `WeightsError` if weights known by name are of another network, before downloading them."""
    known = registry.REGISTRY.get(os.fspath(weights))
    name = expected if isinstance(expected, str) else getattr(expected, "name", None)
    if known and name in network_names() and name != known.network:
        raise WeightsError(
            f"{weights}: expected weights of {name}, got weights of {known.network}; choose other weights, or "
            "weights=None for random ones"
        )
