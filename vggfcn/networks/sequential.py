"""The family of networks whose layers follow one another, such as VGG: recognise and check their weight files."""

import pathlib

from vggfcn.errors import WeightsError
from vggfcn.networks.catalogue import ARCHITECTURES, infer
from vggfcn.networks.families import Family
from vggfcn.networks.spec import Architecture
from vggfcn.networks.weights import Weights, read_weights


def read(path: pathlib.Path, expected: str | Architecture | None) -> tuple[Architecture, Weights]:
    """Open a weight file; returns its architecture and its weights.

    If `expected` is an architecture, it is returned unchecked. Raises `WeightsError` if the file cannot be read, or if
    its network has another name than `expected`.
    """
    weights = read_weights(path)
    if isinstance(expected, Architecture):
        return expected, weights
    architecture = infer(weights.shapes)
    if architecture is None:
        raise WeightsError(
            f"{path}: expected the layers of {' or '.join(ARCHITECTURES)}, found {', '.join(weights.shapes)}"
        )
    if expected not in (architecture.name, None):
        raise WeightsError(f"{path}: expected weights of {expected}, got weights of {architecture.name}")
    return architecture, weights


def check_whole(architecture: Architecture, weights: Weights) -> None:
    """Raise `WeightsError` if a layer is missing or has another shape."""
    check_layers(architecture, weights, list(architecture.parameter_shapes()))


def check_layers(architecture: Architecture, weights: Weights, names: list[str]) -> None:
    """Raise a `WeightsError` that lists the layers of `names` that are missing or have another shape."""
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
        raise WeightsError(f"{weights.source}: some (kernel, bias) shapes do not fit: {'; '.join(wrong)}")


def _advice(missing: list[str], architecture: Architecture) -> str:
    head = {dense.name for dense in architecture.head}
    if set(missing) == head:
        return '; this looks like a "notop" file: use a file with the head, or head=None for the trunk alone'
    if set(missing) < head:
        return "; its head has another number of layers: load the model with Keras and use vggfcn.convert"
    return ""


def _unused(weights: Weights) -> str:
    return f"; not understood: {', '.join(weights.unused[:5])}" if weights.unused else ""


FAMILY = Family(Architecture, ARCHITECTURES, read, "vggfcn.networks.builders.sequential:build", check_whole)
