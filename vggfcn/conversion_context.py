"""Which tensors of a network flow back into a map: what is computed of a whole image there is context, not a head."""

from collections.abc import Iterator
from typing import Any

import keras

from vggfcn.graph import graph_of, nodes_of


def flowing_into_maps(graph: Any) -> set[int]:
    """The ids of the tensors, nested models' included, from which a map is computed further on.

    A map is what has more than one axis longer than 1. After a classifier's head there are none.
    """
    sources: dict[int, list[Any]] = {}
    maps = [tensor for producer in _calls(graph) for tensor in _link(producer, sources) if _is_map(tensor)]
    found: set[int] = set()
    waiting = [source for tensor in maps for source in sources[id(tensor)]]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in found:
            found.add(id(tensor))
            waiting += sources.get(id(tensor), [])
    return found


def _is_map(tensor: Any) -> bool:
    return sum(length != 1 for length in tensor.shape[1:]) > 1


def _calls(graph: Any) -> Iterator[Any]:
    for node in nodes_of(graph):
        yield node
        if isinstance(node.operation, keras.Model) and graph_of(node.operation):
            yield from _calls(graph_of(node.operation))


def _link(node: Any, sources: dict[int, list[Any]]) -> list[Any]:
    """Note what each output of a call is computed from; a nested model's own tensors lie between the two."""
    inner = graph_of(node.operation) if isinstance(node.operation, keras.Model) else None
    if inner is None:
        for output in node.outputs:
            sources.setdefault(id(output), []).extend(node.input_tensors)
        return node.outputs
    for outer, own in zip(node.input_tensors, inner.inputs, strict=True):
        sources.setdefault(id(own), []).append(outer)
    for output, own in zip(node.outputs, inner.outputs, strict=True):
        sources.setdefault(id(output), []).append(own)
    return node.outputs
