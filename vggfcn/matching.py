"""Which architecture a weight file belongs to, and whether it holds what is asked of it; no array is read."""

import os

from vggfcn import efficientnet, registry
from vggfcn.architectures import ARCHITECTURES, infer
from vggfcn.checkpoints.canonical import Weights
from vggfcn.checkpoints.reading import read_weights
from vggfcn.efficientnet import LITE0, EfficientNet
from vggfcn.errors import WeightsError
from vggfcn.rows import Architecture

Network = Architecture | EfficientNet


def inspect(weights: str | os.PathLike[str]) -> tuple[Network, tuple[str, ...] | None]:
    """The network of a complete weight file and the class names it carries, if any.

    Raises `WeightsError` if it is missing, of an unknown layout or architecture, or without its head.
    """
    if network := efficientnet_of(weights):
        efficientnet.read(registry.fetch(weights), network)
        return network, None
    source = read_weights(registry.fetch(weights))
    architecture = architecture_of(source)
    check(source, architecture, list(architecture.parameter_shapes()))
    return architecture, source.labels


def efficientnet_of(weights: str | os.PathLike[str] | None, wanted: str | Network | None = None) -> EfficientNet | None:
    """The EfficientNet that was asked for, as such, by name, or by that of its weights; None if it was not."""
    if isinstance(wanted, EfficientNet):
        return wanted
    entry = None if weights is None else registry.REGISTRY.get(os.fspath(weights))
    asked = wanted or (entry and entry.network)
    return LITE0 if asked == LITE0.name else None


def architecture_of(source: Weights | None, wanted: str | Network | None = None) -> Architecture:
    """The architecture that was asked for, by name or as such; where none was, the weights' own, else VGG16.

    Raises `ValueError` for an unknown name, `WeightsError` if the weights are of another architecture than the one
    named or of none that is known.
    """
    if isinstance(wanted, Architecture):
        return wanted
    if wanted is not None and (not isinstance(wanted, str) or wanted not in ARCHITECTURES):
        raise ValueError(f"architecture: expected one of {', '.join((*ARCHITECTURES, LITE0.name))}, got {wanted!r}")
    if source is None:
        return ARCHITECTURES[wanted or "vgg16"]
    found = infer(source.shapes)
    if found is None:
        raise WeightsError(
            f"{source.source}: expected the layers of {' or '.join(ARCHITECTURES)}, found {', '.join(source.shapes)}"
        )
    if wanted not in (found.name, None):
        raise WeightsError(f"{source.source}: expected weights of {wanted}, found those of {found.name}")
    return found


def check_name(weights: str | os.PathLike[str] | None, wanted: str | Network | None) -> None:
    """Raise `WeightsError`, before anything is downloaded, if weights known by name are of another network."""
    entry = None if weights is None else registry.REGISTRY.get(os.fspath(weights))
    name = wanted.name if isinstance(wanted, Network) else wanted
    if entry and name in (*ARCHITECTURES, LITE0.name) and name != entry.network:
        raise WeightsError(
            f"{weights}: expected weights of {name}, found those of {entry.network}; name others, or weights=None for "
            "random ones"
        )


def check(source: Weights, architecture: Architecture, names: list[str]) -> None:
    """Raise `WeightsError` naming every layer of `names` that the file lacks, or has in another shape."""
    missing = [name for name in names if name not in source.shapes]
    if missing:
        raise WeightsError(
            f"{source.source}: expected {len(names)} layers, found {len(names) - len(missing)}: "
            f"{', '.join(missing)} missing{_advice(missing, architecture)}{_unused(source)}"
        )
    expected = architecture.parameter_shapes()
    wrong = [
        f"{name} {source.shapes[name]} instead of {expected[name]}"
        for name in names
        if source.shapes[name] != expected[name]
    ]
    if wrong:
        raise WeightsError(f"{source.source}: these (kernel, bias) shapes do not fit: {'; '.join(wrong)}")


def _advice(missing: list[str], architecture: Architecture) -> str:
    head = {row.name for row in architecture.head}
    if set(missing) == head:
        return '; this looks like a "notop" file: use one with its head, or head=None for the trunk alone'
    if set(missing) < head:
        return "; its head has another depth: load the model with Keras and use vggfcn.convert"
    return ""


def _unused(source: Weights) -> str:
    return f"; not understood: {', '.join(source.unused[:5])}" if source.unused else ""
