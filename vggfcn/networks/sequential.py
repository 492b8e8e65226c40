"""The family of networks whose layers follow one another, VGG's above all: weight files told apart and checked."""

import pathlib

from vggfcn.errors import WeightsError
from vggfcn.networks.catalogue import ARCHITECTURES, infer
from vggfcn.networks.families import Family
from vggfcn.networks.spec import Architecture
from vggfcn.networks.weights import Weights, read_weights


def read(path: pathlib.Path, wanted: str | Architecture | None) -> tuple[Architecture, Weights]:
    """The architecture that was asked for as such, else the file's own, and the file's weights.

    Raises `WeightsError` if the file cannot be read, or holds another architecture than the one named.
    """
    weights = read_weights(path)
    if isinstance(wanted, Architecture):
        return wanted, weights
    found = infer(weights.shapes)
    if found is None:
        raise WeightsError(
            f"{path}: expected the layers of {' or '.join(ARCHITECTURES)}, found {', '.join(weights.shapes)}"
        )
    if wanted not in (found.name, None):
        raise WeightsError(f"{path}: expected weights of {wanted}, found those of {found.name}")
    return found, weights


def check_whole(architecture: Architecture, weights: Weights) -> None:
    """Raise `WeightsError` if a layer is missing or has another shape."""
    check_layers(architecture, weights, list(architecture.parameter_shapes()))


def check_layers(architecture: Architecture, weights: Weights, names: list[str]) -> None:
    """Raise `WeightsError` naming every layer of `names` that the file lacks, or has in another shape."""
    missing = [name for name in names if name not in weights.shapes]
    if missing:
        raise WeightsError(
            f"{weights.source}: expected {len(names)} layers, found {len(names) - len(missing)}: "
            f"{', '.join(missing)} missing{_advice(missing, architecture)}{_unused(weights)}"
        )
    expected = architecture.parameter_shapes()
    wrong = [
        f"{name} {weights.shapes[name]} instead of {expected[name]}"
        for name in names
        if weights.shapes[name] != expected[name]
    ]
    if wrong:
        raise WeightsError(f"{weights.source}: these (kernel, bias) shapes do not fit: {'; '.join(wrong)}")


def _advice(missing: list[str], architecture: Architecture) -> str:
    head = {row.name for row in architecture.head}
    if set(missing) == head:
        return '; this looks like a "notop" file: use one with its head, or head=None for the trunk alone'
    if set(missing) < head:
        return "; its head has another depth: load the model with Keras and use vggfcn.convert"
    return ""


def _unused(weights: Weights) -> str:
    return f"; not understood: {', '.join(weights.unused[:5])}" if weights.unused else ""


FAMILY = Family(Architecture, ARCHITECTURES, read, "vggfcn.networks.builders.sequential:build", check_whole)
