"""What a network computes, step by step, in words that all formats share: what a file states, held against a network.

A weight file may hold arrays of the right names and shapes and still belong to another network: with other
activations, strides or pools. Where a file says what it computes, its reader writes that down as `Step`s.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vggfcn.errors import shown

INPUT, FLATTEN, SOFTMAX, RELU = "input", "flatten", "softmax", "relu"
CONVOLUTION, DEPTHWISE, DENSE, MAX_POOLING, AVERAGE_POOLING, NORMALIZATION = (
    "convolution",
    "depthwise convolution",
    "dense layer",
    "max pooling",
    "average pooling",
    "batch normalization",
)
# Steps that change the values but have neither arrays nor a window.
ACTIVATIONS = {RELU, "tanh", SOFTMAX, "log softmax"}
_MOST_SIDES = 8
# The value of an option that may be anything.
ANY: Any = Ellipsis


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation: its kind, its options, and the name of its layer in the file.

    The kinds are the constants of this module and the names of activations; a kind that no network here has is named
    as the file names it. `arrays` in the options is the name of the layer's arrays.
    """

    kind: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""

    def __str__(self) -> str:
        options = ", ".join(f"{key} {_written(value)}" for key, value in self.options.items() if value is not ANY)
        return f"{self.kind[:80]} ({options})" if options else self.kind[:80]


def difference(stated: Sequence[Step], expected: Sequence[Step]) -> str | None:
    """The first step of a file that is not that of the network, in words; None if they are the same.

    A file need not state its input or the last softmax, and may leave out options that it does not know.
    """
    stated, expected = list(stated), list(expected)
    if expected and expected[0].kind == INPUT and not (stated and stated[0].kind == INPUT):
        expected = expected[1:]
    if stated and stated[-1].kind in (SOFTMAX, "log softmax"):
        stated = stated[:-1]
    for step, wanted in zip(stated, expected, strict=False):
        if problem := _mismatch(step, wanted):
            return problem
    if len(stated) > len(expected):
        return f"{_named(stated[len(expected)])} is one layer too many"
    if len(stated) < len(expected):
        return f"there is no {expected[len(stated)]} after {_named(stated[-1]) if stated else 'its input'}"
    return None


def _named(step: Step) -> str:
    return f"{step.name[:80]!r}, {step}," if step.name else f"{step}"


def _mismatch(step: Step, wanted: Step) -> str | None:
    if step.kind != wanted.kind:
        return f"{_named(step)} is where {wanted} belongs"
    for key, value in step.options.items():
        other = wanted.options.get(key)
        if other is not ANY and (key not in wanted.options or value != other):
            return f"{step.name[:80]!r} has {key} {_written(value)}, expected {other}"
    return None


def _written(value: Any) -> str:
    """The value of an option in a message; it may be anything that a file holds."""
    if isinstance(value, tuple) and len(value) <= _MOST_SIDES:
        return f"({', '.join(map(_written, value))})"
    return value[:60] if isinstance(value, str) else shown(value, 60)


@dataclasses.dataclass(frozen=True)
class Outline:
    """What a file of arrays alone can tell of its network: layers with arrays, with their names, pools and flattening.

    Any other layer has a kind that no network has. If `ordered`, layers with arrays are of the kind `TRAINED`
    and the steps are in the network's order; otherwise only those of the same kind are in order. If not `complete`,
    the file lists no layers without arrays at all, and so no pools and no flattening.
    """

    steps: Sequence[Step]
    ordered: bool
    complete: bool

    def difference(self, expected: Iterable[Step]) -> str | None:
        """The first step that is not that of the network, in words; None if they are the same."""
        kept = [step for step in expected if "arrays" in step.options or (self.complete and step.kind in _LISTED)]
        wanted = [
            Step(
                TRAINED if self.ordered and "arrays" in step.options else step.kind,
                {key: value for key, value in step.options.items() if key == "arrays"},
            )
            for step in kept
        ]
        if self.ordered:
            return difference(self.steps, wanted)
        return difference(*(sorted(steps, key=lambda step: step.kind) for steps in (self.steps, wanted)))


TRAINED = "layer with arrays"
_LISTED = (MAX_POOLING, AVERAGE_POOLING, FLATTEN)


def size(values: Any) -> Any:
    """A size, stride or padding as one number if it is the same for all sides, else as a tuple."""
    if isinstance(values, list | tuple):
        return values[0] if values and len({str(value) for value in values}) == 1 else tuple(values)
    return values
